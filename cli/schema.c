/* SPDX-License-Identifier: MIT
 *
 * godwit schema: the device state of the machine in the box as JSON, and whether state of one schema loads into
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
#include "confine.h"
#include "examine.h"
#include "shown.h"
#include "table.h"

#define COMMAND          "schema"
#define MAX_SCHEMA_BYTES (64u << 20)

static int usage(FILE *to)
{
    fprintf(
        to,
        "usage: godwit schema dump [--cpus N] [--qemu]\n"
        "       godwit schema import FILE\n"
        "       godwit schema check [--json] [--quiet] FROM TO\n"
        "       godwit schema explain [--json] [--all] [--quiet] [--dump FILE] STREAM [INTO]\n\n"
        "dump writes what the state of `godwit vm` consists of, as JSON; with --qemu as QEMU writes it with\n"
        "-dump-vmstate. import writes such a file of any QEMU as dump would ('-': standard input). check compares two\n"
        "files, of either form, and tells what keeps state written by FROM from loading into TO. It exits with 3 when\n"
        "something does. explain tells whether the machine in a migration stream would be loaded by the one that "
        "wrote\n"
        "INTO, by the QEMU whose -dump-vmstate is FILE, or by the one of which both are.\n\n" GW_CONFINE_HELP);
    return to == stdout ? GW_EXIT_DONE : GW_EXIT_USAGE;
}

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
    struct gw_error err = GW_ERROR_INIT;
    char *text, *schema = NULL;
    int r = gw_cli_options(argc, argv, options, usage);

    if (r >= 0)
        return r;
    if (optind + 1 != argc)
        return usage(stderr);
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
    const struct gw_cli_option options[] = {
        {"json", .flag = &json}, {"quiet", 'q', .flag = &f.quiet}, GW_CONFINE_OPTION(&confine), {0}};
    int r = gw_cli_options(argc, argv, options, usage);

    if (r >= 0)
        return r;
    if (optind + 2 != argc)
        return usage(stderr);
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

int gw_cmd_schema(int argc, char **argv)
{
    const char *what;

    if (argc < 2)
        return usage(stderr);
    if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"))
        return usage(stdout);
    what = argv[1];
    argv[1] = argv[0];
    if (!strcmp(what, "dump"))
        return gw_schema_dump_machine(argc - 1, argv + 1, usage);
    if (!strcmp(what, "import"))
        return import(argc - 1, argv + 1);
    if (!strcmp(what, "check"))
        return check(argc - 1, argv + 1);
    if (!strcmp(what, "explain"))
        return gw_schema_explain(argc - 1, argv + 1);
    fprintf(stderr, "godwit schema: there is no '%s'; see `godwit schema --help`\n", what);
    return GW_EXIT_USAGE;
}
