/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "nearest.h"

static void test_distance(void **state)
{
    char longer[100];

    assert_int_equal(gw_cli_distance("", ""), 0);
    assert_int_equal(gw_cli_distance("", "abc"), 3);
    assert_int_equal(gw_cli_distance("abc", ""), 3);
    assert_int_equal(gw_cli_distance("same", "same"), 0);
    assert_int_equal(gw_cli_distance("changed", "chanced"), 1);
    assert_int_equal(gw_cli_distance("shor", "short"), 1);
    assert_int_equal(gw_cli_distance("sned", "send"), 1); /* neighbours that are exchanged count once */
    assert_int_equal(gw_cli_distance("kitten", "sitting"), 3);
    memset(longer, 'x', sizeof longer - 1);
    longer[99] = 0;
    assert_true(gw_cli_distance(longer, longer) > 64);
}

static const char *nearest(const char *word)
{
    static const char *const known[] = {"params", "peer", "parameter", "json", "quiet", "wait-recovery", "q"};
    struct gw_cli_nearest n = {.word = word};

    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        gw_cli_nearest_try(&n, known[i]);
    return n.best;
}

static void test_best(void **state)
{
    assert_string_equal(nearest("pramas"), "params");
    assert_string_equal(nearest("paramter"), "parameter");
    assert_string_equal(nearest("jsno"), "json");
    assert_string_equal(nearest("quite"), "quiet");
    assert_string_equal(nearest("wiat-rec"), "wait-recovery"); /* what it begins with */
    assert_null(nearest("verify"));
    assert_null(nearest("x")); /* so short a word is near to anything */
    assert_null(nearest(""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_distance), cmocka_unit_test(test_best)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
