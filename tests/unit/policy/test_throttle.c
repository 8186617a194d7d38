/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "policy/throttle.h"

#define S GW_NS_PER_S

static const struct gw_throttle_params params = {
    .auto_converge = true, .trigger_percent = 50, .initial = 20, .increment = 10, .max = 99};

static void test_steps(void **state)
{
    struct gw_throttle t;
    struct gw_throttle_out out;
    unsigned want[] = {0, 20, 20, 30, 30, 40};
    uint64_t now = S;

    gw_throttle_init(&t, now);
    for (unsigned i = 0; i < 6; i++) {
        now += 2 * S;
        gw_throttle_round(&t, &params, now, 600, 1000 * (i + 1), &out);
        assert_int_equal(out.percent, want[i]);
        assert_int_equal(out.changed, i % 2);
        assert_int_equal(t.dirty_bytes_per_s, 300);
    }
    for (unsigned i = 6; i < 40; i++) {
        now += 2 * S;
        gw_throttle_round(&t, &params, now, 600, 1000 * (i + 1), &out);
    }
    assert_int_equal(out.percent, 99);
    assert_false(out.changed);
}

static void test_below_trigger(void **state)
{
    struct gw_throttle t;
    struct gw_throttle_out out;

    gw_throttle_init(&t, S);
    for (unsigned i = 1; i < 10; i++) {
        gw_throttle_round(&t, &params, S + i * 2 * S, 500, 1000 * i, &out);
        assert_int_equal(out.percent, 0);
    }
}

/* Syncs closer than a second are added up; what they found together is judged. */
static void test_period(void **state)
{
    struct gw_throttle t;
    struct gw_throttle_out out;

    gw_throttle_init(&t, S);
    for (unsigned i = 1; i <= 30; i++)
        gw_throttle_round(&t, &params, S + i * S / 10, 60, 100 * i, &out);
    assert_int_equal(out.percent, 20); /* judged at 1.1 s and 2.2 s */
    assert_int_equal(t.dirty_bytes_per_s, 600);
}

static void test_off(void **state)
{
    struct gw_throttle_params p = params;
    struct gw_throttle t;
    struct gw_throttle_out out;

    p.auto_converge = false;
    gw_throttle_init(&t, S);
    for (unsigned i = 1; i < 10; i++)
        gw_throttle_round(&t, &p, S + i * 2 * S, 5000, 1000 * i, &out);
    assert_int_equal(out.percent, 0);
    assert_false(gw_throttle_sync_due(&t, &p, 100 * S));
    assert_true(gw_throttle_sync_due(&t, &params, S + 18 * S + 5 * S));
    assert_false(gw_throttle_sync_due(&t, &params, S + 18 * S + 5 * S - 1));
}

static void test_tailslow(void **state)
{
    struct gw_throttle_params p = params;
    struct gw_throttle t;
    struct gw_throttle_out out;
    uint64_t now = S;

    p.tailslow = true;
    gw_throttle_init(&t, now);
    for (unsigned i = 0; i < 4; i++) {
        now += 2 * S;
        /* trigger 500, dirty 520: ideal 80 * 500 / 520 = 76 */
        gw_throttle_round(&t, &p, now, 520, 1000 * (i + 1), &out);
    }
    assert_int_equal(out.percent, 24);
}

static void test_max_lowered(void **state)
{
    struct gw_throttle_params p = params;
    struct gw_throttle t = {.percent = 60};
    struct gw_throttle_out out;

    p.max = 30;
    gw_throttle_round(&t, &p, 2 * S, 600, 1000, &out);
    gw_throttle_round(&t, &p, 4 * S, 600, 2000, &out);
    assert_int_equal(out.percent, 60);
}

static void test_dirty_limit(void **state)
{
    struct gw_throttle_params p = {.dirty_limit = true, .trigger_percent = 50, .vcpu_bytes_per_s = 1000000};
    struct gw_throttle t;
    struct gw_throttle_out out;

    gw_throttle_init(&t, S);
    gw_throttle_round(&t, &p, 3 * S, 600, 1000, &out);
    assert_false(out.changed);
    gw_throttle_round(&t, &p, 5 * S, 600, 2000, &out);
    assert_true(out.changed);
    assert_int_equal(out.vcpu_bytes_per_s, 1000000);
    assert_int_equal(out.percent, 0);
    p.vcpu_bytes_per_s = 500000; /* changed by the user under way */
    gw_throttle_round(&t, &p, 5 * S + 1, 0, 2000, &out);
    assert_true(out.changed);
    assert_int_equal(out.vcpu_bytes_per_s, 500000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_steps),       cmocka_unit_test(test_below_trigger), cmocka_unit_test(test_period),
        cmocka_unit_test(test_off),         cmocka_unit_test(test_tailslow),      cmocka_unit_test(test_max_lowered),
        cmocka_unit_test(test_dirty_limit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
