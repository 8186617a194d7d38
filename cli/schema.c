/* SPDX-License-Identifier: MIT
 *
 * godwit schema: the device state of the built-in test machine as JSON, and whether state of one schema loads into
 * another.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <godwit/godwit.h>
#include <jansson.h>

#include "cmd.h"
#include "complete.h"
#include "confine.h"
#include "examine.h"
#include "shown.h"
#include "table.h"

#define COMMAND "schema"
#define IMPORT  "Writes what a QEMU wrote with -dump-vmstate to FILE as `dump` would. '-' is standard input."
#define CHECK                                                                                                          \
    "Tells what keeps state written by FROM from loading into TO. Both are files of `dump` or of QEMU's -dump-vmstate. The exit " \
    "status is 3 when something does."
#define MAX_SCHEMA_BYTES (64u << 20)

char *gw_schema_slurp(const char *path)
{
    FILE *f = strcmp(path, "-") ? fopen(path, "re") : stdin;
    size_t n = 0, cap = 65536;
    char *text = f ? malloc(cap + 1) : NULL;

    while (text) {
        size_t got = fread(text + n, 1, cap - n, f);

        n += got;
        if (!got)
            break;
        if (n == cap) {
            char *more = cap < MAX_SCHEMA_BYTES ? realloc(text, cap * 2 + 1) : NULL;

            if (!more) {
                free(text);
                text = NULL;
                errno = EFBIG;
                break;
            }
            text = more;
            cap *= 2;
        }
    }
    if (text)
        text[n] = 0;
    if (f && f != stdin)
        fclose(f);
    return text;
}

static int import(int argc, char **argv)
{
    const struct gw_cli_option options[] = {{0}};
    const struct gw_cli_command command =
        {.usage = "import FILE [OPTION]...", .arguments = "FILE", .about = IMPORT, .options = options};
    struct gw_error err = GW_ERROR_INIT;
    char *text, *schema = NULL;
    int r = gw_cli_parse(argc, argv, &command);

    if (r >= 0)
        return r;
    text = gw_schema_slurp(argv[optind]);
    if (!text)
        return gw_cli_failed(COMMAND, argv[optind], strerror(errno));
    r = gw_schema_from_dump(text, strlen(text), &schema, &err);
    free(text);
    if (r < 0)
        return gw_cli_failed(COMMAND, argv[optind], err.text);
    printf("%s\n", schema);
    free(schema);
    return gw_cli_end(COMMAND, GW_EXIT_DONE);
}

struct findings {
    json_t *json; /* NULL: text */
    bool quiet;
    unsigned notes;
};

static void found(void *opaque, bool breaking, const char *where, const char *what)
{
    struct findings *f = opaque;

    if (f->json)
        json_array_append_new(f->json,
                              json_pack("{s:b, s:s, s:s}", "breaking", breaking, "where", where, "what", what));
    else if (!f->quiet)
        printf("%s %s: %s\n", breaking ? "breaks" : "differs", gw_shown(where), gw_shown(what));
    f->notes += !breaking;
}

static int check(int argc, char **argv)
{
    struct gw_error err = GW_ERROR_INIT;
    struct findings f = {0};
    char *from, *to = NULL;
    bool json = false;
    struct gw_confine confine = {.command = COMMAND};
    const struct gw_cli_option options[] = {{"json", .flag = &json, .help = "Print a JSON array."},
                                            {"quiet", 'q', .flag = &f.quiet, .help = "Only set the exit status."},
                                            GW_CONFINE_OPTION(&confine),
                                            {0}};
    const struct gw_cli_command command =
        {.usage = "check FROM TO [OPTION]...", .arguments = "FROM TO", .about = CHECK, .options = options};
    int r = gw_cli_parse(argc, argv, &command);

    if (r >= 0)
        return r;
    from = gw_schema_slurp(argv[optind]);
    if (!from)
        return gw_cli_failed(COMMAND, argv[optind], strerror(errno));
    to = gw_schema_slurp(argv[optind + 1]);
    if (!to) {
        free(from);
        return gw_cli_failed(COMMAND, argv[optind + 1], strerror(errno));
    }
    if (json)
        f.json = json_array();
    r = gw_confine(&confine, GW_CONFINE_ALL, &err);
    if (r >= 0)
        r = gw_schema_check(from, to, found, &f, &err);
    free(from);
    free(to);
    if (f.json && r >= 0) {
        json_dumpf(f.json, stdout, JSON_INDENT(2) | JSON_ENSURE_ASCII);
        printf("\n");
    }
    json_decref(f.json);
    if (r < 0)
        return gw_cli_failed(COMMAND, "check", err.text);
    if (!json && !f.quiet)
        printf("%s: %d difference%s between %s and %s\n", r ? "it would not load" : "it loads", r + (int)f.notes,
               r + (int)f.notes == 1 ? "" : "s", gw_shown(argv[optind]), gw_shown(argv[optind + 1]));
    return gw_cli_end(COMMAND, r ? GW_EXIT_DIFFERENT : GW_EXIT_DONE);
}

static int dump(int argc, char **argv)
{
    return gw_schema_dump_machine(argc, argv);
}

static int (*const runs[])(int argc, char **argv) = {dump, import, check, gw_schema_explain};

static const struct gw_cli_sub subs[] = {
    {"dump", .about = GW_SCHEMA_DUMP},
    {"import", .about = IMPORT},
    {"check", .about = CHECK},
    {"explain", .about = GW_SCHEMA_EXPLAIN},
    {0},
};

/* The table of this command, and of each subcommand. */
static int complete(char **argv, const struct gw_cli_command *command)
{
    char name[64];

    gw_cli_complete(argv[0], argv[1], command);
    for (const struct gw_cli_sub *s = subs; s->name; s++) {
        snprintf(name, sizeof name, "godwit schema %s", s->name);
        runs[s - subs](2, (char *[]){name, argv[1], NULL});
    }
    return GW_EXIT_DONE;
}

int gw_cmd_schema(int argc, char **argv)
{
    const struct gw_cli_command command = {
        .usage = "COMMAND [ARGUMENT]... [OPTION]...",
        .about = "Describes the device state of a machine, and checks whether the state of one version loads into another.",
        .subs = subs,
        .subs_parse = true,
        .options = (const struct gw_cli_option[]){{0}}};
    const char *help = "--help=", *word = argc > 1 ? argv[1] : "";
    const struct gw_cli_sub *sub;

    if (gw_cli_is_completion(word))
        return complete(argv, &command);
    if (argc < 2)
        return gw_cli_wrong(argv[0], "COMMAND is missing");
    if (word[0] == '-' && strncmp(word, help, strlen(help)) != 0)
        return gw_cli_parse(2, argv, &command);
    sub = gw_cli_sub_find(argv[0], subs, word[0] == '-' ? word + strlen(help) : word);
    if (!sub)
        return GW_EXIT_USAGE;
    if (word[0] == '-')
        return runs[sub - subs](2, (char *[]){argv[0], (char *)"--help", NULL});
    argv[1] = argv[0];
    return runs[sub - subs](argc - 1, argv + 1);
}
