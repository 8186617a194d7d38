/* SPDX-License-Identifier: MIT */
#include "table.h"

#include <assert.h>
#include <stdarg.h>
#include <string.h>

#include "cmd.h"
#include "complete.h"
#include "help.h"
#include "nearest.h"
#include "options.h"
#include "shown.h"
#include "value.h"

#define FIRST 1000 /* val of the first long option; lower values are letters */

/* ---- lists of words ------------------------------------------------------------------------------------------------ */

size_t gw_cli_next_word(const char **words, const char **ret_word)
{
    const char *word = *words ? *words + strspn(*words, " ") : "";
    size_t n = strcspn(word, " ");

    *ret_word = word;
    *words = word + n;
    return n;
}

bool gw_cli_has_word(const char *words, const char *word)
{
    const char *one;

    for (size_t n; (n = gw_cli_next_word(&words, &one));)
        if (strlen(word) == n && !strncmp(one, word, n))
            return true;
    return false;
}

void gw_cli_list(struct gw_cli_list *list, const struct gw_cli_option *o)
{
    for (; o->name || o->also; o++) {
        if (o->also)
            gw_cli_list(list, o->also);
        else if (list->count < GW_CLI_OPTIONS_MAX)
            list->option[list->count++] = o;
        else
            assert(!"a command has too many options");
    }
}

bool gw_cli_has_value(const struct gw_cli_option *o)
{
    return !o->flag;
}

/* ---- what is wrong ------------------------------------------------------------------------------------------------- */

int gw_cli_wrong(const char *who, const char *fmt, ...)
{
    va_list ap;

    fprintf(stderr, "%s: ", who);
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fprintf(stderr, "; see `%s --help`\n", who);
    return GW_EXIT_USAGE;
}

/* "parked, stream or libvirt" */
static void print_choices(const char *choices)
{
    const char *word;
    size_t n = gw_cli_next_word(&choices, &word);

    while (n) {
        fprintf(stderr, "%.*s", (int)n, word);
        n = gw_cli_next_word(&choices, &word);
        if (n)
            fputs(choices[strspn(choices, " ")] ? ", " : " or ", stderr);
    }
}

static void print_nearest_choice(const char *choices, const char *value)
{
    struct gw_cli_nearest near = {.word = value};
    char copy[64];
    const char *word;

    for (size_t n; (n = gw_cli_next_word(&choices, &word));) {
        snprintf(copy, sizeof copy, "%.*s", (int)n, word);
        near.best = NULL;
        gw_cli_nearest_try(&near, copy);
        if (near.best) {
            fprintf(stderr, "; did you mean %s?", near.best);
            return;
        }
    }
}

static int wrong_value(const char *who, const struct gw_cli_option *o, const char *value)
{
    const char *expected = gw_cli_value(o->value ? o->value : "")->expected;

    value = gw_shown(value);
    if (o->choices) {
        fprintf(stderr, "%s: --%s '%s': ", who, o->name, value);
        print_choices(o->choices);
        fputs(" is expected", stderr);
        print_nearest_choice(o->choices, value);
        fputs("\n", stderr);
    } else if (o->number && o->least) {
        fprintf(stderr, "%s: --%s %s: a number from %u to %u is expected\n", who, o->name, value, o->least, o->most);
    } else if (o->number) {
        fprintf(stderr, "%s: --%s %s: a number up to %u is expected\n", who, o->name, value, o->most);
    } else if (expected) {
        fprintf(stderr, "%s: --%s '%s': %s is expected\n", who, o->name, value, expected);
    } else {
        fprintf(stderr, "%s: --%s '%s': this is not a valid value\n", who, o->name, value);
    }
    return GW_EXIT_USAGE;
}

