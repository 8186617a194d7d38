/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "policy/tend.h"

#define MS GW_NS_PER_MS

/* At 100 MiB/s a rest of so many MiB takes 10 ms each. Limit 300 ms, ceiling 3 s. */
static struct gw_tend_in ask(uint64_t now_ms, uint64_t mib)
{
    return (struct gw_tend_in){
        .now_ns = now_ms * MS,
        .pending_bytes = mib * GW_MIB,
        .predicted_ns = mib * 10 * MS,
        .bytes_per_s = 100 * GW_MIB,
        .limit_ns = 300 * MS,
        .ceiling_ns = 3000 * MS,
        .can_throttle = true,
    };
}

static struct gw_tend_out tell(struct gw_tend *t, struct gw_tend_in in)
{
    struct gw_tend_out out;

    gw_tend_round(t, &in, &out);
    return out;
}

/* Rounds of two seconds; returns the answer to the last. */
static struct gw_tend_out rounds(struct gw_tend *t, uint64_t *now_ms, unsigned n, const uint64_t *mib)
{
    struct gw_tend_out out = {0};

    for (unsigned i = 0; i < n; i++) {
        assert_int_equal(out.move, GW_TEND_WATCH);
        out = tell(t, ask(*now_ms += 2000, mib[i]));
    }
    return out;
}

static void test_shrinking(void **state)
{
    struct gw_tend t;

    gw_tend_init(&t);
    for (uint64_t i = 0, mib = 100000; i < 60; i++, mib -= mib / 10) {
        struct gw_tend_out out = tell(&t, ask(i * 2000, mib));

        assert_int_equal(out.move, GW_TEND_WATCH);
        assert_int_equal(out.limit_ns, 300 * MS);
        assert_false(out.throttle);
    }
}

static void test_raised_as_far_as_needed(void **state)
{
    const uint64_t mib[] = {90, 88, 91, 86, 90};
    char words[GW_TEND_WORDS];
    struct gw_tend_out out;
    struct gw_tend_in in;
    uint64_t now_ms = 0;
    struct gw_tend t;

    gw_tend_init(&t);
    out = rounds(&t, &now_ms, 5, mib);
    assert_int_equal(out.move, GW_TEND_RAISE);
    assert_int_equal(out.best_bytes, 86 * GW_MIB);
    assert_int_equal(out.limit_ns, 860 * MS + 860 * MS / 16);
    assert_false(out.throttle);
    in = ask(now_ms, 90);
    gw_tend_say(words, &in, &out);
    assert_string_equal(words, "the downtime limit is 913 ms now: for 4 rounds (8 s) the rest was never below 86 MiB, which takes 860 ms");
    assert_int_equal(gw_tend_limit(&t, 300 * MS, 3000 * MS), out.limit_ns);
    assert_int_equal(gw_tend_limit(&t, 2000 * MS, 3000 * MS), 2000 * MS); /* raised by hand meanwhile */
    assert_int_equal(gw_tend_limit(&t, 300 * MS, 500 * MS), 500 * MS);    /* the ceiling was lowered */
}

/* A minimum that does not come again is given up for the next best. */
static void test_steps(void **state)
{
    const uint64_t first[] = {150, 150, 50, 150, 150}, then[] = {150, 120, 130, 150};
    struct gw_tend_out out;
    uint64_t now_ms = 0;
    struct gw_tend t;

    gw_tend_init(&t);
    out = tell(&t, ask(now_ms += 2000, 150));
    out = rounds(&t, &now_ms, 2, first);
    out = rounds(&t, &now_ms, 3, first + 2); /* 50 is progress: the count begins there */
    assert_int_equal(out.move, GW_TEND_WATCH);
    out = rounds(&t, &now_ms, 2, first);
    assert_int_equal(out.move, GW_TEND_RAISE);
    assert_int_equal(out.best_bytes, 150 * GW_MIB);
    assert_false(gw_tend_takes(&t));
    out = rounds(&t, &now_ms, 4, then);
    assert_true(gw_tend_takes(&t)); /* was let pass, and nothing better came */
    assert_int_equal(out.move, GW_TEND_WATCH); /* 120 fits the limit of 150: nothing to raise */
}

static void test_not_hasty(void **state)
{
    struct gw_tend t;

    gw_tend_init(&t);
    for (uint64_t i = 0; i < 100; i++) /* many rounds, little time */
        assert_int_equal(tell(&t, ask(1000 + i * 49, 90)).move, GW_TEND_WATCH);
    gw_tend_init(&t);
    for (uint64_t i = 0; i < 4; i++) /* long rounds, but few */
        assert_int_equal(tell(&t, ask(i * 60000, 90)).move, GW_TEND_WATCH);
}

