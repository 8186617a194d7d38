/* SPDX-License-Identifier: MIT */
#include "channel/farewell.h"
#include "helpers.h"

/* A clock of its own: nothing here takes the time that it waits for. */
static uint64_t time_ns;

static uint64_t now(void *opaque)
{
    return time_ns;
}

static void sleep_some(void *opaque, uint64_t ns)
{
    time_ns += ns;
    pass_ns(MS);
}

static const struct gw_clock test_clock = {GW_SIZED(struct gw_clock), .now_ns = now, .sleep_ns = sleep_some};

static int farewell(struct gw_channel *ch, uint64_t within_ns, struct gw_error *err)
{
    time_ns = 1;
    return gw_channel_farewell(ch, &test_clock, time_ns + within_ns, err);
}

static struct pair *told(enum pair_kind kind)
{
    struct gw_error err = GW_ERROR_INIT;
    struct pair *p = pair_open(kind);

    assert_non_null(p);
    assert_ok(gw_channel_write_full(p->a, "the last", 8, &err), err);
    return p;
}

static void hear(struct pair *p, size_t bytes)
{
    struct gw_error err = GW_ERROR_INIT;
    char in[8];

    assert_ok(gw_channel_read_full(p->b, in, bytes, &err), err);
}

static void end(struct pair *p)
{
    p->b = gw_channel_free(p->b);
}

static void heard_and_closed(void **state)
{
    for (enum pair_kind kind = 0; kind < PAIR_KINDS; kind++) {
        struct gw_error err = GW_ERROR_INIT;
        struct pair *p;

        if (kind == PAIR_TCP6 || kind == PAIR_VSOCK)
            continue;
        p = told(kind);
        hear(p, 8);
        assert_ok(gw_channel_write_full(p->b, "more", 4, &err), err); /* is not looked at */
        end(p);
        assert_int_equal(farewell(p->a, PATIENCE_NS, &err), 1);
        pair_free(p);
    }
}

static void heard_and_open(void **state)
{
    for (enum pair_kind kind = PAIR_TCP4; kind <= PAIR_UNIX; kind += PAIR_UNIX) {
        struct gw_error err = GW_ERROR_INIT;
        struct pair *p = told(kind);

        hear(p, 8);
        while (gw_channel_queued(p->a))
            pass_ns(MS);
        assert_int_equal(farewell(p->a, MS, &err), 0);
        assert_int_equal(err.code, 0);
        pair_free(p);
    }
}

/* The kernel says so by a reset, in both. */
static void closed_over_it(void **state)
{
    for (enum pair_kind kind = PAIR_TCP4; kind <= PAIR_UNIX; kind += PAIR_UNIX) {
        struct gw_error err = GW_ERROR_INIT;
        struct pair *p = told(kind);

        hear(p, 3);
        end(p);
        assert_int_equal(farewell(p->a, PATIENCE_NS, &err), -ECONNRESET);
        assert_text(err, "reset");
        pair_free(p);
    }
}

/* What is written behind a close is not acknowledged, and reading says nothing but that it was closed. */
static void closed_before(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    struct pair *p = pair_open(PAIR_TCP4);

    assert_non_null(p);
    end(p);
    while (!gw_channel_peer_gone(p->a))
        pass_ns(MS);
    assert_ok(gw_channel_write_full(p->a, "the last", 8, &err), err);
    assert_int_equal(farewell(p->a, 20 * MS, &err), -ETIMEDOUT);
    assert_text(err, "has not acknowledged the last 8 bytes");
    assert_true(time_ns >= 20 * MS);
    pair_free(p);
}

/* It neither reads nor closes. Over TCP its host has it. */
static void not_read(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    struct pair *p = told(PAIR_UNIX);

    assert_int_equal(farewell(p->a, MS, &err), -ETIMEDOUT);
    assert_text(err, "has not acknowledged the last");
    pair_free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        channel_test(heard_and_closed), channel_test(heard_and_open), channel_test(closed_over_it),
        channel_test(closed_before),    channel_test(not_read),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
