/* SPDX-License-Identifier: MIT
 *
 * A set of hashes beside an array that was counted by hand.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "examine/hashes.h"

static uint64_t hash_of(uint64_t i)
{
    return (i + 1) * 0x9e3779b97f4a7c15ull | 4; /* the two low bits do not count */
}

static void test_empty(void **state)
{
    struct gw_hashes h = {0};

    assert_false(gw_hashes_is_repeated(&h, 8));
    gw_hashes_close(&h);
}

static void test_repeated(void **state)
{
    enum { COUNT = 20000 };
    struct gw_hashes h = {0};

    for (uint64_t i = 0; i < COUNT; i++)
        for (uint64_t n = 0; n <= i % 3; n++)
            assert_int_equal(gw_hashes_add(&h, hash_of(i)), 0);
    assert_int_equal(h.used, COUNT);
    assert_true(h.used * 4 <= h.cap * 3 + 4);
    for (uint64_t i = 0; i < COUNT; i++)
        assert_int_equal(gw_hashes_is_repeated(&h, hash_of(i)), i % 3 > 0);
    assert_false(gw_hashes_is_repeated(&h, hash_of(COUNT)));
    gw_hashes_close(&h);
    assert_int_equal(h.cap, 0);
}

/* Hashes that want the same slot. */
static void test_collisions(void **state)
{
    struct gw_hashes h = {0};

    for (uint64_t i = 1; i < 100; i++)
        assert_int_equal(gw_hashes_add(&h, i << 40), 0);
    assert_int_equal(gw_hashes_add(&h, 50ull << 40), 0);
    for (uint64_t i = 1; i < 100; i++)
        assert_int_equal(gw_hashes_is_repeated(&h, i << 40), i == 50);
    gw_hashes_close(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_empty),
        cmocka_unit_test(test_repeated),
        cmocka_unit_test(test_collisions),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
