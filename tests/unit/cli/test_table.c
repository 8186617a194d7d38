/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "cmd.h"
#include "table.h"

static struct {
    bool force, json;
    const char *text;
    unsigned number;
    unsigned taken;
} got;

static enum gw_cli_taken take(void *opaque, char *value)
{
    got.taken++;
    return !strcmp(value, "good") ? GW_CLI_TAKEN : GW_CLI_WRONG;
}

static const struct gw_cli_option more[] = {{"json", .flag = &got.json, .help = "h"}, {0}};
static const struct gw_cli_option options[] = {
    {"force", 'f', .flag = &got.force, .of = "save", .help = "h"},
    {"text", 't', .text = &got.text, .value = "FILE", .help = "h"},
    {"choice", .text = &got.text, .value = "NAME", .choices = "one two", .help = "h"},
    {"number", .number = &got.number, .least = 2, .most = 8, .value = "N", .help = "h"},
    {"seconds", .take = take, .value = "SECONDS", .help = "h"},
    {"gone", .absent = "TLS"},
    {.also = more},
    {0},
};
static const struct gw_cli_sub subs[] = {{"save", "FILE", "s"}, {"list", "[NAME]...", "s"}, {"own", NULL, "s"}, {0}};

static const struct gw_cli_command plain = {.arguments = "IN [OUT]", .about = "a", .options = options};
static const struct gw_cli_command sub = {.about = "a", .options = options, .subs = subs, .before_sub = "SOCKET"};

static char said[1000];
static int first; /* argument, by its number */

/* The words of a line, taken by a command; what was printed on stderr is in `said`. */
static int parse(const struct gw_cli_command *command, const char *line)
{
    char copy[200], *argv[20] = {(char *)"godwit do"}, *save = NULL;
    int argc = 1, before = dup(2), status;
    FILE *f = tmpfile();

    assert_non_null(f);
    snprintf(copy, sizeof copy, "%s", line);
    for (char *word = strtok_r(copy, " ", &save); word; word = strtok_r(NULL, " ", &save))
        argv[argc++] = word;
    memset(&got, 0, sizeof got);
    memset(said, 0, sizeof said);
    optind = 0; /* from the beginning */
    dup2(fileno(f), 2);
    status = gw_cli_parse(argc, argv, command);
    dup2(before, 2);
    close(before);
    first = optind;
    assert_true(pread(fileno(f), said, sizeof said - 1, 0) >= 0);
    fclose(f);
    if (got.text)
        got.text = strcmp(got.text, "one") ? "other" : "one"; /* copy ends here */
    return status;
}

static void wrong(const struct gw_cli_command *command, const char *line, const char *what)
{
    if (parse(command, line) != GW_EXIT_USAGE || strncmp(said, "godwit do: ", 11) != 0 || !strstr(said, what) ||
        strchr(said, '\n') != said + strlen(said) - 1)
        fail_msg("%s: %s", line, said);
}

static void test_taken(void **state)
{
    assert_int_equal(parse(&plain, "--force in --choice one --number=8 out --json"), -1);
    assert_true(got.force && got.json && got.number == 8);
    assert_string_equal(got.text, "one");
    assert_int_equal(first, 6); /* arguments are behind the options now */
    assert_int_equal(parse(&plain, "in -ft x --seconds good"), -1);
    assert_true(got.force && got.text && got.taken == 1);
    assert_int_equal(parse(&plain, "--num 2 --number 3 in"), -1); /* cut, and the last one counts */
    assert_int_equal(got.number, 3);
    assert_int_equal(parse(&plain, "-- --force"), -1);
    assert_false(got.force);
    assert_string_equal(said, "");
}

/* A word that repeats leaves room for those behind it. */
static void test_repeated(void **state)
{
    static const struct gw_cli_command disks = {.arguments = "DISK... NAME", .about = "a", .options = options};

    assert_int_equal(parse(&disks, "a b"), -1);
    assert_int_equal(parse(&disks, "a b c d"), -1);
    wrong(&disks, "a", "NAME is missing");
    wrong(&disks, "", "DISK is missing");
}

static void test_wrong(void **state)
{
    wrong(&plain, "", "IN is missing");
    wrong(&plain, "a b c", "surplus argument 'c'");
    wrong(&plain, "--froce a", "no option --froce; did you mean --force?");
    wrong(&plain, "--xxxxxxx=3 a", "no option --xxxxxxx;");
    wrong(&plain, "-x a", "no option -x");
    wrong(&plain, "a --text", "option --text: FILE is missing");
    wrong(&plain, "a -t", "option --text: FILE is missing");
    wrong(&plain, "--json=1 a", "option --json takes no value");
    wrong(&plain, "--choice three a", "--choice 'three': one or two is expected");
    wrong(&plain, "--choice twp a", "did you mean two?");
    wrong(&plain, "--number 9 a", "--number 9: a number from 2 to 8 is expected");
    wrong(&plain, "--seconds bad a", "--seconds 'bad': a number of seconds such as");
    wrong(&plain, "--n 1 a", "a number from 2 to 8");
    wrong(&plain, "--gone x a", "TLS: not in this build");
    wrong(&plain, "--help=save", "no 'save'");
}

static void test_sub(void **state)
{
    assert_int_equal(parse(&sub, "sock save file --force"), -1);
    assert_true(got.force);
    assert_int_equal(parse(&sub, "sock list"), -1);
    assert_int_equal(parse(&sub, "--json sock list a b c"), -1);
    assert_int_equal(parse(&sub, "sock own whatever there is"), -1); /* it checks them itself */
    wrong(&sub, "", "SOCKET is missing");
    wrong(&sub, "sock", "COMMAND is missing");
    wrong(&sub, "sock svae x", "no command 'svae'; did you mean save?");
    wrong(&sub, "sock save", "save: FILE is missing");
    wrong(&sub, "sock save a b", "save: surplus argument 'b'");
    wrong(&sub, "sock list --force", "list has no option --force");
    wrong(&sub, "--help=svae", "did you mean save?");
}

static void test_words(void **state)
{
    const char *words = " one  two", *word;

    assert_true(gw_cli_has_word("migrate plan", "plan") && gw_cli_has_word("plan", "plan"));
    assert_false(gw_cli_has_word("migrate plan", "pla") || gw_cli_has_word("migrate", "migrates") || gw_cli_has_word(NULL, "x"));
    assert_int_equal(gw_cli_next_word(&words, &word), 3);
    assert_memory_equal(word, "one", 3);
    assert_int_equal(gw_cli_next_word(&words, &word), 3);
    assert_memory_equal(word, "two", 3);
    assert_int_equal(gw_cli_next_word(&words, &word), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_taken), cmocka_unit_test(test_repeated), cmocka_unit_test(test_wrong),
                                       cmocka_unit_test(test_sub), cmocka_unit_test(test_words)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
