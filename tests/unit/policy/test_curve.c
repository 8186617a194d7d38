/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>

#include "policy/curve.h"

#define MIB 1048576.0

/* What a guest of this curve would show. */
static unsigned measure(const struct gw_curve *c, struct gw_forecast_point *p)
{
    static const uint64_t ms[] = {50, 100, 300, 1000};

    for (unsigned i = 0; i < GW_ARRAY_LEN(ms); i++)
        p[i] = (struct gw_forecast_point){ms[i] * GW_NS_PER_MS, (uint64_t)gw_curve_dirtied(c, (double)ms[i] / 1e3), 0.02};
    return GW_ARRAY_LEN(ms);
}

static void near(double a, double b, double share)
{
    if (fabs(a - b) > share * b)
        print_error("%g is not within %g %% of %g\n", a, share * 100, b);
    assert_true(fabs(a - b) <= share * b);
}

static void test_a_hot_set(void **state)
{
    struct gw_curve real = {64 * MIB, 0.2, 1000 * MIB, 0}, c;
    struct gw_forecast_point p[GW_FORECAST_POINTS];

    gw_curve_fit(p, measure(&real, p), 1064 * MIB, &c);
    near(c.hot_bytes, 64 * MIB, 0.05);
    near(c.tau_s, 0.2, 0.1);
    near(gw_curve_dirtied(&c, 10), 64 * MIB, 0.1);
}

/* All over the memory: what one measurement shows goes on. */
static void test_wide(void **state)
{
    struct gw_curve real = {0, 0, 4096 * MIB, 50 * MIB}, c;
    struct gw_forecast_point p[GW_FORECAST_POINTS];

    gw_curve_fit(p, measure(&real, p), 4096 * MIB, &c);
    near(gw_curve_dirtied(&c, 5), 250 * MIB, 0.08);
    assert_true(gw_curve_dirtied(&c, 1e6) <= 4096 * MIB);
}

static void test_both(void **state)
{
    struct gw_curve real = {32 * MIB, 0.1, 2000 * MIB, 20 * MIB}, c;
    struct gw_forecast_point p[GW_FORECAST_POINTS];

    gw_curve_fit(p, measure(&real, p), 2032 * MIB, &c);
    near(c.hot_bytes, 32 * MIB, 0.1);
    near(c.cold_bytes_per_s, 20 * MIB, 0.15);
}

/* Two measurements are enough to tell a small set from a large one. */
static void test_two_points(void **state)
{
    const struct gw_forecast_point small[] = {{GW_NS_PER_S, 10 << 20, 0.1}, {3 * GW_NS_PER_S, 10 << 20, 0.1}};
    const struct gw_forecast_point large[] = {{GW_NS_PER_S, 10 << 20, 0.1}, {3 * GW_NS_PER_S, 30 << 20, 0.1}};
    struct gw_curve c;

    gw_curve_fit(small, 2, 1000 * MIB, &c);
    near(gw_curve_dirtied(&c, 30), 10 * MIB, 0.2);
    gw_curve_fit(large, 2, 1000 * MIB, &c);
    near(gw_curve_dirtied(&c, 30), 300 * MIB, 0.2);
}

static void test_nothing(void **state)
{
    const struct gw_forecast_point none[] = {{GW_NS_PER_S, 0, 0}, {0, 5, 0}};
    struct gw_curve c;

    gw_curve_fit(NULL, 0, 100 * MIB, &c);
    assert_true(gw_curve_dirtied(&c, 100) == 0);
    gw_curve_fit(none, 2, 100 * MIB, &c);
    assert_true(isfinite(gw_curve_dirtied(&c, 100)));
}

/* Closed forms: all of a set being sent halves a short time's writes and leaves nothing out of a long one's. */
static void test_found(void **state)
{
    near(gw_curve_found(1000, 1, 0, 0.001), 1, 0.01);
    near(gw_curve_found(1000, 1, 1000, 0.001), 0.5, 0.01);
    near(gw_curve_found(1000, 1, 1000, 1e5), 1000, 0.01);
    near(gw_curve_found(1000, 1, 0, 1), 1000 * (1 - exp(-1)), 1e-9);
    near(gw_curve_found(1000, 1, 1000, 1), 1000 * exp(-1), 1e-9);
    assert_true(gw_curve_found(0, 1, 0, 1) == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_hot_set),  cmocka_unit_test(test_wide),    cmocka_unit_test(test_both),
        cmocka_unit_test(test_two_points), cmocka_unit_test(test_nothing), cmocka_unit_test(test_found),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
