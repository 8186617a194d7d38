/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "large.h"

static void test_round_trips(void **state)
{
    static const char *const texts[] = {
        "18446744073709551615",
        "[9223372036854775808]",
        "-9223372036854775809",
        "{\"a\":[9223372036854775807,-9223372036854775808,18446744073709551615],\"b\":true}",
        "[99999999999999999999999999999999999,1,\"18446744073709551615\"]",
        /* Strings stay what they are, also beside a number that is too large. */
        "[18446744073709551615,\"\\\"18446744073709551615\",\"\\\\\",\"\\\\\\\"\\u00015\",\"x\\u00015\"]",
        "{\"\\u00015\":18446744073709551615}",
        "[]",
        "\"\"",
    };

    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        json_error_t wrong;
        json_t *value = gw_large_load(texts[i], strlen(texts[i]), JSON_DECODE_ANY, &wrong);
        char *text;

        if (!value)
            fail_msg("%s: %s", texts[i], wrong.text);
        text = gw_large_dump(value, JSON_ENCODE_ANY | JSON_COMPACT);
        assert_string_equal(text, texts[i]);
        free(text);
        json_decref(value);
    }
}

static void test_values(void **state)
{
    static const char text[] = "[9223372036854775807, 18446744073709551615, -9223372036854775809, 1000000000000000000000.5, \"\\u0001x\"]";
    json_error_t wrong;
    json_t *list = gw_large_load(text, strlen(text), 0, &wrong), *made;

    assert_int_equal(json_integer_value(json_array_get(list, 0)), INT64_MAX);
    assert_string_equal(gw_large_text(json_array_get(list, 1)), "18446744073709551615");
    assert_string_equal(gw_large_text(json_array_get(list, 2)), "-9223372036854775809");
    assert_true(json_is_real(json_array_get(list, 3)));
    assert_null(gw_large_text(json_array_get(list, 0)));
    assert_null(gw_large_text(json_array_get(list, 4)));
    assert_null(gw_large_text(NULL));
    json_decref(list);
    made = gw_large_integer(UINT64_MAX);
    assert_string_equal(gw_large_text(made), "18446744073709551615");
    json_decref(made);
    made = gw_large_integer(INT64_MAX);
    assert_int_equal(json_integer_value(made), INT64_MAX);
    json_decref(made);
}

/* What is no JSON is none with a number in it either. */
static void test_wrong(void **state)
{
    static const char *const texts[] = {"[18446744073709551615", "[18446744073709551615 1]", "18446744073709551615-",
                                        "[18446744073709551615,1e999]", "[18446744073709551615,\"x]", "[-,18446744073709551615]"};

    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        json_error_t wrong;
        json_t *value = gw_large_load(texts[i], strlen(texts[i]), 0, &wrong);

        if (value)
            fail_msg("%s", texts[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trips),
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_wrong),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
