/* SPDX-License-Identifier: MIT
 *
 * godwit diff: compare two machines at rest.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <godwit/examine.h>
#include <jansson.h>

#include "cmd.h"
#include "confine.h"
#include "examine.h"
#include "shown.h"
#include "table.h"

#define COMMAND    "diff"
#define RANGES_FEW 10u /* ranges of pages listed per block without --pages */

struct report {
    json_t *list; /* NULL: text */
    bool quiet, pages, hex;
    const char *snapshot_a, *snapshot_b; /* names of snapshots in disk images; NULL: the file is the machine's */
    char block_name[256]; /* the block of the ranges that follow */
    uint64_t ranges, unlisted, unlisted_pages;
    uint32_t page_bytes;
    struct gw_cli_progress progress;
    struct gw_confine confine;
};

static void hex(const uint8_t *p, unsigned n, char *text)
{
    for (unsigned i = 0; i < n; i++)
        sprintf(text + 2 * i, "%02x", p[i]);
    text[2 * n] = 0;
}

static void end_block(struct report *report)
{
    if (report->unlisted)
        printf("RAM %s: and %" PRIu64 " more pages in %" PRIu64 " ranges (--pages lists them)\n", report->block_name,
               report->unlisted_pages, report->unlisted);
    report->unlisted = report->unlisted_pages = report->ranges = 0;
}

static void print_pages(struct report *report, const struct gw_difference *d)
{
    char a[2 * GW_DIFFERENCE_SAMPLE + 1], b[2 * GW_DIFFERENCE_SAMPLE + 1];
    uint64_t pages = d->bytes / report->page_bytes;

    if (strcmp(report->block_name, d->where) != 0) {
        end_block(report);
        snprintf(report->block_name, sizeof report->block_name, "%s", d->where);
    }
    if (!report->pages && report->ranges++ >= RANGES_FEW) {
        report->unlisted++;
        report->unlisted_pages += pages;
        return;
    }
    printf("RAM %s 0x%" PRIx64 "-0x%" PRIx64 ": %" PRIu64 " page%s", d->where, d->offset, d->offset + d->bytes, pages,
           pages == 1 ? "" : "s");
    if (report->hex) {
        hex(d->sample_a, d->sample_bytes, a);
        hex(d->sample_b, d->sample_bytes, b);
        printf(", first at 0x%" PRIx64 ": %s != %s", d->first, a, b);
    }
    printf("\n");
}

static void print_text(struct report *report, const struct gw_difference *d)
{
    gw_cli_progress_done(&report->progress);
    if (d->kind == GW_DIFFERENCE_PAGES) {
        print_pages(report, d);
        return;
    }
    end_block(report);
    if (d->kind == GW_DIFFERENCE_BLOCK)
        printf("RAM %s: ", d->where);
    else if (d->kind == GW_DIFFERENCE_VALUE)
        printf("%s %s: ", d->where, d->path);
    else
        printf("%s: ", d->where);
    if (d->a && d->b)
        printf("%s != %s\n", gw_shown(d->a), gw_shown(d->b));
    else
        printf("only in the %s one: %s\n", d->a ? "first" : "second", gw_shown(d->a ? d->a : d->b));
}

static void found(void *opaque, const struct gw_difference *d)
{
    static const char *const kinds[] = {"machine", "block", "pages", "device", "value"};
    char a[2 * GW_DIFFERENCE_SAMPLE + 1], b[2 * GW_DIFFERENCE_SAMPLE + 1];
    struct report *report = opaque;
    json_t *one;

    if (!report->list) {
        if (!report->quiet)
            print_text(report, d);
        return;
    }
    one = json_pack("{s:s, s:s}", "kind", kinds[d->kind], "where", d->where);
    if (*d->path)
        json_object_set_new(one, "path", json_string(d->path));
    if (d->kind == GW_DIFFERENCE_PAGES) {
        hex(d->sample_a, d->sample_bytes, a);
        hex(d->sample_b, d->sample_bytes, b);
        json_object_set_new(one, "offset", json_integer((json_int_t)d->offset));
        json_object_set_new(one, "bytes", json_integer((json_int_t)d->bytes));
        json_object_set_new(one, "first", json_integer((json_int_t)d->first));
        json_object_set_new(one, "a", json_string(a));
        json_object_set_new(one, "b", json_string(b));
    } else {
        json_object_set_new(one, "a", d->a ? json_string(d->a) : json_null());
        json_object_set_new(one, "b", d->b ? json_string(d->b) : json_null());
    }
    json_array_append_new(report->list, one);
}

