/* SPDX-License-Identifier: MIT
 *
 * godwit salvage: joins the two halves of a broken postcopy migration offline.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <godwit/image.h>
#include <jansson.h>

#include "cmd.h"
#include "confine.h"
#include "examine.h"
#include "human.h"
#include "salvage.h"
#include "shown.h"
#include "table.h"

#define LEVEL_MAX   22
#define THREADS_MAX 1024

static bool step(void *opaque, uint64_t done_bytes, uint64_t total_bytes)
{
    return gw_cli_progress_step(opaque, done_bytes, total_bytes);
}

/* ---- files ---------------------------------------------------------------------------------------------------------- */

static bool is_same_file(const char *a, const char *b)
{
    struct stat x, y;

    return !strcmp(a, b) || (!stat(a, &x) && !stat(b, &y) && x.st_dev == y.st_dev && x.st_ino == y.st_ino);
}

/* Checks everything that can be known before the files are read. */
static int check_output(struct gw_salvage *s, struct gw_error *err)
{
    struct gw_output *probe = NULL;
    int r;

    if (!strcmp(s->output, "-"))
        return gw_cli_failed(COMMAND, "--output -", "it is written to a file; standard output is for messages");
    if (is_same_file(s->output, s->partial) || (s->from && is_same_file(s->output, s->from)))
        return gw_cli_failed(COMMAND, s->output, "this is one of the halves, which must not be changed: choose another name");
    r = gw_image_check_options(&s->write, err);
    if (r >= 0)
        r = gw_output_new(s->output, s->write.replace, &probe, err);
    gw_output_free(probe);
    if (r == -EEXIST)
        gw_cli_failed(COMMAND, NULL, "the output is there already; --force replaces it");
    return r == -EEXIST ? GW_EXIT_FAILED : r < 0 ? gw_cli_failed(COMMAND, NULL, err->text) : GW_EXIT_DONE;
}

uint64_t gw_salvage_lacking(const struct gw_image *image)
{
    uint64_t bytes = 0;

    for (unsigned i = 0; i < gw_image_blocks(image); i++)
        bytes += gw_image_block_lacking(image, i);
    return bytes;
}

static int open_partial(struct gw_salvage *s, struct gw_error *err)
{
    unsigned blocks;

    if (gw_image_open_half(s->partial, getenv("TMPDIR"), &s->image, err) < 0)
        return gw_cli_failed(COMMAND, NULL, err->text);
    if (!gw_salvage_lacking(s->image))
        return gw_cli_failed(COMMAND, s->partial,
                             "it is complete, so there is nothing to salvage: `godwit verify` checks it, `godwit send` sends it");
    blocks = gw_image_blocks(s->image);
    s->lacking = calloc(blocks, sizeof *s->lacking);
    if (!s->lacking)
        return gw_cli_failed(COMMAND, NULL, strerror(ENOMEM));
    for (unsigned i = 0; i < blocks; i++)
        s->lacking[i] = gw_image_block_lacking(s->image, i);
    return GW_EXIT_DONE;
}

/* While another process sends the file, the missing half may still arrive. */
static int open_rest(struct gw_salvage *s, struct gw_error *err)
{
    if (gw_image_open_half(s->from, getenv("TMPDIR"), &s->rest, err) < 0)
        return gw_cli_failed(COMMAND, NULL, err->text);
    if (gw_image_lock(s->rest, err) == -EBUSY)
        return gw_cli_failed(COMMAND, s->from, "another process is sending this machine: wait until that has ended");
    return GW_EXIT_DONE;
}

/* ---- what was done -------------------------------------------------------------------------------------------------- */

static void report_json(const struct gw_salvage *s, const struct stat *st)
{
    json_t *blocks = json_array(), *all;
    uint64_t taken = 0;

    for (unsigned i = 0; i < gw_image_blocks(s->image); i++) {
        if (!s->lacking[i])
            continue;
        taken += s->lacking[i];
        json_array_append_new(blocks, json_pack("{s:s, s:I}", "block", gw_image_block_name(s->image, i), "bytes", (json_int_t)s->lacking[i]));
    }
    all = json_pack("{s:s, s:s, s:s, s:I, s:I, s:o}", "event", "salvaged", "machine", gw_image_machine(s->image), "file", s->output,
                    "file-bytes", (json_int_t)st->st_blocks * 512, "taken-bytes", (json_int_t)taken, "taken", blocks);
    json_dumpf(all, stdout, JSON_ENSURE_ASCII);
    printf("\n");
    json_decref(all);
}

static void report(const struct gw_salvage *s)
{
    char a[GW_HUMAN], b[GW_HUMAN];
    struct stat st = {0};
    uint64_t ram = 0;

    stat(s->output, &st);
    if (s->transfer.json) {
        report_json(s, &st);
        return;
    }
    for (unsigned i = 0; i < gw_image_blocks(s->image); i++) {
        ram += gw_image_block_bytes(s->image, i);
        if (s->lacking[i])
            printf("%s: %" PRIu64 " pages (%s) taken from %s\n", gw_shown(gw_image_block_name(s->image, i)),
                   s->lacking[i] / gw_image_page_bytes(s->image), gw_human_bytes(a, (double)s->lacking[i]), gw_shown(s->from ? s->from : s->listen));
    }
    printf("%s with %s of RAM is complete in %s (%s)\n", gw_shown(gw_image_machine(s->image)), gw_human_bytes(a, (double)ram),
           gw_shown(s->output), gw_human_bytes(b, (double)st.st_blocks * 512));
}

/* ------------------------------------------------------------------------------------------------------------------ */

