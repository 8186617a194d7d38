/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "help.h"

struct text {
    FILE *f;
    char *bytes;
    size_t size;
};

static void begin(struct text *t)
{
    t->f = open_memstream(&t->bytes, &t->size);
    assert_non_null(t->f);
}

/* What was printed is this. */
static void ends(struct text *t, const char *expected)
{
    fclose(t->f);
    assert_string_equal(t->bytes, expected);
    free(t->bytes);
}

static void test_wrap(void **state)
{
    struct text t;

    begin(&t);
    gw_cli_wrap(t.f, "", 0, 4);
    gw_cli_wrap(t.f, "a word", 0, 4);
    gw_cli_wrap(t.f, "two\nlines", 0, 2);
    gw_cli_wrap(t.f, "a paragraph\n\nand another", 0, 0);
    ends(&t, "\na word\ntwo\n  lines\na paragraph\n\nand another\n");

    /* Exactly 80 columns fit, and a word that is longer has a line of its own. */
    begin(&t);
    gw_cli_wrap(t.f, "1234567890123456789012345678901234567 1234567890123456789012345678901234567890 x", 2, 2);
    gw_cli_wrap(t.f, "12345678901234567890123456789012345678 12345678901234567890123456789012345678901 x", 0, 1);
    gw_cli_wrap(t.f, "a 123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890 b",
                0, 2);
    ends(&t, "1234567890123456789012345678901234567 1234567890123456789012345678901234567890\n  x\n"
             "12345678901234567890123456789012345678 12345678901234567890123456789012345678901\n x\n"
             "a\n  123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890\n  b\n");
}

static void test_row(void **state)
{
    struct text t;

    begin(&t);
    gw_cli_row(t.f, "--json", "Print one JSON document, which is so long that its text is broken before here.", 12);
    gw_cli_row(t.f, "--parameter NAME", "Set it.", 12);
    gw_cli_row(t.f, "--eight8", "Just fits.", 12);
    gw_cli_row(t.f, "--nine999", "Does not.", 12);
    ends(&t, "  --json    Print one JSON document, which is so long that its text is broken\n            before here.\n"
             "  --parameter NAME\n            Set it.\n  --eight8  Just fits.\n"
             "  --nine999\n            Does not.\n");
}

static void test_all(void **state)
{
    static bool json, force;
    static unsigned level;
    static const char *format, *old;
    static const struct gw_cli_option more[] = {{"quiet", 'q', .flag = &json, .help = "Be quiet."}, {0}};
    const struct gw_cli_option options[] = {
        {"format", .text = &format, .value = "NAME", .choices = "parked stream", .help = "What it becomes."},
        {"level", .number = &level, .least = 1, .most = 9, .value = "N", .help = "How hard."},
        {"force", 'f', .flag = &force, .of = "save", .help = "Replace it."},
        {"old", .text = &old},
        {"gone", .absent = "TLS", .help = "x"},
        {.also = more},
        {0}};
    const struct gw_cli_sub subs[] = {{"save", "FILE", "Saves it. With more to say."}, {"list", "", "Lists all."}, {0}};
    struct gw_cli_command command = {
        .arguments = "IN [OUT]", .about = "Does it.", .after = "And so on.", .options = options};
    struct text t;

    begin(&t);
    gw_cli_help(t.f, "godwit do", &command, NULL);
    ends(&t, "usage: godwit do IN [OUT] [OPTION]...\n\nDoes it.\n\nOptions:\n"
             "  --format NAME  What it becomes (parked, stream).\n"
             "  --level N      How hard (1 to 9).\n"
             "  -q, --quiet    Be quiet.\n"
             "  -h, --help     Print this.\n\nAnd so on.\n");
    command = (struct gw_cli_command){.about = "Does it.", .options = options, .subs = subs, .before_sub = "SOCKET"};
    begin(&t);
    gw_cli_help(t.f, "godwit do", &command, NULL);
    ends(&t, "usage: godwit do SOCKET COMMAND [ARGUMENT]... [OPTION]...\n\nDoes it.\n\nCommands:\n"
             "  save FILE  Saves it.\n  list       Lists all.\n\n`godwit help do COMMAND` shows more about one.\n\nOptions:\n"
             "  --format NAME  What it becomes (parked, stream).\n"
             "  --level N      How hard (1 to 9).\n"
             "  -q, --quiet    Be quiet.\n"
             "  -h, --help     Print this.\n");
    begin(&t);
    gw_cli_help(t.f, "godwit do", &command, &subs[0]);
    ends(&t, "usage: godwit do SOCKET save FILE [OPTION]...\n\nSaves it. With more to say.\n\nOptions:\n"
             "  --format NAME  What it becomes (parked, stream).\n"
             "  --level N      How hard (1 to 9).\n"
             "  -f, --force    Replace it.\n"
             "  -q, --quiet    Be quiet.\n"
             "  -h, --help     Print this.\n");
    command.usage = "IN --format NAME [OPTION]...\nIN --list with words that are so many that the line is broken "
                    "somewhere, but where";
    command.subs = NULL;
    command.options = more;
    begin(&t);
    gw_cli_help(t.f, "godwit do", &command, NULL);
    ends(&t, "usage: godwit do IN --format NAME [OPTION]...\n"
             "       godwit do IN --list with words that are so many that the line is broken\n"
             "                 somewhere, but where\n\nDoes it.\n\nOptions:\n"
             "  -q, --quiet   Be quiet.\n"
             "  -h, --help    Print this.\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_wrap), cmocka_unit_test(test_row),
                                       cmocka_unit_test(test_all)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
