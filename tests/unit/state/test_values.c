/* SPDX-License-Identifier: MIT
 *
 * A device's body as named values by its description alone: paths, how each type is shown, what differs, and bytes that cannot
 * be what is described.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "state/values.h"

#define FAILING_COUNTDOWN
#include "../../failing.h"

#define DEVICE(fields) "{\"page_size\": 4096, \"devices\": [{\"name\": \"d\", \"instance_id\": 0, \"vmsd_name\": \"d\", \"version\": 1, " fields "}]}"
#define FIELD(name, type, size) "{\"name\": \"" name "\", \"type\": \"" type "\", \"size\": " size "}"

static struct gw_vmdesc_tree *parse(const char *text)
{
    struct gw_vmdesc_tree *tree = NULL;
    struct gw_error err = GW_ERROR_INIT;

    if (gw_vmdesc_parse(text, strlen(text), &tree, &err) < 0)
        fail_msg("%s: %s", text, err.text);
    return tree;
}

/* One field of this type over these bytes, as people read it and as JSON. */
static void shown(const char *type, const char *size, const void *body, size_t bytes, const char *text, const char *json)
{
    for (int as_json = 0; as_json < 2; as_json++) {
        char desc[400], want[300];
        struct gw_error err = GW_ERROR_INIT;
        struct gw_vmdesc_tree *tree;
        struct gw_text t = {0};
        uint8_t *copy = malloc(bytes);

        memcpy(copy, body, bytes);
        snprintf(desc, sizeof desc, DEVICE("\"fields\": [" FIELD("f", "%s", "%s") "]"), type, size);
        tree = parse(desc);
        if (as_json)
            gw_text_open(&t, NULL, '{');
        if (gw_values_print(&t, &tree->devices[0].state, copy, bytes, as_json, "  ", &err) < 0)
            fail_msg("%s: %s", desc, err.text);
        snprintf(want, sizeof want, as_json ? "{\"f\": %s" : "  f = %s\n", as_json ? json : text);
        assert_string_equal(t.data, want);
        gw_text_free(&t);
        gw_vmdesc_tree_free(tree);
        free(copy);
    }
}
#define SHOWN(type, size, body, text, json) shown(type, size, body, sizeof(body) - 1, text, json)

static void test_types(void **state)
{
    SHOWN("uint8", "1", "\x09", "9", "9");
    SHOWN("uint8", "1", "\xff", "255 (0xff)", "255");
    SHOWN("int8", "1", "\xff", "-1", "-1");
    SHOWN("uint16", "2", "\1\2", "258 (0x102)", "258");
    SHOWN("int16", "2", "\x80\0", "-32768", "-32768");
    SHOWN("uint32", "4", "\xff\xff\xff\xff", "4294967295 (0xffffffff)", "4294967295");
    SHOWN("int32", "4", "\x80\0\0\0", "-2147483648", "-2147483648");
    SHOWN("int32 equal", "4", "\0\0\0\5", "5", "5");
    SHOWN("uint64", "8", "\xff\xff\xff\xff\xff\xff\xff\xff", "18446744073709551615 (0xffffffffffffffff)",
          "18446744073709551615");
    SHOWN("int64", "8", "\x80\0\0\0\0\0\0\0", "-9223372036854775808", "-9223372036854775808");
    SHOWN("bool", "1", "\0", "false", "false");
    SHOWN("bool", "1", "\2", "true", "true");
    SHOWN("timer", "8", "\xff\xff\xff\xff\xff\xff\xff\xff", "not armed", "null");
    SHOWN("timer", "8", "\0\0\0\0\0\0\0\x64", "100", "100");
    SHOWN("CPU_Double_U", "8", "\x3f\xf8\0\0\0\0\0\0", "1.5", "1.5");
    SHOWN("CPU_Double_U", "8", "\x7f\xf0\0\0\0\0\0\0", "inf", "\"7ff0000000000000\"");
    /* A type of another size is bytes. */
    SHOWN("uint32", "2", "\1\2", "0102", "\"0102\"");
    SHOWN("buffer", "4", "text", "\"text\"", "\"74657874\"");
    SHOWN("buffer", "6", "ab\0\0\0\0", "\"ab\"", "\"616200000000\"");
    SHOWN("buffer", "3", "a\"b", "612262", "\"612262\"");
    SHOWN("buffer", "4", "a\0b\0", "61006200", "\"61006200\"");
    SHOWN("buffer", "9", "\0\0\0\0\0\0\0\0\0", "9 zeros", "\"000000000000000000\"");
}

