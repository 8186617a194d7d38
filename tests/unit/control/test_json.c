/* SPDX-License-Identifier: MIT
 *
 * QMP's JSON: numbers that are kept as they came, strings that are never taken for numbers, checks of arguments by their list.
 * Over the wire: test_values.c; the text itself: state/test_json.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include <math.h>

#include "control/internal.h"

static json_t *load(const char *text)
{
    struct gw_error err = GW_ERROR_INIT;
    json_t *v = NULL;

    if (gw_json_load(text, strlen(text), &v, &err) < 0)
        fail_msg("%s: %s", text, err.text);
    return v;
}

static void test_numbers(void **state)
{
    static const struct {
        const char *text, *large;
        bool integer;
    } rows[] = {
        {"9223372036854775807", NULL, true}, {"9223372036854775808", "9223372036854775808", false},
        {"18446744073709551616", "18446744073709551616", false}, {"-9223372036854775809", NULL, false},
        {"1.50", NULL, false}, {"-0.0", NULL, false}, {"1e999", NULL, false}, {"0", NULL, true},
    };

    for (size_t i = 0; i < GW_ARRAY_LEN(rows); i++) {
        json_t *v = load(rows[i].text);
        char *text = gw_json_text(v);

        assert_string_equal(text, rows[i].text);
        assert_int_equal(json_is_integer(v), rows[i].integer);
        assert_false(gw_json_is_string(v));
        if (rows[i].large)
            assert_string_equal(gw_json_large(v), rows[i].large);
        else
            assert_null(gw_json_large(v));
        free(text);
        json_decref(v);
    }
    for (uint64_t n = INT64_MAX - 1ull; n <= INT64_MAX + 2ull; n++) {
        json_t *v = gw_json_u64(n);
        char *text = gw_json_text(v), want[32];

        snprintf(want, sizeof want, "%" PRIu64, n);
        assert_string_equal(text, want);
        free(text);
        json_decref(v);
    }
    assert_null(gw_json_text(NULL));
    assert_null(gw_json_large(NULL));
    assert_false(gw_json_is_string(NULL));
}

/* Control characters only in the outermost id, at any depth of it. */
static void test_control_characters(void **state)
{
    static const struct {
        const char *text;
        bool good;
    } rows[] = {
        {"{\"id\": \"\\u0001\\n\"}", true},      {"{\"id\": {\"k\\n\": [\"\\u0000\"]}}", true},
        {"{\"id\": \"\\u00015\"}", true},         {"{\"a\": \"\\n\"}", false},
        {"{\"a\": {\"id\": \"\\n\"}}", false},     {"{\"a\\n\": 1}", false},
        {"[\"\\u0085\"]", false},               {"\"\\u007f\"", false},
    };

    for (size_t i = 0; i < GW_ARRAY_LEN(rows); i++) {
        struct gw_error err = GW_ERROR_INIT;
        json_t *v = NULL;
        int r = gw_json_load(rows[i].text, strlen(rows[i].text), &v, &err);

        if (r != (rows[i].good ? 0 : -EPROTO))
            fail_msg("%s: %s", rows[i].text, err.text);
        if (r < 0) {
            assert_int_equal(err.blame, GW_BLAME_PEER);
            assert_non_null(strstr(err.text, "a control character in a "));
            assert_null(v);
        }
        json_decref(v);
    }
}

/* A text that begins like a marked number stays a text, and comes back as it was. */
static void test_marks(void **state)
{
    json_t *v = load("{\"id\": \"\\u000118446744073709551615\"}"), *id = json_object_get(v, "id");
    char *text = gw_json_text(v);

    assert_true(gw_json_is_string(id));
    assert_null(gw_json_large(id));
    assert_string_equal(text, "{\"id\":\"\\u000118446744073709551615\"}");
    free(text);
    json_decref(v);
}

