/* SPDX-License-Identifier: MIT
 *
 * Words of the command line become the arguments of a QMP command, or are refused with a reason.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "large.h"
#include "qmp_words.h"

/* NULL-terminated words; the JSON of the arguments, sorted, or why they were refused. */
static void check(const char *expected, ...)
{
    char why[GW_QMP_WORDS_WHY], *words[16], *text;
    json_t *args = NULL;
    int n = 0, r;
    va_list ap;

    va_start(ap, expected);
    while ((words[n] = va_arg(ap, char *)))
        n++;
    va_end(ap);
    r = gw_qmp_words(n, words, &args, why);
    if (r < 0) {
        assert_null(args);
        assert_string_equal(why, expected);
        return;
    }
    text = args ? gw_large_dump(args, JSON_COMPACT | JSON_SORT_KEYS) : NULL;
    assert_string_equal(text ? text : "none", expected);
    free(text);
    json_decref(args);
}

static void test_values(void **state)
{
    check("none", NULL);
    check("{\"a\":1,\"b\":\"x=y\",\"c\":true,\"d\":false,\"e\":\"\"}", "a=1", "b=x=y", "c=true", "d=false", "e=", NULL);
    check("{\"a\":-7,\"b\":1.5,\"c\":1000.0,\"d\":0}", "a=-7", "b=1.5", "c=1e3", "d=0", NULL);
    /* What only looks like a number or a truth is text. */
    check("{\"a\":\"01\",\"b\":\"0x10\",\"c\":\"1.\",\"d\":\"+1\",\"e\":\"1K\",\"f\":\"on\",\"g\":\"True\",\"h\":\"-\",\"i\":\"null\"}", "a=01",
          "b=0x10", "c=1.", "d=+1", "e=1K", "f=on", "g=True", "h=-", "i=null", NULL);
    check("{\"a\":18446744073709551615}", "a=18446744073709551615", NULL);
}

static void test_json(void **state)
{
    check("{\"a\":\"5\",\"b\":[1,{\"c\":null}],\"d\":null}", "a:=\"5\"", "b:=[1,{\"c\":null}]", "d:=null", NULL);
    check("{\"capabilities\":[{\"capability\":\"events\",\"state\":true}]}", "{\"capabilities\": [{\"capability\": \"events\", \"state\": true}]}",
          NULL);
    check("{\"a\":1}", " {\"a\":1}", NULL);
}

static void test_nested(void **state)
{
    check("{\"a\":{\"b\":1,\"c\":{\"d\":\"x\"}},\"e\":2}", "a.b=1", "e=2", "a.c.d=x", NULL);
    check("{\"a\":{\"b\":1,\"c\":2}}", "a:={\"b\":1}", "a.c=2", NULL);
}

static void test_refused(void **state)
{
    char key[300] = {0};
    char why[400];

    check("'x' is not KEY=VALUE or KEY:=JSON", "a=1", "x", NULL);
    check("'=1' is not KEY=VALUE or KEY:=JSON", "=1", NULL);
    check("':=1' is not KEY=VALUE or KEY:=JSON", ":=1", NULL);
    check("'a' is given twice, or in two ways", "a=1", "a=2", NULL);
    check("'a.b' is given twice, or in two ways", "a=1", "a.b=2", NULL);
    check("'a' is given twice, or in two ways", "a.b=2", "a=1", NULL);
    check("'a..b': a name is empty", "a..b=1", NULL);
    check("'.a': a name is empty", ".a=1", NULL);
    check("'a.': a name is empty", "a.=1", NULL);
    check("'a=\xff' is no text in UTF-8, or too large a number", "a=\xff", NULL);
    check("'\xff' is no text in UTF-8", "\xff=1", NULL);
    check("'\xff.a' is no text in UTF-8", "\xff.a=1", NULL);
    check("'a=1e999' is no text in UTF-8, or too large a number", "a=1e999", NULL);
    check("'{\"a\":1}' is not KEY=VALUE or KEY:=JSON", "{\"a\":1}", "b=1", NULL);
    memset(key, 'k', sizeof key - 3);
    strcat(key, "=1");
    snprintf(why, sizeof why, "'%.200s' is not KEY=VALUE or KEY:=JSON", key);
    check(why, key, NULL);
}

static void test_wrong_json(void **state)
{
    static char wrong[][24] = {"a:=", "a:=[1", "a:={\"b\":1,\"b\":2}", "{\"a\":", "{\"a\":1,\"a\":2}"};
    char why[GW_QMP_WORDS_WHY];
    json_t *args;

    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        char *const word = wrong[i];

        assert_int_equal(gw_qmp_words(1, &word, &args, why), -1);
        assert_non_null(strstr(why, "JSON"));
        assert_null(args);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_values), cmocka_unit_test(test_json), cmocka_unit_test(test_nested),
                                       cmocka_unit_test(test_refused), cmocka_unit_test(test_wrong_json)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