static void test_arrays(void **state)
{
    static const char desc[] = DEVICE("\"fields\": [{\"name\": \"a\", \"array_len\": 3, \"type\": \"uint16\", \"size\": 2}, "
                                      "{\"name\": \"z\", \"array_len\": 2, \"type\": \"uint8\", \"size\": 1}]");
    struct gw_vmdesc_tree *tree = parse(desc);
    struct gw_text t = {0};

    assert_int_equal(gw_values_print(&t, &tree->devices[0].state, (const uint8_t *)"\0\1\0\2\0\x0a\0\0", 8, false, NULL, NULL), 0);
    assert_string_equal(t.data, "a = [1, 2, 10 (0xa)]\nz = 2 zeros\n");
    gw_text_free(&t);
    gw_vmdesc_tree_free(tree);
}

/* Names within names, and subsections. */
static const char nested[] = DEVICE("\"fields\": [{\"name\": \"in\", \"type\": \"struct\", \"struct\": {\"vmsd_name\": \"s\", "
                                    "\"version\": 1, \"fields\": [" FIELD("x", "uint8", "1") "]}, \"size\": 1}, " FIELD("y", "uint8", "1")
                                    "], \"subsections\": [{\"vmsd_name\": \"d/more\", \"version\": 7, \"fields\": [" FIELD("w", "uint8", "1") "]}]");
static const uint8_t body[] = "\1\2\5\6d/more\0\0\0\7\3";

static void test_paths(void **state)
{
    struct gw_vmdesc_tree *tree = parse(nested);
    struct gw_text t = {0};
    struct gw_error err = GW_ERROR_INIT;

    if (gw_values_print(&t, &tree->devices[0].state, body, sizeof body - 1, false, NULL, &err) < 0)
        fail_msg("%s", err.text);
    assert_string_equal(t.data, "in.x = 1\ny = 2\nd/more.w = 3\n");
    gw_text_free(&t);
    gw_vmdesc_tree_free(tree);
}

static int nothing(void *opaque, const struct gw_value *v)
{
    return opaque && !strcmp(v->path, opaque) ? -ECANCELED : 0;
}

static void test_refused(void **state)
{
    static const struct {
        size_t at;
        const char *why;
    } rows[] = {{2, "at byte 2 of the body: no such subsection"},
                {3, "no such subsection"},
                {9, "no such subsection"},
                {13, "at byte 2 of the body: a subsection of another version"}};
    struct gw_vmdesc_tree *tree = parse(nested);
    const struct gw_vmdesc_state *st = &tree->devices[0].state;
    struct gw_error err = GW_ERROR_INIT;

    for (size_t n = 0; n < sizeof body + 3; n++) {
        uint8_t *copy = calloc(1, n + !n);
        int r;

        memcpy(copy, body, GW_MIN(n, sizeof body - 1));
        r = gw_values_walk(st, copy, n, nothing, NULL, &err);
        assert_int_equal(r, n == sizeof body - 1 ? 0 : -EPROTO);
        if (r < 0)
            assert_non_null(strstr(err.text, " bytes, but its description has 15"));
        free(copy);
    }
    for (size_t i = 0; i < GW_ARRAY_LEN(rows); i++) {
        uint8_t copy[sizeof body];

        memcpy(copy, body, sizeof body);
        copy[rows[i].at] ^= 1;
        assert_int_equal(gw_values_walk(st, copy, sizeof body - 1, nothing, NULL, &err), -EPROTO);
        assert_int_equal(err.blame, GW_BLAME_PEER);
        if (!strstr(err.text, rows[i].why))
            fail_msg("'%s' is not in '%s'", rows[i].why, err.text);
    }
    /* What the caller says is handed on. */
    assert_int_equal(gw_values_walk(st, body, sizeof body - 1, nothing, (void *)"y", &err), -ECANCELED);
    gw_vmdesc_tree_free(tree);
}