static bool step(void *opaque, uint64_t done, uint64_t total)
{
    struct report *report = opaque;

    return gw_cli_progress_step(&report->progress, done, total);
}

static int print(struct report *report, const struct gw_diff_counts *n)
{
    bool same = !n->pages && !n->blocks && !n->devices && !n->values && !n->heads;

    if (report->list) {
        json_t *all = json_pack("{s:b, s:I, s:I, s:I, s:I, s:I}", "same", same, "pages", (json_int_t)n->pages, "ranges",
                                (json_int_t)n->ranges, "blocks", (json_int_t)n->blocks, "devices",
                                (json_int_t)n->devices, "values", (json_int_t)n->values);

        gw_cli_print_found(all, report->list);
    } else if (!report->quiet) {
        end_block(report);
        if (same)
            printf("no difference\n");
        else
            printf("%" PRIu64 " page%s, %" PRIu64 " RAM block%s, %" PRIu64 " device%s, %" PRIu64 " value%s differ\n",
                   n->pages, n->pages == 1 ? "" : "s", n->blocks, n->blocks == 1 ? "" : "s", n->devices,
                   n->devices == 1 ? "" : "s", n->values, n->values == 1 ? "" : "s");
    }
    return same ? GW_EXIT_DONE : GW_EXIT_DIFFERENT;
}

static int diff(struct report *report, const char *name_a, const char *name_b)
{
    struct gw_diff_options how = {.found = found, .progress = step, .opaque = report};
    struct gw_image *a = NULL, *b = NULL;
    struct gw_error err = GW_ERROR_INIT;
    struct gw_diff_counts counts;
    int r;

    report->confine.connects = gw_path_is_far(name_a) || gw_path_is_far(name_b);
    r = gw_cli_open(name_a, report->snapshot_a, &a, &err);

    if (r >= 0)
        r = gw_cli_open(name_b, report->snapshot_b, &b, &err);
    if (r >= 0)
        r = gw_confine(&report->confine, GW_CONFINE_ALL, &err);
    if (r >= 0) {
        report->page_bytes = gw_image_page_bytes(a);
        gw_cli_progress_init(&report->progress, "compared", report->quiet);
        r = gw_image_diff(a, b, &how, &counts, &err);
        gw_cli_progress_done(&report->progress);
    }
    gw_image_free(a);
    gw_image_free(b);
    return r < 0 ? gw_cli_failed(COMMAND, NULL, err.text) : print(report, &counts);
}

int gw_cmd_diff(int argc, char **argv)
{
    struct report report = {.confine = {.command = COMMAND}};
    bool json = false;
    const struct gw_cli_option options[] = {
        {"pages", .flag = &report.pages, .help = "List all ranges of pages that differ, not only the first ten of a block."},
        {"hex", .flag = &report.hex, .help = "Show the first bytes that differ of each range."},
        GW_CLI_SNAPSHOT_OPTION(&report.snapshot_a, "A"),
        {"snapshot-b", .text = &report.snapshot_b, .value = "NAME", .help = "The same of B, which may be the same image."},
        {"json", .flag = &json, .help = "Print one JSON object, with all ranges."},
        {"quiet", 'q', .flag = &report.quiet, .help = "Only set the exit status."},
        GW_CONFINE_OPTION(&report.confine),
        {0}};
    const struct gw_cli_command command = {
        .arguments = "A B",
        .about = "Compares two parked machines, migration streams, mapped-ram files or libvirt save images: machine, "
                 "RAM blocks, pages, devices and their values. The exit status is 3 if they differ.",
        .options = options};
    int status = gw_cli_parse(argc, argv, &command);

    if (status >= 0)
        return status;
    if (!strcmp(argv[optind], "-") && !strcmp(argv[optind + 1], "-"))
        return gw_cli_failed(COMMAND, "-", "standard input is one file, not two");
    if (json)
        report.list = json_array();
    status = diff(&report, argv[optind], argv[optind + 1]);
    json_decref(report.list);
    return gw_cli_end(COMMAND, status);
}
