/* SPDX-License-Identifier: MIT
 *
 * godwit schema explain: whether a stream would load on another host, and why not.
 */
#include <errno.h>
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

struct report {
    json_t *list; /* NULL: text */
    bool all, quiet;
    const char *snapshot; /* snapshot in the disk image STREAM; NULL: STREAM is a file of the machine */
};

static void found(void *opaque, const struct gw_reason *reason)
{
    static const char *const words[] = {"note", "unknown", "refused"};
    struct report *report = opaque;

    if (reason->weight == GW_REASON_NOTE && !report->all)
        return;
    if (report->list)
        json_array_append_new(report->list, json_pack("{s:s, s:s, s:s}", "weight", words[reason->weight], "where",
                                                      reason->where, "what", reason->what));
    else if (!report->quiet)
        printf("%s: %s: %s\n", words[reason->weight], gw_shown(reason->where), gw_shown(reason->what));
}

static int read_stream(const char *name, const char *snapshot, struct gw_inspect **ret, struct gw_error *err)
{
    int r = gw_inspect_new(ret, err);

    return r < 0 ? r : gw_cli_inspect(*ret, name, snapshot, err);
}

static int verdict(const struct gw_explain_counts *n)
{
    return n->refused ? GW_EXIT_DIFFERENT : n->unknown ? GW_EXIT_UNKNOWN : GW_EXIT_DONE;
}

static void print(const struct report *report, const struct gw_explain_counts *n, const char *into)
{
    static const char *const verdicts[] = {
        [GW_EXIT_DONE] = "loads", [GW_EXIT_DIFFERENT] = "refused", [GW_EXIT_UNKNOWN] = "unknown"};
    static const char *const sentences[] = {[GW_EXIT_DONE] = "it loads",
                                            [GW_EXIT_DIFFERENT] = "it would be refused",
                                            [GW_EXIT_UNKNOWN] = "not known whether it loads"};

    if (report->list) {
        json_t *all =
            json_pack("{s:s, s:b, s:i, s:i, s:i}", "verdict", verdicts[verdict(n)], "loads", verdict(n) == GW_EXIT_DONE,
                      "refused", (int)n->refused, "unknown", (int)n->unknown, "notes", (int)n->notes);

        gw_cli_print_found(all, report->list);
    } else if (!report->quiet) {
        printf("%s%s: %u reasons against it, %u unknown, %u harmless differences\n", sentences[verdict(n)],
               into ? "" : " where the devices, options and RAM are those of the source", n->refused, n->unknown,
               n->notes);
    }
}

static int read_dump(const char *name, struct gw_dump **ret, struct gw_error *err)
{
    char *text = gw_schema_slurp(name);
    int r = text ? gw_dump_parse(text, strlen(text), ret, err)
                 : gw_fail(err, -errno, GW_BLAME_LOCAL, "%s", strerror(errno));

    free(text);
    return r;
}

static int explain(struct report *report, const char *command, const char *from_name, const char *into_name,
                   const char *dump_name)
{
    struct gw_inspect *from = NULL, *into = NULL;
    struct gw_error err = GW_ERROR_INIT;
    struct gw_explain_counts counts = {0};
    struct gw_dump *dump = NULL;
    const char *name = from_name;
    int r = read_stream(from_name, report->snapshot, &from, &err);

    if (r >= 0 && into_name) {
        name = into_name;
        r = read_stream(into_name, NULL, &into, &err);
    }
    if (r >= 0 && dump_name) {
        name = dump_name;
        r = read_dump(dump_name, &dump, &err);
    }
    if (r >= 0)
        r = gw_inspect_explain(from, into, dump, found, report, &counts, &err);
    gw_inspect_free(from);
    gw_inspect_free(into);
    gw_dump_free(dump);
    if (r < 0)
        return gw_cli_failed(command, name, err.text);
    print(report, &counts, into_name);
    return verdict(&counts);
}

static int run(struct report *report, bool json, const char *command, const char *from, const char *into,
               const char *dump)
{
    int status;

    if (json)
        report->list = json_array();
    status = explain(report, command, from, into, dump);
    json_decref(report->list);
    return gw_cli_end(command, status);
}

int gw_inspect_against(const char *from, const char *snapshot, const char *into, bool json)
{
    struct report report = {.all = true, .snapshot = snapshot};

    return run(&report, json, "inspect", from, into, NULL);
}

int gw_schema_explain(int argc, char **argv)
{
    struct gw_confine confine = {.command = "schema"};
    struct gw_error err = GW_ERROR_INIT;
    struct report report = {0};
    const char *dump = NULL;
    bool json = false;
    const struct gw_cli_option options[] = {
        {"dump", .text = &dump, .value = "FILE", .help = "What the destination's QEMU writes with -dump-vmstate."},
        GW_CLI_SNAPSHOT_OPTION(&report.snapshot, "STREAM"),
        {"all", 'a', .flag = &report.all, .help = "Also show differences that do not prevent loading."},
        {"json", .flag = &json, .help = "Print one JSON object."},
        {"quiet", 'q', .flag = &report.quiet, .help = "Only set the exit status."},
        GW_CONFINE_OPTION(&confine),
        {0}};
    const struct gw_cli_command command = {
        .usage = "explain STREAM INTO [OPTION]...\nexplain STREAM [INTO] --dump FILE [OPTION]...",
                                           .about = GW_SCHEMA_EXPLAIN,
                                           .options = options};
    int status = gw_cli_parse(argc, argv, &command);

    if (status >= 0)
        return status;
    status = gw_cli_arguments(argc, argv, "explain: ", dump ? "STREAM [INTO]" : "STREAM INTO");
    if (status >= 0)
        return status;
    for (int i = optind; i < argc; i++)
        confine.connects |= gw_path_is_far(argv[i]);
    if (gw_confine(&confine, GW_CONFINE_PROGRAMS, &err) < 0) /* programs that decompress are started later */
        return gw_cli_failed("schema", NULL, err.text);
    return run(&report, json, "schema", argv[optind], argv[optind + 1],
               dump); /* the argument after the last may be the NULL at the end of argv */
}
