/* SPDX-License-Identifier: MIT
 *
 * What is in a stream, as JSON.
 */
#include "report.h"

static void test_values(void **state)
{
    struct bytes b = stream_load("precopy-none-10.0.bin");
    json_t *json = report_json(&b, SIZE_MAX), *device, *source = json_object_get(json, "source"), *ram;

    assert_string_equal(json_string_value(json_object_get(json, "machine")), "none");
    assert_string_equal(json_string_value(json_object_get(json, "run_state")), "running");
    assert_string_equal(json_string_value(json_object_get(source, "at_least")), "10.0");
    device = json_array_get(json_object_get(json, "devices"), 0);
    assert_string_equal(json_string_value(json_object_get(device, "name")), "timer");
    assert_int_equal(number(json_object_get(device, "values"), "cpu_clock_offset"), 71844538);
    ram = json_object_get(json_object_get(json, "ram"), "contents");
    assert_int_equal(number(ram, "pages"), 4);
    assert_int_equal(number(ram, "distinct"), 4);
    json_decref(json);
    free(b.data);
    b = stream_load("postcopy-10.0.main.src2dst.bin");
    json = report_json(&b, SIZE_MAX);
    ram = json_object_get(json_object_get(json, "ram"), "contents");
    assert_int_equal(number(ram, "pages"), 55);
    assert_int_equal(number(ram, "duplicate"), 54);
    assert_string_equal(json_string_value(json_object_get(json, "kind")), "postcopy");
    json_decref(json);
    free(b.data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
