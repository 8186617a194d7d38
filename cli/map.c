/* SPDX-License-Identifier: MIT
 *
 * godwit map: shows the kind of each piece of a machine's RAM, and its place in the file.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <godwit/ram_map.h>
#include <jansson.h>

#include "cmd.h"
#include "confine.h"
#include "examine.h"
#include "human.h"
#include "shown.h"
#include "table.h"

#define COMMAND "map"
#define LISTED  20u /* runs listed per block without --all; --help has the number */
#define PICTURE_MIN 20u /* columns */
#define PICTURE_MAX 500u

struct map {
    struct gw_image *image;
    struct gw_ram_map *ram;
    bool json, all, first;
    struct gw_ram_run runs[LISTED]; /* the longest runs, in order of address */
    size_t listed;
    uint64_t count;
};

/* ---- JSON -------------------------------------------------------------------------------------------------------- */

static void put_json(void *opaque, const struct gw_ram_run *run)
{
    struct map *m = opaque;
    json_t *one = json_pack("{s:s, s:I, s:I, s:s}", "block", gw_image_block_name(m->image, run->block), "start", (json_int_t)run->offset,
                            "length", (json_int_t)run->bytes, "kind", gw_ram_kind_name(run->kind));

    if (run->has_place)
        json_object_set_new(one, "offset", json_integer((json_int_t)run->place));
    if (run->has_place && run->stride != gw_image_page_bytes(m->image))
        json_object_set_new(one, "stride", json_integer((json_int_t)run->stride));
    printf(m->first ? "[" : ",\n ");
    m->first = false;
    json_dumpf(one, stdout, JSON_ENSURE_ASCII);
    json_decref(one);
}

static int print_json(struct map *m, struct gw_error *err)
{
    int r = 0;

    m->first = true;
    for (unsigned i = 0; i < gw_image_blocks(m->image) && r >= 0; i++)
        r = gw_ram_map_runs(m->ram, i, true, put_json, m, err);
    printf(m->first ? "[]\n" : "]\n");
    return r;
}

/* ---- text -------------------------------------------------------------------------------------------------------- */

static void put_run(const struct gw_ram_run *run)
{
    char size[GW_HUMAN];

    printf("  0x%012" PRIx64 "-0x%012" PRIx64 "  %10s  %s\n", run->offset, run->offset + run->bytes, gw_human_bytes(size, (double)run->bytes),
           gw_ram_kind_name(run->kind));
}

/* Drops the shortest of the kept runs; of two equal ones, the later. */
static void take_run(void *opaque, const struct gw_ram_run *run)
{
    struct map *m = opaque;
    size_t shortest = 0;

    m->count++;
    if (m->all) {
        put_run(run);
        return;
    }
    if (m->listed == LISTED) {
        for (size_t i = 1; i < LISTED; i++)
            if (m->runs[i].bytes <= m->runs[shortest].bytes)
                shortest = i;
        if (run->bytes <= m->runs[shortest].bytes)
            return;
        memmove(&m->runs[shortest], &m->runs[shortest + 1], (LISTED - shortest - 1) * sizeof m->runs[0]);
        m->listed--;
    }
    m->runs[m->listed++] = *run;
}

/* Width of the picture without its frame. */
static size_t picture_width(void)
{
    size_t n = gw_progress_columns(STDOUT_FILENO);

    return (n < PICTURE_MIN ? PICTURE_MIN : n < PICTURE_MAX ? n : PICTURE_MAX) - 4;
}

static char sign(const struct gw_ram_cell *c)
{
    const uint64_t *n = c->pages;
    uint64_t filled = n[GW_RAM_IS_DATA] + n[GW_RAM_IS_SHARED];

    if (n[GW_RAM_IS_MISSING])
        return '?';
    if (!filled)
        return '.';
    if (filled < n[GW_RAM_IS_ZERO])
        return '-';
    return n[GW_RAM_IS_SHARED] > n[GW_RAM_IS_DATA] ? '=' : '#';
}

