/* SPDX-License-Identifier: MIT
 *
 * The table of parameters: each has one row under its own number, and what is printed of a value is read as that value.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

#include "engine/option_table.h"

static void test_rows(void **state)
{
    size_t i = 0, found;

    for (const struct gw_option_row *row; (row = gw_option_row(i)); i++) {
        bool text = row->type == GW_PARAMETER_STRING;

        assert_int_equal(gw_option_find(row->name, &found, NULL), 0);
        assert_int_equal(found, i); /* no name stands twice */
        assert_true(row->help && row->help[0]);
        assert_int_equal(row->words != NULL, row->type == GW_PARAMETER_ENUM);
        if (i < GW_OPTION_ROW_ABSENT)
            assert_int_equal(text, i >= GW_OPTION_ROW_STRING);
        else
            assert_false(row->supported);
        if (!text)
            assert_true(row->min <= row->preset && row->preset <= row->max);
    }
    assert_true(i > GW_OPTION_ROW_ABSENT);
    assert_int_equal(gw_option_find("nothing", &found, NULL), -ENOENT);
    assert_string_equal(gw_option_row(GW_PARAM_DOWNTIME_LIMIT)->name, "downtime-limit");
    assert_string_equal(gw_option_row(GW_OPTION_ROW_STRING + GW_STRING_TLS_HOSTNAME)->name, "tls-hostname");
}

/* The least, the largest and the preset value of each, there and back. */
static void test_there_and_back(void **state)
{
    for (size_t i = 0; i < GW_PARAM_COUNT; i++) {
        const struct gw_option_row *row = gw_option_row(i);
        const uint64_t values[] = {row->min, row->preset, row->max};

        for (size_t k = 0; k < GW_ARRAY_LEN(values); k++) {
            uint64_t n = ~values[k];
            char text[64];

            gw_option_print(row, values[k], text, sizeof text);
            if (gw_option_parse(row, text, &n, NULL) != 0 || n != values[k])
                fail_msg("%s=%s gives %" PRIu64 ", not %" PRIu64, row->name, text, n, values[k]);
        }
    }
}

static void test_refused(void **state)
{
    const struct gw_option_row *number = gw_option_row(GW_PARAM_CPU_THROTTLE_INITIAL), *word = gw_option_row(GW_PARAM_MODE),
                               *yes = gw_option_row(GW_PARAM_DIRECT_IO);
    struct gw_error err = GW_ERROR_INIT;
    uint64_t n = 77;

    assert_int_equal(gw_option_parse(number, "0", &n, &err), -ERANGE);
    assert_int_equal(gw_option_parse(number, "100", &n, &err), -ERANGE);
    assert_string_equal(err.text, "parameter cpu-throttle-initial is a whole number from 1 to 99, not '100'");
    assert_int_equal(gw_option_parse(number, "1x", &n, &err), -EINVAL);
    assert_int_equal(gw_option_parse(word, "cpr-transfer", &n, &err), -ENOTSUP);
    assert_int_equal(gw_option_parse(word, "cpr", &n, &err), -EINVAL);
    assert_int_equal(gw_option_parse(yes, "2", &n, &err), -EINVAL);
    assert_string_equal(err.text, "parameter direct-io is on or off, not '2'");
    assert_int_equal(n, 77); /* untouched */
    assert_int_equal(gw_option_parse(yes, "yes", &n, &err), 0);
    assert_int_equal(n, 1);
}

static void test_numbers(void **state)
{
    uint64_t n = 0;

    assert_int_equal(gw_option_parse_int("16777215T", &n), 0);
    assert_true(n == 16777215ull << 40);
    assert_int_equal(gw_option_parse_int("16777216T", &n), -ERANGE);
    assert_int_equal(gw_option_parse_int("18446744073709551616", &n), -ERANGE);
    assert_int_equal(gw_option_parse_int("1KK", &n), -EINVAL);
    assert_int_equal(gw_option_parse_int("+1", &n), -EINVAL);
    assert_int_equal(gw_option_parse_int("0x10", &n), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows), cmocka_unit_test(test_there_and_back), cmocka_unit_test(test_refused),
        cmocka_unit_test(test_numbers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
