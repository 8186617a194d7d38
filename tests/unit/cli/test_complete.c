/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "complete.h"

static bool json;
static const char *text;
static const struct gw_cli_option options[] = {
    {"json", 'j', .flag = &json, .help = "It's [a] mark: x."},
    {"format", .text = &text, .value = "NAME", .choices = "one two", .of = "save", .help = "h"},
    {"xml", 'x', .text = &text, .value = "FILE", .help = "h"},
    {"capability", .text = &text, .value = "NAME[=on|off]", .of = "set", .help = "h"},
    {"parameter", .text = &text, .value = "NAME=VALUE", .of = "set", .help = "h"},
    {"gone", .absent = "TLS", .help = "h"},
    {0},
};
static const struct gw_cli_sub subs[] = {{"save", "FILE [URI]...", "Saves."}, {"list", "", "Lists."}, {0}};
static const struct gw_cli_command plain = {.usage = "IN [OUT] --format NAME\nIN --other", .about = "a", .options = options};
static const struct gw_cli_command nested = {.about = "a", .options = options, .subs = subs, .before_sub = "SOCKET"};

static char said[8000];

/* What is printed for this shell. */
static const char *printed(const char *word, const char *who, const struct gw_cli_command *command)
{
    FILE *f = tmpfile();
    int before = dup(1);
    bool there;

    assert_non_null(f);
    fflush(stdout);
    dup2(fileno(f), 1);
    there = gw_cli_complete(who, word, command);
    fflush(stdout);
    dup2(before, 1);
    close(before);
    memset(said, 0, sizeof said);
    assert_true(pread(fileno(f), said, sizeof said - 1, 0) >= 0);
    fclose(f);
    return there ? said : NULL;
}

static void has(const char *all, const char *part)
{
    if (!all || !strstr(all, part))
        fail_msg("no %s in:\n%s", part, all ? all : "nothing");
}

static void test_words(void **state)
{
    assert_true(gw_cli_is_completion("--completion=bash") && gw_cli_is_completion("--completion=zsh"));
    assert_false(gw_cli_is_completion("--completion=fish") || gw_cli_is_completion("--completion") || gw_cli_is_completion("x"));
    assert_null(printed("--completion=fish", "godwit do", &plain));
    assert_null(printed("file", "godwit do", &plain));
    assert_string_equal(said, "");
}

static void test_bash(void **state)
{
    const char *all = printed("--completion=bash", "godwit do", &plain);

    has(all, "_godwit_do() {\n    options='-j --json --format -x --xml --capability --parameter -h --help'\n    arguments='file file '\n");
    has(all, "--format) kind=words choices='one two' ;;");
    has(all, "--xml | -x) kind=file ;;");
    has(all, "--capability) kind=capability ;;");
    has(all, "--parameter) kind=parameter ;;");
    assert_null(strstr(all, "gone"));
    all = printed("--completion=bash", "godwit do", &nested);
    has(all, "before='socket' subs='save list'");
    has(all, "_godwit_do_save() {\n    options='-j --json --format -x --xml -h --help'\n    arguments='file *uri '");
    has(all, "_godwit_do_list() {\n    options='-j --json -x --xml -h --help'\n    arguments=''");
}

static void test_zsh(void **state)
{
    const char *all = printed("--completion=zsh", "godwit schema check", &plain);

    has(all, "_godwit_schema_check() {");
    has(all, "'*'{-j,--json}'[It'\\''s \\[a\\] mark\\: x.]'");
    has(all, "'*--format=[h]:NAME:(one two)'");
    has(all, "'*--capability=[h]:NAME\\[=on|off\\]:_godwit-capability'");
    has(all, "'*--parameter=[h]:NAME=VALUE:_godwit-parameter'");
    has(all, "'*'{-x+,--xml=}'[h]:FILE:_files'");
    has(all, "'1:IN:_files' \\\n        '2::\\[OUT\\]:_files'");
    has(printed("--completion=zsh", "godwit do", &nested), "'*:\\[URI\\]...:_godwit-uri'");
}

static void test_table(void **state)
{
    const char *all = printed("--completion=table", "godwit do", &nested);

    has(all, "option\tdo\tsave\t--format\t \tNAME\tone two\th\n");
    has(all, "option\tdo\t\t--json\tj\t\t\tIt's [a] mark: x.\n");
    has(all, "arguments\tdo\tsave\tFILE [URI]...\tSaves.\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_words), cmocka_unit_test(test_bash), cmocka_unit_test(test_zsh),
                                       cmocka_unit_test(test_table)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