static int no_option(const char *who, const struct gw_cli_list *list, const char *word)
{
    size_t n = strcspn(word, "=");
    struct gw_cli_nearest near;
    char name[64], could[256] = "";
    int begin_so = 0;

    snprintf(name, sizeof name, "%.*s", (int)(n < 60 ? n : 60), word);
    near = (struct gw_cli_nearest){.word = name};
    gw_cli_nearest_try(&near, "help");
    for (int i = 0; i < list->count; i++) {
        const char *known = list->option[i]->name;

        gw_cli_nearest_try(&near, known);
        if (strncmp(known, name, strlen(name)) || !name[0])
            continue;
        snprintf(could + strlen(could), sizeof could - strlen(could), "%s--%s", begin_so++ ? " or " : "", known);
    }
    if (begin_so)
        return gw_cli_wrong(who, "option --%s could be %s", gw_shown(name), could);
    if (!near.best)
        return gw_cli_wrong(who, "no option --%s", gw_shown(name));
    fprintf(stderr, "%s: no option --%s; did you mean --%s?\n", who, gw_shown(name), near.best);
    return GW_EXIT_USAGE;
}

/* Explains what getopt did not accept. word: the argument that contained it. */
static int not_taken(const char *who, const struct gw_cli_list *list, int c, const char *word)
{
    const struct gw_cli_option *o = NULL;

    for (int i = 0; i < list->count; i++)
        if (optopt == FIRST + i || (optopt && optopt == list->option[i]->letter))
            o = list->option[i];
    if (c == ':' && o)
        return gw_cli_wrong(who, "option --%s: %s is missing", o->name, o->value ? o->value : "its value");
    if (o)
        return gw_cli_wrong(who, "option --%s takes no value", o->name);
    if (optopt)
        return gw_cli_wrong(who, "no option -%s", gw_shown((char[]){(char)optopt, 0}));
    return no_option(who, list, word + strspn(word, "-"));
}

const struct gw_cli_sub *gw_cli_sub_find(const char *who, const struct gw_cli_sub *subs, const char *name)
{
    struct gw_cli_nearest near = {.word = name};

    for (const struct gw_cli_sub *s = subs; s->name; s++) {
        if (!strcmp(s->name, name))
            return s;
        gw_cli_nearest_try(&near, s->name);
    }
    if (near.best)
        fprintf(stderr, "%s: no command '%s'; did you mean %s?\n", who, gw_shown(name), near.best);
    else
        gw_cli_wrong(who, "no command '%s'", gw_shown(name));
    return NULL;
}

/* The number of words that are mandatory. */
static int must_have(const char *arguments)
{
    const char *word;
    int n = 0;

    while (gw_cli_next_word(&arguments, &word))
        n += word[0] != '[';
    return n;
}

int gw_cli_arguments(int argc, char **argv, const char *what, const char *arguments)
{
    const char *word;
    int i = optind;

    for (size_t n; (n = gw_cli_next_word(&arguments, &word));) {
        bool repeats = n > 3 && !strncmp(word + n - 3, "...", 3);

        if (i >= argc && word[0] != '[')
            return gw_cli_wrong(argv[0], "%s%.*s is missing", what, (int)(n - (repeats ? 3 : 0)), word);
        i += i < argc;
        if (repeats && i < argc - must_have(arguments))
            i = argc - must_have(arguments);
    }
    return i < argc ? gw_cli_wrong(argv[0], "%ssurplus argument '%s'", what, gw_shown(argv[i])) : -1;
}

/* ---- taking ------------------------------------------------------------------------------------------------------------ */

static int refuse(const char *who, const struct gw_cli_option *o)
{
    char name[64];

    snprintf(name, sizeof name, "--%s", o->name);
    return gw_option_absent(strncmp(who, "godwit ", 7) ? who : who + 7, name, o->absent);
}

static int set(const char *who, const struct gw_cli_option *o, char *value)
{
    enum gw_cli_taken taken = GW_CLI_TAKEN;
    uint64_t n;

    if (o->absent)
        return refuse(who, o);
    if (value && o->choices && !gw_cli_has_word(o->choices, value))
        return wrong_value(who, o, value);
    if (o->flag) {
        *o->flag = true;
    } else if (o->text) {
        *o->text = value;
    } else if (o->number) {
        if (!gw_option_number(value, o->least, o->most, &n))
            return wrong_value(who, o, value);
        *o->number = (unsigned)n;
    } else {
        taken = o->take(o->opaque, value);
    }
    return taken == GW_CLI_WRONG ? wrong_value(who, o, value) : taken == GW_CLI_TOLD ? GW_EXIT_USAGE : -1;
}

