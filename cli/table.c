/* SPDX-License-Identifier: MIT */
#include "table.h"

#include <assert.h>
#include <string.h>

#include "cmd.h"
#include "options.h"

#define OPTIONS_MAX 40
#define FIRST       1000 /* val of the first long option; letters are below */

struct list {
    const struct gw_cli_option *option[OPTIONS_MAX];
    int count;
};

static void add(struct list *list, const struct gw_cli_option *o)
{
    for (; o->name || o->also; o++) {
        if (o->also)
            add(list, o->also);
        else if (list->count < OPTIONS_MAX)
            list->option[list->count++] = o;
        else
            assert(!"a command has too many options");
    }
}

static bool has_value(const struct gw_cli_option *o)
{
    return !o->flag;
}

static int wrong(const char *who, const struct gw_cli_option *o, const char *value)
{
    if (o->number && o->least)
        fprintf(stderr, "%s: --%s %s: a number from %u to %u is expected\n", who, o->name, value, o->least, o->most);
    else if (o->number)
        fprintf(stderr, "%s: --%s %s: a number up to %u is expected\n", who, o->name, value, o->most);
    else
        fprintf(stderr, "%s: --%s '%s': that is not understood\n", who, o->name, value);
    return GW_EXIT_USAGE;
}

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
    if (o->flag) {
        *o->flag = true;
    } else if (o->text) {
        *o->text = value;
    } else if (o->number) {
        if (!gw_option_number(value, o->least, o->most, &n))
            return wrong(who, o, value);
        *o->number = (unsigned)n;
    } else {
        taken = o->take(o->opaque, value);
    }
    return taken == GW_CLI_WRONG ? wrong(who, o, value) : taken == GW_CLI_TOLD ? GW_EXIT_USAGE : -1;
}

static int index_of(const struct list *list, int c)
{
    int i = c - FIRST;

    for (int k = 0; i < 0 && k < list->count; k++)
        if (list->option[k]->letter == c)
            i = k;
    return i;
}

int gw_cli_options(int argc, char **argv, const struct gw_cli_option *options, int (*usage)(FILE *to))
{
    struct option longs[OPTIONS_MAX + 2] = {{"help", no_argument, NULL, 'h'}};
    char letters[2 * OPTIONS_MAX + 2] = "h";
    struct list list = {.count = 0};
    int c, at = 1, r = -1;

    add(&list, options);
    for (int n = 0; n < list.count; n++) {
        const struct gw_cli_option *o = list.option[n];

        longs[n + 1] = (struct option){o->name, has_value(o) ? required_argument : no_argument, NULL, FIRST + n};
        if (!o->letter)
            continue;
        letters[at++] = o->letter;
        if (has_value(o))
            letters[at++] = ':';
    }
    while (r < 0 && (c = getopt_long(argc, argv, letters, longs, NULL)) != -1) {
        if (c == 'h')
            return usage(stdout);
        if (c == '?') /* getopt has told */
            return GW_EXIT_USAGE;
        r = set(argv[0], list.option[index_of(&list, c)], optarg);
    }
    return r;
}
