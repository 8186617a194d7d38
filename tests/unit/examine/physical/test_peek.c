/* SPDX-License-Identifier: MIT */
#include "saved.h"

#include "examine/physical/peek.h"

static void test_ranges(void **state)
{
    uint8_t got[9000];
    struct saved s;
    unsigned b;

    saved_init(&s, "none");
    b = saved_block(&s, "r", 4 * 4096);
    memset(saved_put(&s, b, 4090, 12), 7, 12);
    assert_int_equal(gw_peek_block(&s.image, "r"), 0);
    assert_int_equal(gw_peek_block(&s.image, "s"), -1);
    assert_int_equal(gw_peek(&s.image, b, 4089, got, 14, NULL), 1);
    assert_int_equal(got[0], 0);
    assert_int_equal(got[1], 7);
    assert_int_equal(got[12], 7);
    assert_int_equal(got[13], 0);
    assert_int_equal(gw_peek(&s.image, b, 4 * 4096 - 9000, got, 9000, NULL), 1);
    assert_int_equal(gw_peek(&s.image, b, 4 * 4096 - 8999, got, 9000, NULL), 0);
    assert_int_equal(gw_peek(&s.image, b, 0, got, 0, NULL), 0);
    assert_int_equal(gw_peek(&s.image, b, UINT64_MAX, got, 2, NULL), 0);
    assert_int_equal(gw_peek(&s.image, b, 1, got, UINT64_MAX, NULL), 0);
    saved_free(&s);
}

static void test_numbers(void **state)
{
    const uint8_t bytes[] = {1, 2, 3, 4, 5, 6, 7, 0x80};

    assert_int_equal(gw_peek_le(bytes, 2), 0x201);
    assert_int_equal(gw_peek_le(bytes, 8), 0x8007060504030201);
    assert_int_equal(gw_peek_sum(bytes, 8), 0x9c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_ranges), cmocka_unit_test(test_numbers)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