static int index_of(const struct gw_cli_list *list, int c)
{
    int i = c - FIRST;

    for (int k = 0; i < 0 && k < list->count; k++)
        if (list->option[k]->letter == c)
            i = k;
    return i;
}

/* Fills getopt's tables. The leading colon makes getopt silent and lets it distinguish a missing value. */
static void describe(const struct gw_cli_list *list, struct option *longs, char *letters)
{
    *letters++ = ':';
    *letters++ = 'h';
    *longs++ = (struct option){"help", optional_argument, NULL, 'h'}; /* --help=SUB is used by `godwit help` */
    for (int n = 0; n < list->count; n++) {
        const struct gw_cli_option *o = list->option[n];

        *longs++ = (struct option){o->name, gw_cli_has_value(o) ? required_argument : no_argument, NULL, FIRST + n};
        if (!o->letter)
            continue;
        *letters++ = o->letter;
        if (gw_cli_has_value(o))
            *letters++ = ':';
    }
    *letters = 0;
}

/* Prints the help of the subcommand that is requested or named anywhere, else of all. */
static int help(int argc, char **argv, const struct gw_cli_command *c, const char *wanted)
{
    const struct gw_cli_sub *sub = NULL;

    if (wanted && !c->subs)
        return gw_cli_wrong(argv[0], "there are no subcommands, so no '%s'", gw_shown(wanted));
    if (wanted && !(sub = gw_cli_sub_find(argv[0], c->subs, wanted)))
        return GW_EXIT_USAGE;
    for (int i = 1; c->subs && !sub && i < argc; i++)
        for (const struct gw_cli_sub *s = c->subs; s->name; s++)
            if (!strcmp(argv[i], s->name))
                sub = s;
    gw_cli_help(stdout, argv[0], c, sub);
    return GW_EXIT_DONE;
}

/* Checks that arguments and options belong to the subcommand. given: the options used, by their number in the list. */
static int check_sub(int argc, char **argv, const struct gw_cli_command *c, const struct gw_cli_list *list, const bool *given)
{
    int at = optind + (c->before_sub != NULL), first = optind, r;
    const struct gw_cli_sub *sub;
    char what[64];

    if (c->before_sub && optind >= argc)
        return gw_cli_wrong(argv[0], "%s is missing", c->before_sub);
    if (at >= argc)
        return gw_cli_wrong(argv[0], "COMMAND is missing");
    sub = gw_cli_sub_find(argv[0], c->subs, argv[at]);
    if (!sub)
        return GW_EXIT_USAGE;
    for (int i = 0; i < list->count; i++)
        if (given[i] && list->option[i]->of && !gw_cli_has_word(list->option[i]->of, sub->name))
            return gw_cli_wrong(argv[0], "%s has no option --%s", sub->name, list->option[i]->name);
    if (!sub->arguments)
        return -1;
    snprintf(what, sizeof what, "%s: ", sub->name);
    optind = at + 1;
    r = gw_cli_arguments(argc, argv, what, sub->arguments);
    optind = first;
    return r;
}

int gw_cli_parse(int argc, char **argv, const struct gw_cli_command *command)
{
    struct option longs[GW_CLI_OPTIONS_MAX + 2] = {{0}};
    char letters[2 * GW_CLI_OPTIONS_MAX + 3];
    struct gw_cli_list list = {.count = 0};
    bool given[GW_CLI_OPTIONS_MAX] = {false};
    int c, r = -1;

    if (argc == 2 && gw_cli_complete(argv[0], argv[1], command))
        return GW_EXIT_DONE;
    gw_cli_list(&list, command->options);
    describe(&list, longs, letters);
    while (r < 0 && (c = getopt_long(argc, argv, letters, longs, NULL)) != -1) {
        if (c == 'h')
            return help(argc, argv, command, optarg);
        if (c == '?' || c == ':')
            return not_taken(argv[0], &list, c, argv[optind - 1]);
        given[index_of(&list, c)] = true;
        r = set(argv[0], list.option[index_of(&list, c)], optarg);
    }
    if (r >= 0)
        return r;
    if (command->subs && !command->subs_parse)
        return check_sub(argc, argv, command, &list, given);
    return command->arguments ? gw_cli_arguments(argc, argv, "", command->arguments) : -1;
}
