/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "policy/announce.h"

#define MS 1000000ull

static void test_waits(void **state)
{
    static const struct gw_announce_timing usual = {50, 550, 100, 5}, short_max = {50, 20, 100, 5}, at_once = {0, 0, 1, 3};
    static const uint64_t want[] = {50, 150, 250, 350, 450, 550, 550, 550};

    for (unsigned i = 0; i < 8; i++)
        assert_int_equal(gw_announce_wait_ns(&usual, i + 1), want[i] * MS);
    for (unsigned i = 1; i < 8; i++) {
        assert_int_equal(gw_announce_wait_ns(&short_max, i), 20 * MS);
        assert_int_equal(gw_announce_wait_ns(&at_once, i), 0);
    }
}

/* Whatever the numbers are. */
static void test_overflow(void **state)
{
    static const struct gw_announce_timing large = {UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX}, steps = {0, 7, UINT64_MAX / 2, 9};

    assert_int_equal(gw_announce_wait_ns(&large, UINT64_MAX), UINT64_MAX);
    assert_int_equal(gw_announce_wait_ns(&steps, 1), 0);
    assert_int_equal(gw_announce_wait_ns(&steps, 4), 7 * MS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_waits), cmocka_unit_test(test_overflow)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
