/* SPDX-License-Identifier: MIT
 *
 * godwit schema explain: why a stream would not load into the machine that wrote another one.
 */
#include <stdlib.h>
#include <string.h>

#include <godwit/godwit.h>
#include <godwit/examine.h>
#include <jansson.h>

#include "shown.h"
#include "cmd.h"
#include "confine.h"
#include "examine.h"
#include "table.h"

static int usage(FILE *to)
{
    fprintf(to,
            "usage: godwit schema explain [--json] [--all] [--quiet] STREAM INTO\n\n"
            "Tells why the machine in the migration stream STREAM would not load into the one that wrote the stream\n"
            "INTO, in the order in which that one would find out. Both may also be parked machines, libvirt save\n"
            "images, or compressed. Exits with 3 when there is a reason.\n\n"
            "  --all    also what differs and does no harm\n"
            "  --json   as one JSON object\n"
            "  --quiet  only the exit status\n");
    return to == stdout ? GW_EXIT_DONE : GW_EXIT_USAGE;
}

struct report {
    json_t *list; /* NULL: text */
    bool all, quiet;
};

static void found(void *opaque, const struct gw_reason *reason)
{
    static const char *const words[] = {"note", "may be refused", "refused"}, *const names[] = {"note", "doubt",
                                                                                                "refused"};
    struct report *report = opaque;

    if (reason->weight == GW_REASON_NOTE && !report->all)
        return;
    if (report->list)
        json_array_append_new(report->list, json_pack("{s:s, s:s, s:s}", "weight", names[reason->weight], "where",
                                                      reason->where, "what", reason->what));
    else if (!report->quiet)
        printf("%s: %s: %s\n", words[reason->weight], gw_shown(reason->where), gw_shown(reason->what));
}

static int read_stream(const char *name, struct gw_inspect **ret, struct gw_error *err)
{
    int r = gw_inspect_new(ret, err);

    return r < 0 ? r : gw_inspect_file(*ret, name, getenv("TMPDIR"), err);
}

static void print(const struct report *report, const struct gw_explain_counts *n)
{
    if (report->list) {
        json_t *all = json_pack("{s:b, s:i, s:i, s:i}", "loads", !n->refused && !n->doubts, "refused", (int)n->refused,
                                "doubts", (int)n->doubts, "notes", (int)n->notes);

        gw_cli_print_found(all, report->list);
    } else if (!report->quiet) {
        printf("%s: %u for certain, %u in doubt, %u differences without harm\n",
               n->refused  ? "it would be refused"
               : n->doubts ? "it may be refused"
                           : "it loads, as far as the streams tell",
               n->refused, n->doubts, n->notes);
    }
}

static int explain(struct report *report, const char *command, const char *from_name, const char *into_name)
{
    struct gw_inspect *from = NULL, *into = NULL;
    struct gw_error err = GW_ERROR_INIT;
    struct gw_explain_counts counts = {0};
    const char *name = from_name;
    int r = read_stream(from_name, &from, &err);

    if (r >= 0) {
        name = into_name;
        r = read_stream(into_name, &into, &err);
    }
    if (r >= 0)
        r = gw_inspect_explain(from, into, found, report, &counts, &err);
    gw_inspect_free(from);
    gw_inspect_free(into);
    if (r < 0)
        return gw_cli_failed(command, name, err.text);
    print(report, &counts);
    return counts.refused || counts.doubts ? GW_EXIT_DIFFERENT : GW_EXIT_DONE;
}

static int run(struct report *report, bool json, const char *command, const char *from, const char *into)
{
    int status;

    if (json)
        report->list = json_array();
    status = explain(report, command, from, into);
    json_decref(report->list);
    return gw_cli_end(command, status);
}

int gw_inspect_against(const char *from, const char *into, bool json)
{
    struct report report = {.all = true};

    return run(&report, json, "inspect", from, into);
}

int gw_schema_explain(int argc, char **argv)
{
    struct gw_confine confine = {.command = "schema"};
    struct gw_error err = GW_ERROR_INIT;
    struct report report = {0};
    bool json = false;
    const struct gw_cli_option options[] = {{"json", .flag = &json},
                                            {"all", 'a', .flag = &report.all},
                                            {"quiet", 'q', .flag = &report.quiet},
                                            GW_CONFINE_OPTION(&confine),
                                            {0}};
    int status = gw_cli_options(argc, argv, options, usage);

    if (status >= 0)
        return status;
    if (optind + 2 != argc)
        return usage(stderr);
    if (gw_confine(&confine, GW_CONFINE_PROGRAMS, &err) < 0) /* those that decompress are still to come */
        return gw_cli_failed("schema", NULL, err.text);
    return run(&report, json, "schema", argv[optind], argv[optind + 1]);
}
