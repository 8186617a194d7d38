/* SPDX-License-Identifier: MIT
 *
 * JSON from anyone: what is taken, as what, and what is refused at which byte; the more that QMP takes; limits.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "state/json.h"

#define FAILING_COUNTDOWN
#include "../../failing.h"

static struct gw_arena arena;

/* From memory of just that size. */
static int parse(const char *text, size_t n, bool qmp, struct gw_json **ret, struct gw_error *err)
{
    char *copy = malloc(n + !n);
    int r;

    memcpy(copy, text, n);
    *err = (struct gw_error)GW_ERROR_INIT;
    r = (qmp ? gw_json_parse_qmp : gw_json_parse)(copy, n, &arena, ret, err);
    free(copy); /* nothing of the tree is in it */
    return r;
}

static int down(void **state)
{
    gw_arena_free(&arena);
    return 0;
}

static struct gw_json *good(const char *text)
{
    struct gw_json *v = NULL;
    struct gw_error err;

    if (parse(text, strlen(text), false, &v, &err) < 0)
        fail_msg("%s: %s", text, err.text);
    return v;
}

static void test_values(void **state)
{
    struct gw_json *v = good(" \t\r\n{\"a\": [1, -2, true, false, null, 1.5, 1e3, -0, {}], \"b\": \"text\", \"a\": \"again\"} ");
    static const enum gw_json_type types[] = {GW_JSON_INT,  GW_JSON_INT,  GW_JSON_BOOL, GW_JSON_BOOL,  GW_JSON_NULL,
                                              GW_JSON_REAL, GW_JSON_REAL, GW_JSON_INT,  GW_JSON_OBJECT};
    static const int64_t numbers[] = {1, -2, 1, 0, 0, 0, 0, 0, 0};
    const struct gw_json *m;
    unsigned i = 0;

    assert_int_equal(v->type, GW_JSON_OBJECT);
    assert_int_equal(v->count, 3);
    /* In their order, also keys that come twice; the last one is found. */
    assert_string_equal(v->first->key, "a");
    assert_string_equal(v->first->next->key, "b");
    assert_string_equal(v->first->next->next->key, "a");
    assert_string_equal(gw_json_get(v, "a")->string, "again");
    assert_int_equal(gw_json_get(v, "b")->count, 4);
    assert_null(gw_json_get(v, "c"));
    assert_null(gw_json_get(NULL, "a"));
    assert_null(gw_json_get(v->first, "a")); /* a list */
    assert_int_equal(v->first->count, 9);
    for (m = v->first->first; m; m = m->next, i++) {
        assert_int_equal(m->type, types[i]);
        if (m->type != GW_JSON_REAL)
            assert_true(m->number == numbers[i]);
        assert_null(m->key);
    }
    assert_int_equal(i, 9);
}

static void test_numbers(void **state)
{
    static const struct {
        const char *text;
        int64_t want; /* 0: it is REAL, with its text */
    } rows[] = {
        {"9223372036854775807", INT64_MAX}, {"-9223372036854775808", INT64_MIN}, {"9223372036854775808", 0},
        {"-9223372036854775809", 0},        {"18446744073709551615", 0},         {"1.0", 0},
        {"1E+10", 0},                       {"99999999999999999999999999999", 0}, {"-12", -12},
        {"0.5e-3", 0},
    };

    for (size_t i = 0; i < GW_ARRAY_LEN(rows); i++) {
        const struct gw_json *v = good(rows[i].text);

        assert_int_equal(v->type, rows[i].want ? GW_JSON_INT : GW_JSON_REAL);
        if (rows[i].want)
            assert_true(v->number == rows[i].want);
        else
            assert_string_equal(v->string, rows[i].text);
    }
}