static void test_link_changes(void **state)
{
    struct gw_tend_in in;
    uint64_t now_ms = 0;
    unsigned i;
    struct gw_tend t;

    gw_tend_init(&t);
    for (i = 0; i < 3; i++)
        tell(&t, ask(now_ms += 2000, 90));
    for (; i < 6; i++) { /* slower: a stall is not seen before it has lasted at the new rate */
        in = ask(now_ms += 2000, 90);
        in.bytes_per_s /= 2;
        in.predicted_ns *= 2;
        assert_int_equal(tell(&t, in).move, GW_TEND_WATCH);
    }
    in.now_ns += 2000 * MS;
    assert_int_equal(tell(&t, in).move, GW_TEND_WATCH);
    in.now_ns += 2000 * MS;
    assert_int_equal(tell(&t, in).move, GW_TEND_RAISE);

    gw_tend_init(&t);
    for (i = 0; i < 40; i++) { /* one that changes all the time is not waited for */
        in = ask(now_ms += 2000, 90);
        in.bytes_per_s = (i % 2 + 1) * 100 * GW_MIB;
        if (tell(&t, in).move == GW_TEND_RAISE)
            break;
    }
    assert_in_range(i, GW_TEND_ROUNDS, 3 + GW_TEND_ROUNDS + 1);
}

static void test_throttle_last(void **state)
{
    const uint64_t mib[] = {400, 410, 390, 400, 420}, less[] = {420, 300, 220, 220};
    char words[GW_TEND_WORDS];
    struct gw_tend_out out;
    struct gw_tend_in in;
    uint64_t now_ms = 0;
    struct gw_tend t;

    gw_tend_init(&t);
    out = rounds(&t, &now_ms, 5, mib);
    assert_int_equal(out.move, GW_TEND_THROTTLE);
    assert_true(out.throttle);
    in = ask(now_ms, 420);
    gw_tend_say(words, &in, &out);
    assert_string_equal(words, "the guest is slowed down: for 4 rounds (8 s) the rest was never below 390 MiB, which takes 3900 ms, "
                               "more than the ceiling of 3000 ms");
    /* Now whatever is within the ceiling is taken. */
    assert_int_equal(out.limit_ns, 3000 * MS);
    assert_true(tell(&t, ask(now_ms += 2000, less[0])).throttle);
    assert_false(tell(&t, ask(now_ms += 2000, less[1])).throttle); /* it shrinks: slow enough */
    assert_false(tell(&t, ask(now_ms += 2000, less[2])).throttle);
    assert_true(tell(&t, ask(now_ms += 2000, less[3])).throttle);

    gw_tend_init(&t);
    for (unsigned i = 0; i < 40; i++) { /* no way to slow it down: said once */
        in = ask(now_ms += 2000, 400);
        in.can_throttle = false;
        out = tell(&t, in);
        assert_int_equal(out.move, i == GW_TEND_ROUNDS ? GW_TEND_HELPLESS : GW_TEND_WATCH);
        assert_int_equal(out.limit_ns, 300 * MS);
        assert_false(out.throttle);
    }
}

/* Numbers at the ends of their range, and words that always end. */
static void test_extremes(void **state)
{
    char words[GW_TEND_WORDS];
    struct gw_tend_in in;
    struct gw_tend_out out;
    struct gw_tend t;

    memset(&in, 0xff, sizeof in);
    in.can_throttle = false;
    gw_tend_init(&t);
    for (unsigned i = 0; i < 10; i++)
        gw_tend_round(&t, &in, &out);
    memset(&out, 0xff, sizeof out);
    out.throttle = true;
    for (out.move = 0; out.move < GW_TEND_MOVE_COUNT; out.move++) {
        gw_tend_say(words, &in, &out);
        assert_true(strlen(words) < GW_TEND_WORDS - 1);
        assert_true(out.move == GW_TEND_WATCH || words[0]);
    }
    assert_string_equal(gw_tend_move_name(GW_TEND_MOVE_COUNT), "?");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shrinking),     cmocka_unit_test(test_raised_as_far_as_needed),
        cmocka_unit_test(test_steps),         cmocka_unit_test(test_not_hasty),
        cmocka_unit_test(test_link_changes),  cmocka_unit_test(test_throttle_last),
        cmocka_unit_test(test_extremes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
