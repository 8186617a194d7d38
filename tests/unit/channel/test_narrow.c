/* SPDX-License-Identifier: MIT */
#include "channel/narrow.h"

#include "channel/pace.h"
#include "helpers.h"

static struct pair *narrow_pair(enum pair_kind kind, struct gw_narrow_config config)
{
    struct gw_error err = GW_ERROR_INIT;
    struct pair *p = pair_open(kind);

    assert_non_null(p);
    assert_ok(gw_narrow_new(p->a, &config, &p->a, &err), err);
    return p;
}

/* In the place of gw_pace_wait(): the waits that a rate asks for pass on clocks of our own, one for each direction, so
 * they can be told exactly and take no time. (That the real one waits as it is told is for test_pace.c to say.) */
struct pace_clock {
    struct gw_pace *pace;
    uint64_t now_ns;
};
static struct pace_clock pace_clocks[2];

static uint64_t pace_now(void *opaque)
{
    return ((struct pace_clock *)opaque)->now_ns;
}

static bool pace_on_our_clocks;
int __real_gw_pace_wait(struct gw_pace *p, uint64_t bytes, const struct gw_cancel *wake);
int __wrap_gw_pace_wait(struct gw_pace *p, uint64_t bytes, const struct gw_cancel *wake);

int __wrap_gw_pace_wait(struct gw_pace *p, uint64_t bytes, const struct gw_cancel *wake)
{
    struct pace_clock *c = pace_clocks;
    uint64_t ns;

    if (!pace_on_our_clocks)
        return __real_gw_pace_wait(p, bytes, wake);
    while (c->pace && c->pace != p)
        c++;
    if (!c->pace) {
        *c = (struct pace_clock){p, 1};
        p->clock = (struct gw_clock){.now_ns = pace_now, .opaque = c};
    }
    while ((ns = gw_pace_ask(p, bytes)))
        c->now_ns += ns;
    return 0;
}

/* Moves bytes from w to r; how long the rates let them wait. One end is a throttle. */
static uint64_t time_to_move(struct gw_channel *w, struct gw_channel *r, size_t bytes)
{
    uint64_t at = pace_clocks[0].now_ns + pace_clocks[1].now_ns;
    uint8_t *data = random_bytes(bytes, 4), *back = malloc(bytes);
    struct mover m[2] = {{.channel = w, .bytes = data, .count = bytes, .seed = 1, .write = true},
                         {.channel = r, .bytes = back, .count = bytes, .seed = 2}};

    mover_start(&m[0]);
    mover_start(&m[1]);
    assert_ok(mover_end(&m[0]), m[0].err);
    assert_ok(mover_end(&m[1]), m[1].err);
    assert_memory_equal(data, back, bytes);
    free(data);
    free(back);
    return pace_clocks[0].now_ns + pace_clocks[1].now_ns - at;
}

static int our_clocks(void **state)
{
    memset(pace_clocks, 0, sizeof pace_clocks);
    pace_on_our_clocks = true;
    return 0;
}

static int throttle_clean_up(void **state)
{
    int r = clean_up(state);

    pace_on_our_clocks = false;
    return r;
}

static void bandwidth(void **state)
{
    struct pair *p = narrow_pair(PAIR_UNIX, (struct gw_narrow_config){.write_bytes_per_s = 10 * GW_MIB});

    /* 30 ms may be credit, and the last 10 ms are charged but not waited for. */
    assert_in_range(time_to_move(p->a, p->b, 5 * GW_MIB), 450 * MS, 510 * MS);
    /* The other way is free. */
    assert_in_range(time_to_move(p->b, p->a, 5 * GW_MIB), 0, 1);
    gw_narrow_set(p->a, 0, 20 * GW_MIB);
    assert_in_range(time_to_move(p->b, p->a, 5 * GW_MIB), 200 * MS, 260 * MS);
    assert_int_equal(time_to_move(p->a, p->b, 5 * GW_MIB), 0);
    pair_free(p);
}

static void latency(void **state)
{
    struct gw_narrow_config far = {.latency_ns = 50 * MS};
    struct gw_error err = GW_ERROR_INIT;
    struct pair *p = narrow_pair(PAIR_TCP4, far);
    uint8_t byte = 'x';

    assert_ok(gw_narrow_new(p->b, &far, &p->b, &err), err);
    for (int i = 0; i < 3; i++) {
        uint64_t at = gw_now_ns(&gw_clock_real);

        assert_ok(gw_channel_write_full(p->a, &byte, 1, &err), err);
        assert_ok(gw_channel_read_full(p->b, &byte, 1, &err), err);
        assert_ok(gw_channel_write_full(p->b, &byte, 1, &err), err);
        assert_ok(gw_channel_read_full(p->a, &byte, 1, &err), err);
        assert_true(gw_now_ns(&gw_clock_real) - at >= 100 * MS);
    }
    /* Bytes that must wait for each other would take hours. */
    time_to_move(p->a, p->b, 20 * GW_MIB);
    pair_free(p);
}