static int put_picture(const struct map *m, unsigned block, struct gw_error *err)
{
    size_t width = picture_width();
    uint64_t pages = gw_image_block_bytes(m->image, block) / gw_image_page_bytes(m->image), each = (pages + width - 1) / width;
    struct gw_ram_cell *cells = calloc(width, sizeof *cells);
    int r;

    if (!cells)
        return gw_fail(err, -ENOMEM, GW_BLAME_LOCAL, "no memory for the picture");
    each = each ? each : 1;
    width = (size_t)((pages + each - 1) / each);
    r = gw_ram_map_cells(m->ram, block, each, cells, width, err);
    if (r >= 0) {
        printf("  [");
        for (size_t i = 0; i < width; i++)
            putchar(sign(&cells[i]));
        printf("]\n");
    }
    free(cells);
    return r;
}

static void put_block(const struct map *m, unsigned block)
{
    char size[GW_HUMAN];
    uint64_t all = gw_image_block_bytes(m->image, block);

    printf("%s: %s", gw_shown(gw_image_block_name(m->image, block)), gw_human_bytes(size, (double)all));
    for (unsigned k = 0; k < GW_RAM_KINDS; k++) {
        uint64_t bytes = gw_ram_map_bytes(m->ram, block, k);

        if (bytes)
            printf(", %s %s (%.1f%%)", gw_ram_kind_name(k), gw_human_bytes(size, (double)bytes), 100.0 * (double)bytes / (double)all);
    }
    printf("\n");
}

static int print_text(struct map *m, struct gw_error *err)
{
    int r = 0;

    for (unsigned i = 0; i < gw_image_blocks(m->image) && r >= 0; i++) {
        put_block(m, i);
        r = put_picture(m, i, err);
        m->listed = 0;
        m->count = 0;
        if (r >= 0)
            r = gw_ram_map_runs(m->ram, i, false, take_run, m, err);
        for (size_t k = 0; k < m->listed; k++)
            put_run(&m->runs[k]);
        if (!m->all && m->count > m->listed)
            printf("  and %" PRIu64 " shorter runs (--all lists them)\n", m->count - m->listed);
    }
    if (gw_image_blocks(m->image))
        printf("[#] contents  [=] shared by several pages  [-] fewer than half have contents  [.] zeros  [?] partly missing\n");
    return r;
}

int gw_cmd_map(int argc, char **argv)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_confine confine = {.command = COMMAND};
    struct gw_cli_progress progress;
    const char *snapshot = NULL;
    bool quiet = false;
    struct map m = {0};
    const struct gw_cli_option options[] = {
        {"json", .flag = &m.json, .help = "Print one JSON list of runs, each with its place in the file where it has one."},
        {"all", .flag = &m.all, .help = "List each run; else the longest 20 of each block."},
        GW_CLI_SNAPSHOT_OPTION(&snapshot, "FILE"),
        {"quiet", 'q', .flag = &quiet, .help = "Show no progress line on a terminal."},
        GW_CONFINE_OPTION(&confine),
        {0}};
    const struct gw_cli_command command = {
        .arguments = "FILE",
        .about = "Shows the RAM of a parked machine, migration stream, mapped-ram file or libvirt save image, block "
                 "by block: zero, data, shared and missing pages, with a picture of each block.",
        .options = options};
    int r = gw_cli_parse(argc, argv, &command);

    if (r >= 0)
        return r;
    confine.connects = gw_path_is_far(argv[optind]);
    r = gw_cli_open_half(argv[optind], snapshot, &m.image, &err);
    if (r >= 0)
        r = gw_confine(&confine, GW_CONFINE_ALL, &err);
    if (r >= 0) {
        gw_cli_progress_init(&progress, "read", quiet);
        r = gw_ram_map_new(m.image, false, gw_cli_progress_step, &progress, &m.ram, &err);
        gw_cli_progress_done(&progress);
    }
    if (r >= 0)
        r = m.json ? print_json(&m, &err) : print_text(&m, &err);
    gw_ram_map_free(m.ram);
    gw_image_free(m.image);
    return gw_cli_end(COMMAND, r < 0 ? gw_cli_failed(COMMAND, NULL, err.text) : GW_EXIT_DONE);
}
