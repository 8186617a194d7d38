/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "policy/window.h"

#define MS GW_NS_PER_MS

static bool add(struct gw_window *w, uint64_t bytes, uint64_t pages, uint64_t ns)
{
    return gw_window_add(w, &(struct gw_window_sample){.bytes = bytes, .wire_bytes = bytes, .pages = pages, .ns = ns});
}

static void test_rates(void **state)
{
    assert_int_equal(gw_rate_per_s(1000, 0), 0);
    assert_int_equal(gw_rate_per_s(1000, GW_NS_PER_S), 1000);
    assert_true(gw_rate_per_s(UINT64_MAX, 1) == UINT64_MAX);
    assert_int_equal(gw_time_for(0, 0), 0);
    assert_true(gw_time_for(1, 0) == UINT64_MAX);
    assert_int_equal(gw_time_for(2000, 1000), 2 * GW_NS_PER_S);
    assert_true(gw_time_for(UINT64_MAX, 1) == UINT64_MAX);
}

static void test_ends_after_100_ms(void **state)
{
    struct gw_window w;
    struct gw_bandwidth b;

    gw_window_init(&w);
    assert_false(add(&w, 5000000, 1000, 50 * MS));
    gw_window_estimate(&w, 300 * MS, &b);
    assert_false(b.known);
    assert_int_equal(b.low_bytes_per_s, 25000000);
    assert_true(add(&w, 5000000, 1000, 50 * MS));
    gw_window_estimate(&w, 300 * MS, &b);
    assert_true(b.known);
    assert_int_equal(b.latest_bytes_per_s, 100000000);
    assert_int_equal(b.typical_bytes_per_s, 100000000);
    assert_int_equal(b.pages_per_s, 20000);
    assert_int_equal(b.low_bytes_per_s, 75000000); /* one window only: trusted less */
    assert_true(gw_window_mbps(&w) > 799.9 && gw_window_mbps(&w) < 800.1);
}

/* Pages that are coded count as what they are, and the link as what went over it. */
static void test_coded(void **state)
{
    struct gw_window w;
    struct gw_bandwidth b;

    gw_window_init(&w);
    for (int i = 0; i < 4; i++)
        gw_window_add(&w, &(struct gw_window_sample){.bytes = 100 * GW_MIB, .wire_bytes = 10 * GW_MIB, .ns = 100 * MS});
    gw_window_estimate(&w, 300 * MS, &b);
    assert_int_equal(b.low_bytes_per_s / GW_MIB, 900);
    assert_int_equal(b.typical_bytes_per_s, 1000 * GW_MIB);
    assert_int_equal(b.bytes, 400 * GW_MIB);
    assert_int_equal(b.wire_bytes, 40 * GW_MIB);
    assert_true(gw_window_mbps(&w) > 838 && gw_window_mbps(&w) < 839);
}

static void test_idle_is_no_answer(void **state)
{
    struct gw_window w;

    gw_window_init(&w);
    for (int i = 0; i < 9; i++)
        assert_false(add(&w, 0, 0, 100 * MS));
    assert_false(add(&w, 0, 0, 100 * MS));
    assert_int_equal(w.ended, 0);
    assert_int_equal(w.open.ns, 0); /* forgotten: it must not dilute what comes */
    assert_true(add(&w, 10 * GW_MIB, 0, 100 * MS));

    /* a link that is really that slow is an answer after a second */
    gw_window_init(&w);
    for (int i = 0; i < 9; i++)
        assert_false(add(&w, 800, 0, 100 * MS));
    assert_true(add(&w, 800, 0, 100 * MS));
}

/* What was learned of the link stays while there is nothing to send; a link that holds up even a few bytes is one that is learned. */
static void test_small_steps(void **state)
{
    struct gw_window w;
    struct gw_bandwidth b;

    gw_window_init(&w);
    assert_true(add(&w, 100000000, 24414, 100 * MS));
    for (unsigned i = 0; i < 100000; i++)
        assert_false(add(&w, 30, 0, MS / 50));
    gw_window_estimate(&w, 300 * MS, &b);
    assert_int_equal(b.latest_bytes_per_s, 1000000000);
    for (unsigned i = 0; i < 40; i++)
        add(&w, 511, 0, 1000 * MS);
    gw_window_estimate(&w, 300 * MS, &b);
    assert_true(b.typical_bytes_per_s < 1000);
}

static void test_held_up_counts_more(void **state)
{
    struct gw_window w;
    struct gw_bandwidth b;

    gw_window_init(&w);
    for (int i = 0; i < 15; i++)
        add(&w, 100 * GW_MIB, 0, 100 * MS);
    gw_window_estimate(&w, 100 * MS, &b);
    assert_int_equal(b.low_bytes_per_s / GW_MIB, 900);
    add(&w, 30 * GW_MIB, 0, 3000 * MS);
    assert_int_equal(w.ended, 19);
    for (int i = 0; i < 3; i++)
        add(&w, 100 * GW_MIB, 0, 100 * MS);
    gw_window_estimate(&w, 100 * MS, &b);
    assert_int_equal(b.typical_bytes_per_s, 1000 * GW_MIB);
    assert_int_equal(b.low_bytes_per_s / GW_MIB, 9); /* 10, less a tenth */
}

static void test_slow_phase_counts_at_once(void **state)
{
    struct gw_window w;
    struct gw_bandwidth b;

    gw_window_init(&w);
    for (int i = 0; i < 30; i++)
        add(&w, 100 * GW_MIB, 0, 100 * MS);
    add(&w, 20 * GW_MIB, 0, 100 * MS);
    gw_window_estimate(&w, 100 * MS, &b);
    assert_int_equal(b.low_bytes_per_s / GW_MIB, 180);
    gw_window_estimate(&w, 300 * MS, &b); /* over a longer span it averages out in part */
    assert_int_equal(b.low_bytes_per_s / GW_MIB, 659);
    assert_int_equal(b.typical_bytes_per_s, 1000 * GW_MIB);
}

static void test_flush(void **state)
{
    struct gw_window w;

    gw_window_init(&w);
    add(&w, 2 * GW_MIB, 512, 4 * MS);
    assert_false(gw_window_flush(&w));
    add(&w, 2 * GW_MIB, 512, 4 * MS);
    assert_true(gw_window_flush(&w));
    assert_false(gw_window_flush(&w));
    assert_int_equal(w.ended, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rates),
        cmocka_unit_test(test_ends_after_100_ms),
        cmocka_unit_test(test_coded),
        cmocka_unit_test(test_idle_is_no_answer),
        cmocka_unit_test(test_small_steps),
        cmocka_unit_test(test_held_up_counts_more),
        cmocka_unit_test(test_slow_phase_counts_at_once),
        cmocka_unit_test(test_flush),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
