/* SPDX-License-Identifier: MIT
 *
 * A migration that does not come to an end is told from one that takes long.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "stuck.h"

#define LIMIT 300

/* What is expected in the rounds from 1 on; returns the first round in which it is stuck, 0: never. */
static unsigned stuck_in(const double *expected_ms, unsigned rounds, unsigned looks)
{
    struct gw_stuck s = {0};

    for (unsigned round = 1; round <= rounds; round++)
        for (unsigned look = 0; look < looks; look++)
            if (gw_stuck_step(&s, round, expected_ms[round - 1], LIMIT))
                return round;
    return 0;
}

#define STUCK_IN(...) stuck_in((const double[]){__VA_ARGS__}, sizeof(double[]){__VA_ARGS__} / sizeof(double), 3)

static void test_rounds(void **state)
{
    /* At the limit until something is known, as QEMU tells it, then the same again and again. */
    assert_int_equal(STUCK_IN(300, 540, 540, 541, 539, 540, 540), 7);
    /* It comes down, slowly. */
    assert_int_equal(STUCK_IN(0, 9000, 8000, 7000, 6100, 5500, 5000, 4600, 4200, 3900, 3600), 0);
    /* Less than a twentieth in five rounds is nothing. */
    assert_int_equal(STUCK_IN(300, 1000, 995, 990, 985, 980, 975), 7);
    /* One good round begins anew; the limit is reached, or was raised. */
    assert_int_equal(STUCK_IN(300, 900, 900, 900, 900, 700, 710, 720, 730, 710, 720), 11);
    assert_int_equal(STUCK_IN(300, 900, 900, 900, 900, 250, 900, 900, 900, 900, 900, 900), 12);
    /* Growing is not shrinking. */
    assert_int_equal(STUCK_IN(300, 400, 500, 600, 700, 800, 900), 7);
}

/* Rounds that nobody looked at count; looking often does not. */
static void test_looks(void **state)
{
    struct gw_stuck s = {0};

    for (unsigned i = 0; i < 100; i++)
        assert_false(gw_stuck_step(&s, 3, 500, LIMIT));
    assert_false(gw_stuck_step(&s, 7, 500, LIMIT));
    assert_true(gw_stuck_step(&s, 26, 500, LIMIT));
    assert_false(gw_stuck_step(&s, 27, 300, LIMIT));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_rounds), cmocka_unit_test(test_looks)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
