/* SPDX-License-Identifier: MIT
 *
 * A string that grows, and JSON put into it: the separators of the wire's descriptions, what is escaped, and no memory.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "state/text.h"

#define FAILING_COUNTDOWN
#include "../../failing.h"

static void is(struct gw_text *t, const char *want)
{
    assert_false(t->failed);
    assert_int_equal(t->bytes, strlen(want));
    assert_string_equal(t->data, want);
    gw_text_free(t);
    assert_null(t->data);
}

static void test_json(void **state)
{
    struct gw_text t = {0};

    gw_text_open(&t, NULL, '{');
    gw_text_string(&t, "name", "a");
    gw_text_int(&t, "n", UINT64_MAX);
    gw_text_open(&t, "list", '[');
    gw_text_int(&t, NULL, 0);
    gw_text_open(&t, NULL, '{');
    gw_text_close(&t, '}');
    gw_text_open(&t, NULL, '[');
    gw_text_close(&t, ']');
    gw_text_string(&t, NULL, "");
    gw_text_close(&t, ']');
    gw_text_bool(&t, "yes", true);
    gw_text_bool(&t, "no", false);
    gw_text_raw(&t, "raw", "[1,2]");
    gw_text_close(&t, '}');
    is(&t, "{\"name\": \"a\", \"n\": 18446744073709551615, \"list\": [0, {}, [], \"\"], \"yes\": true, \"no\": false, "
           "\"raw\": [1,2]}");
    gw_text_int(&t, NULL, 7);
    is(&t, "7");
}

/* Brackets in strings are no brackets. */
static void test_escaped(void **state)
{
    struct gw_text t = {0};

    gw_text_open(&t, NULL, '[');
    gw_text_string(&t, NULL, "{");
    gw_text_string(&t, NULL, "[");
    gw_text_string(&t, NULL, "a\"b\\c");
    gw_text_string(&t, NULL, "\n\x1f\x7f\xff ~");
    gw_text_close(&t, ']');
    is(&t, "[\"{\", \"[\", \"a\\\"b\\\\c\", \"\\u000a\\u001f\\u007f\\u00ff ~\"]");
    gw_text_open(&t, NULL, '{');
    gw_text_int(&t, "k\"", 1);
    gw_text_close(&t, '}');
    is(&t, "{\"k\\\"\": 1}");
}

/* Around the sizes at which it grows, and the one up to which a print is short. */
static void test_sizes(void **state)
{
    static char long_text[2000];

    memset(long_text, 'x', sizeof long_text - 1);
    for (int n = 0; n < 1200; n += n > 240 && n < 270 ? 1 : 37) {
        struct gw_text t = {0};

        gw_text_printf(&t, "<%.*s>", n, long_text);
        assert_int_equal(t.bytes, n + 2);
        assert_int_equal(strlen(t.data), n + 2);
        assert_int_equal(t.data[n + 1], '>');
        gw_text_add(&t, long_text, (size_t)n);
        gw_text_add(&t, "", 0);
        assert_int_equal(strlen(t.data), 2 * n + 2);
        assert_true(t.cap > t.bytes);
        gw_text_free(&t);
    }
}

/* A failure sticks, and what was there before is as it was. */
static void test_nomem(void **state)
{
    for (unsigned n = 1; n <= 2; n++) {
        struct gw_text t = {0};

        countdown = n;
        gw_text_add(&t, "before", 6);
        gw_text_printf(&t, "%01000d", 7);
        countdown = 0;
        assert_true(t.failed);
        gw_text_add(&t, "after", 5);
        gw_text_string(&t, "k", "v");
        gw_text_printf(&t, "%01000d", 7);
        assert_int_equal(t.bytes, n == 1 ? 0 : 6);
        if (n == 2)
            assert_string_equal(t.data, "before");
        else
            assert_null(t.data);
        gw_text_free(&t);
        assert_false(t.failed);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_json),
        cmocka_unit_test(test_escaped),
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_nomem),
    };

    return cmocka_run_group_tests_name("text", tests, NULL, NULL);
}