/* Far away is not narrow: who writes does not wait for what is under way to arrive. */
static void writes_do_not_wait_for_the_latency(void **state)
{
    struct pair *p = narrow_pair(PAIR_TCP4, (struct gw_narrow_config){.latency_ns = 24 * 3600 * GW_NS_PER_S});
    uint8_t *data = calloc(1, 30000), byte;
    struct gw_error err = GW_ERROR_INIT;

    gw_channel_set_timeout(p->a, 0);
    for (int i = 0; i < 100; i++)
        assert_ok(gw_channel_write_full(p->a, data, 30000, &err), err);
    assert_int_equal(gw_channel_queued(p->a), 100 * 30000);
    gw_channel_set_timeout(p->b, 20 * MS);
    assert_int_equal(gw_channel_read_full(p->b, &byte, 1, &err), -ETIMEDOUT);
    gw_channel_shutdown(p->a);
    pair_free(p);
    free(data);
}

static void far_and_narrow(void **state)
{
    struct pair *p =
        narrow_pair(PAIR_MEMORY, (struct gw_narrow_config){.write_bytes_per_s = 10 * GW_MIB, .latency_ns = 100 * MS});
    uint64_t at = gw_now_ns(&gw_clock_real);

    assert_in_range(time_to_move(p->a, p->b, 3 * GW_MIB), 250 * MS, 310 * MS);
    assert_true(gw_now_ns(&gw_clock_real) - at >= 100 * MS);
    pair_free(p);
}

static void close_waits_for_what_is_under_way(void **state)
{
    struct pair *p = narrow_pair(PAIR_UNIX, (struct gw_narrow_config){.latency_ns = 60 * MS});
    struct gw_error err = GW_ERROR_INIT;
    uint8_t back[100];
    uint64_t at = gw_now_ns(&gw_clock_real);

    assert_ok(gw_channel_write_full(p->a, "the last words", 14, &err), err);
    assert_true(gw_channel_queued(p->a) >= 14);
    assert_ok(gw_channel_close(p->a, &err), err);
    assert_true(gw_now_ns(&gw_clock_real) - at >= 60 * MS);
    p->a = gw_channel_free(p->a);
    assert_int_equal(gw_channel_read_full(p->b, back, 100, &err), -ENODATA);
    assert_text(err, "ended after 14 of");
    pair_free(p);
}

static void waits_end(void **state)
{
    static const struct gw_narrow_config configs[] = {
        {.write_bytes_per_s = 1000},
        {.latency_ns = 3600 * GW_NS_PER_S, .buffer_bytes = 1000},
        {.latency_ns = 1, .buffer_bytes = 1000},
    };

    for (size_t i = 0; i < GW_ARRAY_LEN(configs); i++) {
        struct pair *p = narrow_pair(PAIR_UNIX, configs[i]);
        uint8_t *data = calloc(1, 8 * GW_MIB);
        struct mover w = {.channel = p->a, .bytes = data, .count = 8 * GW_MIB, .write = true};

        gw_channel_set_timeout(p->a, 0);
        mover_start(&w);
        mover_waits(&w);
        gw_channel_shutdown(p->a);
        assert_int_equal(mover_end(&w), -ECANCELED);
        assert_int_equal(gw_channel_close(p->a, NULL), -ECANCELED);
        pair_free(p);
        free(data);
    }
}

/* The peer takes nothing: the time-out counts. The rate is slow: it does not. */
static void timeouts(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    uint8_t *data = calloc(1, 16 * GW_MIB);
    struct pair *p;

    p = narrow_pair(PAIR_UNIX, (struct gw_narrow_config){.latency_ns = MS, .buffer_bytes = 10000});
    gw_channel_set_timeout(p->a, 50 * MS);
    assert_int_equal(gw_channel_write_full(p->a, data, 16 * GW_MIB, &err), -ETIMEDOUT);
    assert_text(err, "nothing moved for 50 ms");
    pair_free(p);
    p = narrow_pair(PAIR_UNIX, (struct gw_narrow_config){.write_bytes_per_s = 1000});
    gw_channel_set_timeout(p->a, 5 * MS);
    assert_ok(gw_channel_write_full(p->a, data, 200, &err), err);
    pair_free(p);
    free(data);
}

static void errors_come_back(void **state)
{
    struct pair *p = narrow_pair(PAIR_MEMORY, (struct gw_narrow_config){.latency_ns = 5 * MS});
    struct gw_error err = GW_ERROR_INIT;
    int r = 0;

    p->b = gw_channel_free(p->b);
    while (r == 0) {
        r = gw_channel_write_full(p->a, "x", 1, &err);
        pass_ns(MS);
    }
    assert_int_equal(r, -EPIPE);
    assert_int_equal(gw_channel_close(p->a, &err), -EPIPE);
    pair_free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(bandwidth, our_clocks, throttle_clean_up),
        channel_test(latency),
        cmocka_unit_test_setup_teardown(far_and_narrow, our_clocks, throttle_clean_up),
        channel_test(close_waits_for_what_is_under_way),
        channel_test(waits_end),
        channel_test(timeouts),
        channel_test(errors_come_back),
        channel_test(writes_do_not_wait_for_the_latency),
    };

    return cmocka_run_group_tests_name("throttle", tests, NULL, NULL);
}