static void test_strings(void **state)
{
    static const struct {
        const char *text, *want;
    } rows[] = {
        {"\"\"", ""},
        {"\"a\\\"\\\\\\/\"", "a\"\\/"},
        {"\"\\u0041\\u00e4\\u20ac\"", "A\xc3\xa4\xe2\x82\xac"},
        {"\"\\ud83d\\ude00\"", "\xf0\x9f\x98\x80"},
        {"\"\\uD83D\\uDE00\"", "\xf0\x9f\x98\x80"},
        {"\"\xc3\xa4\xff\"", "\xc3\xa4\xff"}, /* whether it is UTF-8 is not looked at */
        {"\"\\ud83d\"", "\xed\xa0\xbd"},    /* half a pair */
        {"\"\\ud83dx\"", "\xed\xa0\xbdx"},
        {"\"\\ud83d\\u0041\"", "\xed\xa0\xbd" "A"},
    };

    for (size_t i = 0; i < GW_ARRAY_LEN(rows); i++) {
        const struct gw_json *v = good(rows[i].text);

        assert_int_equal(v->type, GW_JSON_STRING);
        assert_string_equal(v->string, rows[i].want);
        assert_int_equal(v->count, strlen(rows[i].want));
    }
}

static void test_refused(void **state)
{
    static const struct {
        const char *text, *why;
    } rows[] = {
        {"", "not JSON at byte 0: it ends too early"},
        {"  ", "not JSON at byte 2: it ends too early"},
        {"[1,", "not JSON at byte 3: it ends too early"},
        {"[1", "not JSON at byte 2: a comma is missing"},
        {"[1 2]", "not JSON at byte 3: a comma is missing"},
        {"[1,]", "not JSON at byte 3: not a value"},
        {"{", "not JSON at byte 1: a key is missing"},
        {"{1:2}", "not JSON at byte 1: a key is missing"},
        {"{\"a\" 1}", "not JSON at byte 5: a colon is missing"},
        {"{\"a\":1,}", "a key is missing"},
        {"1 2", "not JSON at byte 2: something follows the end"},
        {"nul", "not a value"},
        {"nulL", "not a value"},
        {"+1", "not a value"},
        {"-", "not a value"},
        {"01", "a number that begins with 0"},
        {"1.", "a number without digits"},
        {"1e", "a number without digits"},
        {"1e+", "a number without digits"},
        {"\"", "a string without an end"},
        {"\"a\\", "a string without an end"},
        {"\"\\\"", "a string without an end"},
        {"\"\n\"", "a control character in a string"},
        {"\"\\n\"", "a control character in a string"},
        {"\"\\u0085\"", "a control character in a string"},
        {"\"\xc2\x85\"", "a control character in a string"},
        {"\"\x7f\"", "a control character in a string"},
        {"\"\\u0000\"", "a NUL in a string"},
        {"\"\\x41\"", "no such escape"},
        {"\"\\'\"", "no such escape"},
        {"\"\\u12\"", "an escape "},
        {"\"\\u12g4\"", "an escape with no hexadecimal digit"},
        {"\"\\ud83d\\u\"", "an escape "},
        {"'a'", "not a value"},
    };

    for (size_t i = 0; i < GW_ARRAY_LEN(rows); i++) {
        struct gw_json *v = NULL;
        struct gw_error err;

        assert_int_equal(parse(rows[i].text, strlen(rows[i].text), false, &v, &err), -EPROTO);
        assert_int_equal(err.blame, GW_BLAME_PEER);
        if (!strstr(err.text, rows[i].why))
            fail_msg("%s: '%s' is not in '%s'", rows[i].text, rows[i].why, err.text);
        assert_null(v);
    }
}

static void test_qmp(void **state)
{
    struct gw_json *v = NULL;
    struct gw_error err;
    const char text[] = "{'a': 'it\\'s', \"b\": \"\\u0000x\\n\"}";

    if (parse(text, sizeof text - 1, true, &v, &err) < 0)
        fail_msg("%s", err.text);
    assert_string_equal(gw_json_get(v, "a")->string, "it's");
    assert_int_equal(gw_json_get(v, "b")->count, 3);
    assert_memory_equal(gw_json_get(v, "b")->string, "\0x\n", 4);
    assert_int_equal(parse("{'a\\u0000': 1}", 15 - 1, true, &v, &err), -EPROTO);
    assert_non_null(strstr(err.text, "a NUL in a key"));
    assert_int_equal(parse("'a\"", 3, true, &v, &err), -EPROTO);
}