static void test_refused(void **state)
{
    static const char *const rows[][2] = {
        {"{\"a\": 1, \"a\": 2}", "the key 'a' occurs twice"},
        {"[{\"b\": 1, \"b\": 2}]", "the key 'b' occurs twice"},
        {"\"\xff\"", "a string is not UTF-8"},
        {"\"\\ud83d\"", "a string is not UTF-8"},
        {"{", "not JSON at byte 1"},
        {"", "not JSON at byte 0"},
    };

    for (size_t i = 0; i < GW_ARRAY_LEN(rows); i++) {
        struct gw_error err = GW_ERROR_INIT;
        json_t *v = NULL;

        assert_int_equal(gw_json_load(rows[i][0], strlen(rows[i][0]), &v, &err), -EPROTO);
        assert_null(v);
        if (!strstr(err.text, rows[i][1]))
            fail_msg("'%s' is not in '%s'", rows[i][1], err.text);
    }
}

static void test_check(void **state)
{
    static const char spec[] = "s:s b?b i?i a?a o?o";
    static const char *const rows[][2] = {
        {"{'s': 'x'}", NULL},
        {"{'s': '', 'b': true, 'i': -1, 'a': [], 'o': {}}", NULL},
        {"{}", "argument 'at.s' is missing"},
        {"{'s': 5}", "argument 'at.s' must have type string"},
        {"{'s': 1.5}", "argument 'at.s' must have type string"},
        {"{'s': null}", "must have type string"},
        {"{'s': 'x', 'b': 1}", "argument 'at.b' must have type boolean"},
        {"{'s': 'x', 'i': 1.0}", "argument 'at.i' must have type integer"},
        {"{'s': 'x', 'i': '1'}", "must have type integer"},
        {"{'s': 'x', 'a': {}}", "argument 'at.a' must have type array"},
        {"{'s': 'x', 'o': []}", "argument 'at.o' must have type object"},
        {"{'s': 'x', 'z': 1}", "there is no argument 'at.z'"},
        {"{'s': 'x', '': 1}", "there is no argument 'at.'"},
    };

    for (size_t i = 0; i < GW_ARRAY_LEN(rows); i++) {
        struct gw_error err = GW_ERROR_INIT;
        json_t *v = load(rows[i][0]);
        int r = gw_json_check(v, spec, "at.", &err);

        assert_int_equal(r, rows[i][1] ? -EINVAL : 0);
        if (rows[i][1]) {
            assert_int_equal(err.blame, GW_BLAME_CALLER);
            if (!strstr(err.text, rows[i][1]))
                fail_msg("'%s' is not in '%s'", rows[i][1], err.text);
        }
        /* Where anything may be, and where nothing may. */
        assert_int_equal(gw_json_check(v, "*", "", &err), 0);
        assert_int_equal(gw_json_check(v, "", "", &err), json_object_size(v) ? -EINVAL : 0);
        json_decref(v);
    }
}

static void test_put(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    json_t *o = json_object(), *result = NULL;
    char *text;

    assert_false(gw_json_put_int(o, "max", UINT64_MAX));
    assert_false(gw_json_put_text(o, "text", "x\"y"));
    assert_false(gw_json_put_real(o, "real", 0.5));
    assert_false(gw_json_put_real(o, "nan", NAN)); /* JSON has none */
    assert_false(gw_json_put_real(o, "inf", INFINITY));
    assert_false(gw_json_put_bool(o, "yes", true));
    text = gw_json_text(o);
    assert_string_equal(text, "{\"max\":18446744073709551615,\"text\":\"x\\\"y\",\"real\":0.5,\"nan\":0.0,\"inf\":0.0,\"yes\":true}");
    free(text);
    /* What cannot be put is told, and spoils the whole. */
    assert_true(gw_json_put_text(o, "bad", "\xff"));
    assert_true(gw_json_put(o, "none", NULL));
    assert_int_equal(gw_json_finish(o, true, &result, &err), -ENOMEM);
    assert_null(result);
    assert_int_equal(gw_json_finish(NULL, false, &result, &err), -ENOMEM);
    assert_int_equal(err.blame, GW_BLAME_LOCAL);
    o = json_object();
    assert_int_equal(gw_json_finish(o, false, &result, &err), 0);
    assert_ptr_equal(result, o);
    json_decref(o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numbers), cmocka_unit_test(test_control_characters), cmocka_unit_test(test_marks),
        cmocka_unit_test(test_refused), cmocka_unit_test(test_check),              cmocka_unit_test(test_put),
    };

    return cmocka_run_group_tests_name("json", tests, NULL, NULL);
}
