/* SPDX-License-Identifier: MIT
 *
 * The small words: arithmetic at its limits, copies of text that end, clean-up at the end of a scope.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/base.h"

static void test_strcopy(void **state)
{
    static const char text[] = "seven77";

    /* dst is of just that size: a sanitizer sees a byte too many. */
    for (size_t size = 1; size <= sizeof text + 1; size++) {
        char *dst = malloc(size);

        memset(dst, 0xee, size);
        assert_int_equal(gw_strcopy(dst, size, text), size >= sizeof text);
        assert_int_equal(strlen(dst), GW_MIN(size, sizeof text) - 1);
        assert_memory_equal(dst, text, strlen(dst));
        free(dst);
    }
    char one = 'x';
    assert_true(gw_strcopy(&one, 1, ""));
    assert_int_equal(one, 0);
}

static void test_overflow(void **state)
{
    uint64_t r = 1;
    uint32_t small = 1;

    assert_false(gw_add_overflows(UINT64_MAX - 1, (uint64_t)1, &r));
    assert_true(r == UINT64_MAX);
    assert_true(gw_add_overflows(UINT64_MAX, (uint64_t)1, &r));
    assert_false(gw_mul_overflows(UINT64_MAX / 3, (uint64_t)3, &r));
    assert_true(gw_mul_overflows(UINT64_MAX / 3 + 1, (uint64_t)3, &r));
    /* By the type of the result, not of the operands. */
    assert_true(gw_add_overflows((uint64_t)UINT32_MAX, (uint64_t)1, &small));
    assert_true(gw_mul_overflows(-1, 1, &r));
}

static void test_division(void **state)
{
    assert_int_equal(gw_div_up(0, 7), 0);
    assert_int_equal(gw_div_up(1, 7), 1);
    assert_int_equal(gw_div_up(7, 7), 1);
    assert_int_equal(gw_div_up(8, 7), 2);
    /* n + d - 1 would not fit. */
    assert_true(gw_div_up(UINT64_MAX, 2) == (1ull << 63));
    assert_true(gw_div_up(UINT64_MAX, UINT64_MAX) == 1);
    assert_true(gw_ratio(0, 5) == 0);
    assert_true(gw_ratio(5, 0) == 0);
    assert_true(gw_ratio(6, 4) == 1.5);
}

static void test_pow2(void **state)
{
    assert_false(gw_is_pow2(0));
    for (unsigned bit = 0; bit < 64; bit++) {
        assert_true(gw_is_pow2(1ull << bit));
        assert_false(gw_is_pow2((1ull << bit) | (bit ? 1 : 2)));
    }
    assert_false(gw_is_pow2(UINT64_MAX));
}

static bool is_open(int fd)
{
    char byte = 0;

    return read(fd, &byte, 0) == 0;
}

static void test_scopes(void **state)
{
    int copy, none = -1;

    {
        GW_AUTOFREE char *p = malloc(10);
        GW_AUTOFREE char *null = NULL;
        GW_AUTOFD int fd = dup(0);

        assert_non_null(p);
        assert_null(null);
        copy = fd;
        assert_true(fd >= 0 && is_open(copy));
    }
    assert_false(is_open(copy));
    gw_close_fd(&none);
    assert_int_equal(none, -1);
    /* What was closed is not closed a second time: the number may be somebody else's by now. */
    int fd = dup(0), gone = fd;
    gw_close_fd(&fd);
    assert_int_equal(fd, -1);
    int other = dup(0);
    assert_int_equal(other, gone);
    gw_close_fd(&fd);
    assert_true(is_open(other));
    close(other);
}

static void test_nomem(void **state)
{
    struct gw_error err = GW_ERROR_INIT;

    assert_int_equal(gw_nomem(&err, "a thing"), -ENOMEM);
    assert_int_equal(err.code, -ENOMEM);
    assert_int_equal(err.blame, GW_BLAME_LOCAL);
    assert_string_equal(err.text, "out of memory (a thing)");
    assert_int_equal(gw_nomem(NULL, "a thing"), -ENOMEM);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_strcopy), cmocka_unit_test(test_overflow), cmocka_unit_test(test_division),
        cmocka_unit_test(test_pow2),    cmocka_unit_test(test_scopes),   cmocka_unit_test(test_nomem),
    };

    return cmocka_run_group_tests_name("base", tests, NULL, NULL);
}
