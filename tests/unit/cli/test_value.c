/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "value.h"

static void test_kinds(void **state)
{
    static const struct {
        const char *text;
        enum gw_cli_kind kind;
    } known[] = {{"FILE", GW_CLI_FILE},  {"[FILE|URI]...", GW_CLI_FILE}, {"FILE[,KEY=VALUE]...", GW_CLI_FILE},
                 {"URI...", GW_CLI_URI}, {"[OUT]", GW_CLI_FILE},         {"SOCKET", GW_CLI_SOCKET},
                 {"DIR", GW_CLI_FOLDER}, {"FILES", GW_CLI_ANY},          {"FIL", GW_CLI_ANY},
                 {"", GW_CLI_ANY},       {"USER", GW_CLI_USER},          {"NAME[=on|off]", GW_CLI_CAPABILITY},
                 {"[NAME[=on|off]]...", GW_CLI_CAPABILITY}, {"[NAME[=VALUE]]...", GW_CLI_PARAMETER}, {"NAME=VALUE", GW_CLI_PARAMETER},
                 {"NAME", GW_CLI_ANY},   {"[NAME]...", GW_CLI_ANY},      {"[KEY=VALUE]...", GW_CLI_ANY}};

    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        assert_int_equal(gw_cli_value(known[i].text)->kind, known[i].kind);
    assert_string_equal(gw_cli_kind_name(GW_CLI_FILE), "file");
    assert_string_equal(gw_cli_kind_name(GW_CLI_ANY), "any");
}

static void test_expected(void **state)
{
    assert_string_equal(gw_cli_value("NAME[=on|off]")->expected, "NAME, NAME=on or NAME=off");
    assert_string_equal(gw_cli_value("NAME=VALUE")->expected, "NAME=VALUE");
    assert_non_null(gw_cli_value("SECONDS")->expected);
    assert_null(gw_cli_value("NAME")->expected);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_kinds), cmocka_unit_test(test_expected)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
