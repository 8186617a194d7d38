/* SPDX-License-Identifier: MIT
 *
 * godwit verify: checks whether a machine at rest is complete and intact.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <godwit/examine.h>
#include <jansson.h>

#include "shown.h"
#include "cmd.h"
#include "confine.h"
#include "examine.h"
#include "table.h"

#define COMMAND "verify"

struct report {
    json_t *faults; /* NULL: text */
    bool quiet;
    const char *snapshot; /* snapshot in a disk image; NULL: the file is the machine's */
    struct gw_cli_progress progress;
    struct gw_confine confine;
};

static void found(void *opaque, const struct gw_verify_fault *f)
{
    struct report *report = opaque;

    if (report->faults) {
        json_t *one = json_pack("{s:s, s:s}", "part", f->part, "what", f->what);

        if (*f->name)
            json_object_set_new(one, "name", json_string(f->name));
        if (f->bytes) {
            json_object_set_new(one, "offset", json_integer((json_int_t)f->offset));
            json_object_set_new(one, "bytes", json_integer((json_int_t)f->bytes));
        }
        json_array_append_new(report->faults, one);
        return;
    }
    if (report->quiet)
        return;
    gw_cli_progress_done(&report->progress);
    if (f->bytes)
        printf("%s %s 0x%" PRIx64 "-0x%" PRIx64 ": %s\n", f->part, f->name, f->offset, f->offset + f->bytes, gw_shown(f->what));
    else
        printf("%s%s%s: %s\n", f->part, *f->name ? " " : "", f->name, gw_shown(f->what));
}

static bool step(void *opaque, uint64_t done, uint64_t total)
{
    struct report *report = opaque;

    return gw_cli_progress_step(&report->progress, done, total);
}

static void put_behind(json_t *all, const struct gw_verify_counts *n)
{
    json_t *behind = json_pack("{s:I, s:I, s:b}", "offset", (json_int_t)n->behind_at, "bytes", (json_int_t)n->behind_bytes, "zeros",
                               !n->behind_other);

    if (n->behind_other)
        json_object_set_new(behind, "other_offset", json_integer((json_int_t)n->behind_other_at));
    json_object_set_new(all, "behind", behind);
}

static void print_behind(const struct gw_verify_counts *n)
{
    printf("behind the end at byte %" PRIu64 ": %" PRIu64 " bytes of padding, ", n->behind_at, n->behind_bytes);
    if (n->behind_other)
        printf("not all of them zeros (from byte %" PRIu64 " on): what was there before\n", n->behind_other_at);
    else
        printf("all zeros\n");
}

static int print(struct report *report, const char *file, const char *format, const struct gw_verify_counts *n)
{
    if (report->faults) {
        json_t *all = json_pack("{s:s, s:s, s:b, s:I, s:I, s:I, s:i, s:i, s:i}", "file", file, "format", format,
                                "whole", n->faults == 0, "faults", (json_int_t)n->faults, "pages", (json_int_t)n->pages,
                                "data_pages", (json_int_t)n->data_pages, "blocks", (int)n->blocks, "devices",
                                (int)n->devices, "undescribed", (int)n->undescribed);

        if (n->behind_bytes)
            put_behind(all, n);
        gw_cli_print_found(all, report->faults);
    } else if (!report->quiet && !n->blocks && n->faults) { /* the file could not be opened */
        printf("%s: not whole\n", gw_shown(file));
    } else if (!report->quiet) {
        printf("%s: %s: %" PRIu64 " pages (%" PRIu64 " with contents) in %u block%s, %u device%s", gw_shown(file),
               n->faults ? "not whole" : "whole", n->pages, n->data_pages, n->blocks, n->blocks == 1 ? "" : "s",
               n->devices, n->devices == 1 ? "" : "s");
        if (n->undescribed)
            printf(" (%u not described)", n->undescribed);
        if (n->faults)
            printf("; %" PRIu64 " fault%s", n->faults, n->faults == 1 ? "" : "s");
        printf("\n");
        if (n->behind_bytes && !n->faults)
            print_behind(n);
    }
    return n->faults ? GW_EXIT_DIFFERENT : GW_EXIT_DONE;
}

static int verify(struct report *report, const char *file, struct gw_error *err)
{
    struct gw_verify_options how = {.found = found, .progress = step, .opaque = report};
    struct gw_verify_counts counts = {0};
    const char *format = "unknown";
    struct gw_image *image = NULL;
    int r;

    report->confine.connects = gw_path_is_far(file);
    r = gw_cli_open(file, report->snapshot, &image, err);

    if (r >= 0) {
        format = gw_image_format_name(gw_image_kind(image));
        r = gw_confine(&report->confine, GW_CONFINE_ALL, err);
    } else if (r == -EPROTO || r == -ENODATA) { /* too damaged to open */
        struct gw_verify_fault fault = {.part = "file", .name = "", .what = err->text};

        counts.faults = 1;
        found(report, &fault);
        r = 0;
    }
    if (r >= 0 && image) {
        gw_cli_progress_init(&report->progress, "verified", report->quiet);
        r = gw_image_verify(image, &how, &counts, err);
        gw_cli_progress_done(&report->progress);
    }
    gw_image_free(image);
    return r < 0 ? gw_cli_failed(COMMAND, NULL, err->text) : print(report, file, format, &counts);
}

int gw_cmd_verify(int argc, char **argv)
{
    struct gw_error err = GW_ERROR_INIT;
    struct report report = {.confine = {.command = COMMAND}};
    bool json = false;
    const struct gw_cli_option options[] = {
        GW_CLI_SNAPSHOT_OPTION(&report.snapshot, "FILE"),
        {"json", .flag = &json, .help = "Print one JSON object."},
        {"quiet", 'q', .flag = &report.quiet, .help = "Only set the exit status."},
        GW_CONFINE_OPTION(&report.confine),
        {0}};
    const struct gw_cli_command command = {
        .arguments = "FILE",
        .about = "Reads all of a parked machine, migration stream, mapped-ram file or libvirt save image, and shows "
                 "what is damaged: pages with their block and offset, devices. The exit status is 0 when it is "
                 "complete, 3 when it is damaged, 1 when it cannot be read.",
        .options = options};
    int status = gw_cli_parse(argc, argv, &command);

    if (status >= 0)
        return status;
    if (json)
        report.faults = json_array();
    status = verify(&report, argv[optind], &err);
    json_decref(report.faults);
    return gw_cli_end(COMMAND, status);
}
