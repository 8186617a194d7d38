/* SPDX-License-Identifier: MIT
 *
 * The schema of a machine: every field, with its type and its bounds.
 */
#include "schemas.h"

static void test_dump(void **state)
{
    char *json = dump(&zoo_state, "zoo", "menagerie");
    struct gw_arena arena = {0};
    struct gw_error err = GW_ERROR_INIT;
    struct gw_json *root, *device;

    assert_int_equal(gw_json_parse(json, strlen(json), &arena, &root, &err), 0);
    device = gw_json_get(root, "devices")->first;
    assert_string_equal(gw_json_get(gw_json_get(device, "state"), "name")->string, "zoo");
    assert_int_equal(gw_json_get(gw_json_get(device, "state"), "fields")->count, GW_ARRAY_LEN(zoo_fields) - 2);
    assert_int_equal(gw_json_get(gw_json_get(device, "state"), "subsections")->count, 2);
    assert_non_null(strstr(json,
                           "{\"name\": \"words\", \"type\": \"uint64\", \"max\": 9, \"counted_by\": \"words_len\", "
                           "\"size\": 8}"));
    assert_non_null(
        strstr(json, "{\"name\": \"animals\", \"type\": \"qtailq\", \"max\": 6, \"state\": {\"name\": \"animal\""));
    gw_arena_free(&arena);
    free(json);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dump),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
