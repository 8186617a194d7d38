/* SPDX-License-Identifier: MIT
 *
 * Errors, and text from outside that is shown: one line, and nothing that a terminal obeys.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/base.h"

static void test_printable(void **state)
{
    static const struct {
        const char *text, *want;
    } rows[] = {
        {"", ""},
        {"plain", "plain"},
        {"\x1b[31m", "\\x1b[31m"},
        {"a\nb\tc\r", "a\\x0ab\\x09c\\x0d"},
        {"\x7f", "\\x7f"},
        {"\xc3\xa4\xe2\x82\xac\xf0\x9f\x90\xa6", "\xc3\xa4\xe2\x82\xac\xf0\x9f\x90\xa6"},
        {"\xc2\x9b" "31m", "\\xc2\\x9b31m"}, /* C1 as UTF-8 */
        {"\x9b" "31m", "\\x9b31m"},           /* and as a byte */
        {"\xc3", "\\xc3"},                    /* cut off */
        {"\xe2\x82", "\\xe2\\x82"},
        {"\xff\xc0\x80", "\\xff\\xc0\\x80"},
    };
    char buf[64];

    for (size_t i = 0; i < GW_ARRAY_LEN(rows); i++)
        assert_string_equal(gw_printable(rows[i].text, buf, sizeof buf), rows[i].want);
}

/* Whole characters and whole escapes, and never behind the end. */
static void test_cut(void **state)
{
    static const char text[] = "ab\x1b\xc3\xa4z", want[] = "ab\\x1b\xc3\xa4z";

    for (size_t size = 1; size <= sizeof want; size++) {
        char *buf = malloc(size);
        size_t n = strlen(gw_printable(text, buf, size));

        assert_true(n < size);
        assert_memory_equal(buf, want, n);
        assert_true(n <= 2 || n == 6 || n == 8 || n == 9);
        free(buf);
    }
}

static void test_errors(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    char large[2 * GW_ERROR_TEXT];

    assert_int_equal(gw_fail(&err, -EPROTO, GW_BLAME_PEER, "name %s", "\x1b]0;x\x07\n"), -EPROTO);
    assert_string_equal(err.text, "name \\x1b]0;x\\x07\\x0a");
    gw_context(&err, "file %s", "\xc2\x9b");
    assert_string_equal(err.text, "file \\xc2\\x9b: name \\x1b]0;x\\x07\\x0a");
    memset(large, '\x1b', sizeof large);
    large[sizeof large - 1] = 0;
    gw_fail(&err, -EPROTO, GW_BLAME_PEER, "%s", large);
    assert_true(strlen(err.text) < sizeof err.text && strlen(err.text) > sizeof err.text - 8);
    gw_context(&err, "%s", large);
    assert_true(strlen(err.text) < sizeof err.text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_printable), cmocka_unit_test(test_cut),
                                       cmocka_unit_test(test_errors)};

    return cmocka_run_group_tests_name("error", tests, NULL, NULL);
}
