/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "policy/period.h"

#define MS 1000000ull

static void test_period(void **state)
{
    struct gw_period p;

    gw_period_begin(&p, 7000 * MS);
    gw_period_add(&p, 7003 * MS, 1000); /* 333333 a second, if it were asked */
    gw_period_add(&p, 8000 * MS, 500);
    assert_int_equal(p.per_s, 0);
    gw_period_add(&p, 8500 * MS, 1500); /* the first one after more than a second ends it */
    assert_int_equal(p.per_s, 2000);
    gw_period_add(&p, 9400 * MS, 100000);
    assert_int_equal(p.per_s, 2000); /* what it was */
    gw_period_add(&p, 10500 * MS, 0);
    assert_int_equal(p.per_s, 50000);
    gw_period_add(&p, 11501 * MS, 0);
    assert_int_equal(p.per_s, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_period)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