int gw_salvage_failed(struct gw_salvage *s, const char *what, const struct gw_error *err)
{
    gw_cli_progress_done(&s->progress);
    if (s->progress.interrupted)
        return gw_cli_failed(COMMAND, s->output, "interrupted; no file was left");
    return gw_cli_failed(COMMAND, what, err->text);
}

static int join(struct gw_salvage *s, struct gw_error *err)
{
    struct gw_salvage_options how = {.progress = step, .opaque = &s->progress, .threads = s->write.threads};
    char text[128];

    if (gw_image_salvage(s->image, s->rest, &how, err) < 0)
        return gw_salvage_failed(s, s->from, err);
    if (!gw_salvage_lacking(s->image))
        return GW_EXIT_DONE;
    gw_cli_progress_done(&s->progress);
    snprintf(text, sizeof text, "it lacks %" PRIu64 " bytes of what the other one lacks: they are in neither of them", gw_salvage_lacking(s->image));
    return gw_cli_failed(COMMAND, s->from, text);
}

static int from_file(struct gw_salvage *s, struct gw_error *err)
{
    int status = open_rest(s, err);

    if (status == GW_EXIT_DONE)
        status = check_output(s, err);
    if (status == GW_EXIT_DONE && gw_confine(&s->confine, gw_confine_kind_of(&s->write), err) < 0)
        status = gw_cli_failed(COMMAND, NULL, err->text);
    if (status != GW_EXIT_DONE)
        return status;
    gw_cli_progress_init(&s->progress, "compared", s->transfer.quiet);
    gw_cli_progress_watch(&s->progress);
    status = join(s, err);
    if (status != GW_EXIT_DONE)
        return status;
    s->progress.what = "written";
    s->write.progress = step;
    s->write.opaque = &s->progress;
    if (gw_image_write(s->image, s->output, &s->write, err) < 0)
        return gw_salvage_failed(s, NULL, err);
    gw_cli_progress_done(&s->progress);
    return GW_EXIT_DONE;
}

static int salvage(struct gw_salvage *s, struct gw_error *err)
{
    int status = open_partial(s, err);

    if (status == GW_EXIT_DONE && s->from)
        status = from_file(s, err);
    else if (status == GW_EXIT_DONE && (status = check_output(s, err)) == GW_EXIT_DONE)
        status = gw_salvage_listen(s, err);
    if (status == GW_EXIT_DONE && (!s->transfer.quiet || s->transfer.json))
        report(s);
    return status;
}

int gw_cmd_salvage(int argc, char **argv)
{
    struct gw_salvage s = {.transfer = {.command = COMMAND, .wake = -1, .signals = -1}, .confine = {.command = COMMAND}, .write = {.format = GW_IMAGE_PARKED}};
    struct gw_error err = GW_ERROR_INIT;
    unsigned level = 0;
    const struct gw_cli_option options[] = {
        {"from", .text = &s.from, .value = "FILE",
         .help = "The other half: a parked machine, migration stream, mapped-ram file or libvirt save image."},
        {"listen", .text = &s.listen, .value = "URI", .help = "Wait there for the source, any number of times."},
        {"output", 'o', .text = &s.output, .value = "OUT", .help = "The whole machine, parked."},
        {"force", 'f', .flag = &s.write.replace, .help = "Replace OUT if it exists, once the new file is complete."},
        {"compress", .text = &s.write.compress, .value = "NAME", .choices = "none zstd", .help = "How OUT is compressed."},
        {"level", .number = &level, .most = LEVEL_MAX, .value = "N", .help = "The compression level."},
        {"threads", .number = &s.write.threads, .most = THREADS_MAX, .value = "N",
         .help = "Threads that read; 0: one for each processor."},
        {"ram-folder", .text = &s.ram_folder, .value = "DIR",
         .help = "With --listen: keep what comes in an unlinked file there meanwhile, and not in memory."},
        {"json", .flag = &s.transfer.json, .help = "Print one JSON object; with --listen a line for each event before it."},
        {"quiet", 'q', .flag = &s.transfer.quiet, .help = "Show no progress, and do not tell what was done."},
        GW_CONFINE_OPTION(&s.confine),
        {0}};
    const struct gw_cli_command command = {
        .usage = "PARTIAL --from FILE --output OUT [OPTION]...\nPARTIAL --listen URI --output OUT [OPTION]...",
        .arguments = "PARTIAL",
        .about = "Makes one parked machine of the two halves of a postcopy migration that broke off for good. PARTIAL is what "
                 "`godwit receive --postcopy` kept (OUT.incomplete). The pages that it lacks are taken from FILE, which `godwit "
                 "send --postcopy` was sending, or from a source that still waits and is told to go on at URI (QEMU: migrate "
                 "with resume; godwit send --resume). What both have must be the same. No file is changed; OUT is there when it "
                 "is whole.",
        .options = options};
    int status = gw_cli_parse(argc, argv, &command);

    if (status >= 0)
        return status;
    if (!s.output)
        return gw_cli_wrong(argv[0], "--output is missing");
    if (!s.from == !s.listen)
        return gw_cli_wrong(argv[0], s.from ? "--from cannot be used with --listen" : "--from or --listen is missing");
    if (s.ram_folder && !s.listen)
        return gw_cli_wrong(argv[0], "--ram-folder goes with --listen only");
    s.partial = argv[optind];
    s.write.level = (int)level;
    s.confine.connects = gw_path_is_far(s.output) || gw_path_is_far(s.partial) || (s.from && gw_path_is_far(s.from));
    status = salvage(&s, &err);
    gw_transfer_end(&s.transfer);
    gw_image_free(s.image); /* the joined image reads from `rest`, so it is freed first */
    gw_image_free(s.rest);
    free(s.lacking);
    return gw_cli_end(COMMAND, status);
}
