/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "policy/stall.h"

#define S GW_NS_PER_S

static void test_stalls(void **state)
{
    struct gw_stall s;

    gw_stall_init(&s, S);
    assert_false(gw_stall_check(&s, S, 10, true, 3 * S));
    for (unsigned i = 1; i <= 5; i++)
        assert_false(gw_stall_check(&s, S + i * S / 2, 10, true, 3 * S));
    assert_true(gw_stall_check(&s, 4 * S, 10, true, 3 * S));
}

static void test_progress_and_pauses(void **state)
{
    struct gw_stall s;

    gw_stall_init(&s, S);
    for (unsigned i = 1; i <= 50; i++)
        assert_false(gw_stall_check(&s, S + i * S, i / 2, true, 3 * S)); /* a byte every two seconds */
    gw_stall_init(&s, S);
    for (unsigned i = 1; i <= 50; i++)
        assert_false(gw_stall_check(&s, S + i * S, 7, i % 3 != 0, 3 * S)); /* each third time not our turn */
}

static void test_we_slept(void **state)
{
    struct gw_stall s;

    gw_stall_init(&s, S);
    assert_false(gw_stall_check(&s, 2 * S, 1, true, 30 * S));
    assert_false(gw_stall_check(&s, 3600 * S, 1, true, 30 * S));
    assert_false(gw_stall_check(&s, 3601 * S, 2, true, 30 * S));
    assert_false(gw_stall_check(&s, 3600 * S, 2, true, 30 * S)); /* a clock that jumps back */
}

static void test_never(void **state)
{
    struct gw_stall s;

    gw_stall_init(&s, 0);
    for (unsigned i = 1; i <= 1000; i++)
        assert_false(gw_stall_check(&s, i * S, 1, true, UINT64_MAX));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stalls),
        cmocka_unit_test(test_progress_and_pauses),
        cmocka_unit_test(test_we_slept),
        cmocka_unit_test(test_never),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