/* As deep as it may be, and one more; cut at each byte. */
static void test_depth(void **state)
{
    static const struct {
        bool qmp;
        unsigned depth;
    } rows[] = {{false, GW_JSON_DEPTH_MAX}, {true, GW_JSON_QMP_DEPTH}};
    struct gw_json *v = NULL;
    struct gw_error err;
    char text[2 * GW_JSON_QMP_DEPTH + 4];

    for (size_t i = 0; i < 2; i++) {
        unsigned n = rows[i].depth;

        memset(text, '[', n + 1);
        memset(text + n, ']', n + 2);
        assert_int_equal(parse(text, 2 * n, rows[i].qmp, &v, &err), 0);
        memset(text, '[', n + 1);
        memset(text + n + 1, ']', n + 1);
        assert_int_equal(parse(text, 2 * n + 2, rows[i].qmp, &v, &err), -EPROTO);
        assert_non_null(strstr(err.text, "nested too deep"));
    }
    static const char some[] = "{\"k\": [\"\\u0041\\ud83d\\ude00\", -1.5e+3, true, {\"x\": null}]}";
    for (size_t n = 0; n < sizeof some - 1; n++)
        assert_int_equal(parse(some, n, false, &v, &err), -EPROTO);
    assert_int_equal(parse(some, sizeof some - 1, false, &v, &err), 0);
}

static void test_limits(void **state)
{
    const size_t most = 2 * (size_t)GW_JSON_NODES_MAX + 2;
    char *text = malloc(most);
    struct gw_json *v = NULL;
    struct gw_error err = GW_ERROR_INIT;

    for (size_t i = 0; i < most; i += 2)
        memcpy(text + i, ",1", 2);
    text[0] = '[';
    text[most - 1] = ']';
    text[most - 2] = ' ';
    /* The list itself is one of them: one too many. */
    assert_int_equal(gw_json_parse(text, most, &arena, &v, &err), -EPROTO);
    assert_non_null(strstr(err.text, "too many values"));
    gw_arena_free(&arena);
    /* Nobody looks at the bytes. */
    assert_int_equal(gw_json_parse(text, (size_t)GW_JSON_BYTES_MAX + 1, &arena, &v, &err), -EPROTO);
    assert_string_equal(err.text, "67108865 bytes of JSON, at most 67108864");
    assert_null(v);
    free(text);
}

static void test_arena(void **state)
{
    static const size_t sizes[] = {0, 1, 15, 16, 17, 4096, 65535, 65536, 65537, 200000};

    for (size_t i = 0; i < GW_ARRAY_LEN(sizes); i++) {
        uint8_t *p = gw_arena_take(&arena, sizes[i]);

        assert_non_null(p);
        assert_int_equal((uintptr_t)p % 16, 0);
        for (size_t k = 0; k < sizes[i]; k++)
            assert_int_equal(p[k], 0);
        memset(p, 0xee, sizes[i]);
    }
    gw_arena_free(&arena);
    gw_arena_free(&arena);
    countdown = 1;
    assert_null(gw_arena_take(&arena, 1));
    countdown = 0;
}

/* No memory is told apart from wrong text. */
static void test_nomem(void **state)
{
    char text[200000];
    struct gw_json *v = NULL;
    struct gw_error err = GW_ERROR_INIT;

    memset(text, 'x', sizeof text);
    text[0] = '[';
    text[1] = text[sizeof text - 2] = '"';
    text[sizeof text - 1] = ']';
    for (unsigned n = 1; n <= 2; n++) {
        countdown = n;
        assert_int_equal(gw_json_parse(text, sizeof text, &arena, &v, &err), -ENOMEM);
        countdown = 0;
        assert_int_equal(err.blame, GW_BLAME_LOCAL);
        assert_string_equal(err.text, "out of memory (JSON text)");
        gw_arena_free(&arena);
    }
    assert_int_equal(gw_json_parse(text, sizeof text, &arena, &v, &err), 0);
}

#define json_test(f) cmocka_unit_test_teardown(f, down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        json_test(test_values), json_test(test_numbers), json_test(test_strings), json_test(test_refused), json_test(test_qmp),
        json_test(test_depth),  json_test(test_limits),  json_test(test_arena),   json_test(test_nomem),
    };

    return cmocka_run_group_tests_name("json", tests, NULL, NULL);
}
