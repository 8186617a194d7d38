/* SPDX-License-Identifier: MIT
 *
 * One field of a schema: what is read where nothing, or something else, stands; which types are the same bytes; how many bytes
 * a field is on the wire.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "state/schema_field.h"

static struct gw_arena arena;

static const struct gw_json *field(const char *text)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_json *v = NULL;

    if (gw_json_parse(text, strlen(text), &arena, &v, &err) < 0)
        fail_msg("%s: %s", text, err.text);
    return v;
}

static int down(void **state)
{
    gw_arena_free(&arena);
    return 0;
}

static void test_members(void **state)
{
    const struct gw_json *f = field("{\"name\": \"a\", \"size\": 4, \"conditional\": true, \"list\": [7], \"empty\": []}");

    assert_string_equal(gw_field_text(f, "name"), "a");
    assert_string_equal(gw_field_text(f, "size"), "");
    assert_string_equal(gw_field_text(f, "none"), "");
    assert_int_equal(gw_field_number(f, "size", -1), 4);
    assert_int_equal(gw_field_number(f, "name", -1), -1);
    assert_int_equal(gw_field_number(f, "conditional", -1), -1);
    assert_true(gw_field_true(f, "conditional"));
    assert_false(gw_field_true(f, "size"));
    assert_int_equal(gw_field_list(f, "list")->number, 7);
    assert_null(gw_field_list(f, "empty"));
    assert_null(gw_field_list(f, "name"));
}

static void test_families(void **state)
{
    static const struct {
        const char *a, *b;
        bool same;
    } cases[] = {
        {"uint32", "uint32 equal", true}, {"int32", "uint32 le", true}, {"bool", "uint8", true},   {"timer", "int64", true},
        {"uint32", "uint64", false},      {"uint3", "uint32", false},   {"tmp", "vstruct", true},  {"unused_buffer", "buffer", true},
        {"qlist", "qtailq", true},        {"struct", "buffer", false},  {"", "uint32", true},      {"uint16", "", true},
        {"something", "something", true}, {"int", "int8", false},       {"uint8", "int8", true},
    };

    for (size_t i = 0; i < GW_ARRAY_LEN(cases); i++)
        if (gw_field_same_family(cases[i].a, cases[i].b) != cases[i].same ||
            gw_field_same_family(cases[i].b, cases[i].a) != cases[i].same)
            fail_msg("%s, %s", cases[i].a, cases[i].b);
}

static void test_bytes(void **state)
{
    static const struct {
        const char *text;
        int64_t bytes;
    } cases[] = {
        {"{\"size\": 4}", 4},
        {"{\"size\": 4, \"count\": 3}", 12},
        {"{\"count\": 3}", -1},
        {"{\"size\": -4}", -1},
        {"{\"size\": 4, \"count\": -3}", -1},
        {"{\"size\": 4, \"max\": 3}", -1},
        {"{\"size\": 4, \"state\": {}}", -1},
        {"{\"size\": 4, \"nullable\": true}", -1},
        {"{\"size\": 4, \"nullable\": false}", 4},
        {"{\"size\": 9223372036854775807, \"count\": 2}", -1},
    };

    for (size_t i = 0; i < GW_ARRAY_LEN(cases); i++)
        if (gw_field_bytes(field(cases[i].text)) != cases[i].bytes)
            fail_msg("%s: %lld", cases[i].text, (long long)gw_field_bytes(field(cases[i].text)));
    assert_true(gw_field_same_bytes(field("{\"size\": 4}"), field("{\"size\": 1, \"count\": 4}")));
    assert_false(gw_field_same_bytes(field("{\"size\": 4}"), field("{\"size\": 4, \"conditional\": true}")));
    assert_false(gw_field_same_bytes(field("{}"), field("{}"))); /* neither is known */
}

static void test_layouts(void **state)
{
    static const char *const plain = "{\"type\": \"uint32\", \"size\": 4}";
    static const char *const other[] = {
        "{\"type\": \"uint64\", \"size\": 4}",
        "{\"type\": \"uint32\", \"size\": 8}",
        "{\"type\": \"uint32\", \"size\": 4, \"count\": 2}",
        "{\"type\": \"uint32\", \"size\": 4, \"max\": 2}",
        "{\"type\": \"uint32\", \"size\": 4, \"state\": {}}",
        "{\"type\": \"uint32\", \"size\": 4, \"conditional\": true}",
    };

    assert_true(gw_field_same_layout(field(plain), field("{\"type\": \"int32\", \"size\": 4, \"name\": \"b\"}")));
    for (size_t i = 0; i < GW_ARRAY_LEN(other); i++)
        if (gw_field_same_layout(field(plain), field(other[i])))
            fail_msg("%s", other[i]);
    assert_true(gw_field_same_name(field("{\"name\": \"a\"}"), field("{\"name\": \"a\", \"size\": 4}")));
    assert_false(gw_field_same_name(field("{\"name\": \"a\"}"), field("{\"name\": \"ab\"}")));
    assert_true(gw_field_is_bytes(field("{\"type\": \"buffer\"}")) && gw_field_is_bytes(field("{\"type\": \"uint8\"}")));
    assert_false(gw_field_is_bytes(field("{\"type\": \"unused_buffer\"}")) || gw_field_is_bytes(field("{\"type\": \"int8\"}")));
    assert_true(gw_field_is_padding(field("{\"type\": \"unused_buffer\"}")));
    assert_false(gw_field_is_padding(field("{\"type\": \"buffer\"}")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_members, down),
        cmocka_unit_test_teardown(test_families, down),
        cmocka_unit_test_teardown(test_bytes, down),
        cmocka_unit_test_teardown(test_layouts, down),
    };

    return cmocka_run_group_tests_name("schema_field", tests, NULL, NULL);
}
