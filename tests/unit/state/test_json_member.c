/* SPDX-License-Identifier: MIT
 *
 * Members of an object: what is missing, of another type, too large or no name is refused, and the error says whose fault it is.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "state/json_member.h"

static struct gw_arena arena;
static struct gw_json *root;

static int up(void **state)
{
    static const char text[] = "{\"zero\": 0, \"ten\": 10, \"below\": -1, \"part\": 1.5, \"most\": 9223372036854775807, "
                               "\"text\": \"a b~\", \"empty\": \"\", \"high\": \"a\xc3\xa9\", \"list\": [1], "
                               "\"twice\": 1, \"twice\": \"b\"}";

    return gw_json_parse(text, sizeof text - 1, &arena, &root, NULL);
}

static int down(void **state)
{
    gw_arena_free(&arena);
    return 0;
}

static void test_typed(void **state)
{
    assert_int_equal(gw_json_typed(root, "ten", GW_JSON_INT)->number, 10);
    assert_int_equal(gw_json_typed(root, "list", GW_JSON_ARRAY)->count, 1);
    assert_null(gw_json_typed(root, "ten", GW_JSON_REAL));
    assert_null(gw_json_typed(root, "none", GW_JSON_INT));
    assert_null(gw_json_typed(NULL, "ten", GW_JSON_INT));
    /* The last one counts, also if an earlier one has the type. */
    assert_null(gw_json_typed(root, "twice", GW_JSON_INT));
    assert_non_null(gw_json_typed(root, "twice", GW_JSON_STRING));
}

static void test_numbers(void **state)
{
    static const struct {
        const char *key;
        uint64_t max, is;
        bool good;
    } rows[] = {
        {"zero", 0, 0, true}, {"ten", 10, 10, true},     {"ten", 9, 0, false},   {"below", UINT64_MAX, 0, false},
        {"part", 9, 0, false}, {"text", 9, 0, false},    {"none", 9, 0, false},  {"most", UINT64_MAX, INT64_MAX, true},
        {"most", INT64_MAX - 1, 0, false},
    };

    for (unsigned i = 0; i < GW_ARRAY_LEN(rows); i++) {
        struct gw_error err = GW_ERROR_INIT;
        uint64_t got = 77;
        char says[80];

        assert_int_equal(gw_json_get_int(root, rows[i].key, rows[i].max, GW_BLAME_PEER, &got, &err), rows[i].good ? 0 : -EPROTO);
        assert_int_equal(got, rows[i].good ? rows[i].is : 77);
        if (rows[i].good)
            continue;
        snprintf(says, sizeof says, "%s is not a number from 0 to %" PRIu64, rows[i].key, rows[i].max);
        assert_string_equal(err.text, says);
        assert_int_equal(err.blame, GW_BLAME_PEER);
    }
}

static void no_name(const char *key, const char *says)
{
    struct gw_error err = GW_ERROR_INIT;
    const char *name = "as before";

    assert_int_equal(gw_json_get_name(root, key, GW_BLAME_CALLER, &name, &err), -EPROTO);
    assert_string_equal(err.text, says);
    assert_int_equal(err.blame, GW_BLAME_CALLER);
    assert_string_equal(name, "as before");
}

static void test_names(void **state)
{
    char longest[257];
    const char *name;

    assert_int_equal(gw_json_get_name(root, "text", GW_BLAME_CALLER, &name, NULL), 0);
    assert_string_equal(name, "a b~");
    no_name("empty", "empty is not a string of 1 to 255 bytes");
    no_name("none", "none is not a string of 1 to 255 bytes");
    no_name("ten", "ten is not a string of 1 to 255 bytes");
    no_name("high", "high has a byte 0xc3");
    memset(longest, 'n', sizeof longest);
    assert_int_equal(gw_json_check_name("it", longest, 255, GW_BLAME_PEER, NULL), 0);
    assert_int_equal(gw_json_check_name("it", longest, 256, GW_BLAME_PEER, NULL), -EPROTO);
    assert_int_equal(gw_json_check_name("it", "\x7f", 1, GW_BLAME_PEER, NULL), -EPROTO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_typed, up, down),
        cmocka_unit_test_setup_teardown(test_numbers, up, down),
        cmocka_unit_test_setup_teardown(test_names, up, down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