static char seen[300];

static void differ(void *opaque, const char *path, const struct gw_value *a, const struct gw_value *b)
{
    size_t n = strlen(seen);

    snprintf(seen + n, sizeof seen - n, "%s:%d-%d ", path, a ? a->data[a->bytes - 1] : -1, b ? b->data[b->bytes - 1] : -1);
}

static void test_diff(void **state)
{
    struct gw_vmdesc_tree *a = parse(DEVICE("\"fields\": [" FIELD("x", "uint8", "1") ", " FIELD("only_a", "uint8", "1")
                                            ", {\"name\": \"v\", \"array_len\": 12, \"type\": \"uint8\", \"size\": 1}, " FIELD("t", "uint8", "1") "]"));
    struct gw_vmdesc_tree *b = parse(DEVICE("\"fields\": [" FIELD("t", "int8", "1") ", {\"name\": \"v\", \"array_len\": 12, \"type\": "
                                            "\"uint8\", \"size\": 1}, " FIELD("x", "uint8", "1") ", " FIELD("only_b", "uint8", "1") "]"));
    const uint8_t body_a[] = {1, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9}, body_b[] = {8, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 6, 0, 1, 3};
    struct gw_error err = GW_ERROR_INIT;

    seen[0] = 0;
    if (gw_values_diff(&a->devices[0].state, body_a, 15, &b->devices[0].state, body_b, 15, differ, NULL, &err) < 0)
        fail_msg("%s", err.text);
    assert_string_equal(seen, "only_a:2--1 only_b:-1-3 t:9-8 v[2]:0-5 v[10]:0-6 ");
    seen[0] = 0;
    assert_int_equal(gw_values_diff(&a->devices[0].state, body_a, 15, &a->devices[0].state, body_a, 15, differ, NULL, &err), 0);
    assert_string_equal(seen, "");
    assert_int_equal(gw_values_diff(&a->devices[0].state, body_a, 15, &b->devices[0].state, body_b, 14, differ, NULL, &err), -EPROTO);
    gw_vmdesc_tree_free(a);
    gw_vmdesc_tree_free(b);
}

static void test_nomem(void **state)
{
    struct gw_vmdesc_tree *tree = parse(nested);
    const struct gw_vmdesc_state *st = &tree->devices[0].state;

    for (unsigned n = 1; n < 20; n++)
        for (int diff = 0; diff < 2; diff++) {
            struct gw_error err = GW_ERROR_INIT;
            struct gw_text t = {0};
            bool hit;
            int r;

            countdown = n;
            r = diff ? gw_values_diff(st, body, sizeof body - 1, st, body, sizeof body - 1, differ, NULL, &err)
                     : gw_values_print(&t, st, body, sizeof body - 1, false, "", &err);
            hit = countdown == 0;
            countdown = 0;
            assert_int_equal(r, hit ? -ENOMEM : 0);
            if (hit)
                assert_string_equal(err.text, "out of memory (device values)");
            gw_text_free(&t);
        }
    gw_vmdesc_tree_free(tree);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_types),   cmocka_unit_test(test_arrays), cmocka_unit_test(test_paths),
        cmocka_unit_test(test_refused), cmocka_unit_test(test_diff),   cmocka_unit_test(test_nomem),
    };

    return cmocka_run_group_tests_name("values", tests, NULL, NULL);
}
