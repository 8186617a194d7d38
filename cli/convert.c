/* SPDX-License-Identifier: MIT
 *
 * godwit convert: convert a machine at rest to another file format.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <godwit/godwit.h>

#include "cmd.h"
#include "confine.h"
#include "examine.h"
#include "interrupts.h"
#include "shown.h"
#include "table.h"
#include "transfer.h"

#define LEVEL_MAX   22
#define THREADS_MAX 1024

struct job {
    const char *in, *out, *xml, *snapshot, *into;
    struct gw_image_write_options write;
    bool has_format;
    struct gw_cli_progress progress;
    struct gw_confine confine;
};

static int write_snapshot(struct job *job, struct gw_image *image, struct gw_error *err)
{
    const struct gw_snapshot_options options = {.threads = job->write.threads,
                                                .progress = gw_cli_progress_step,
                                                .opaque = &job->progress,
                                                .temporary_folder = getenv("TMPDIR")};

    return gw_snapshot_write(image, job->into, job->snapshot, &options, err);
}

static int convert(struct job *job, struct gw_error *err)
{
    struct gw_image *image = NULL;
    char *xml = NULL;
    int r;

    job->confine.connects = gw_path_is_far(job->in) || gw_path_is_far(job->out);
    r = job->xml ? gw_read_xml(job->xml, &xml, err) : 0;

    if (r >= 0)
        r = gw_cli_open(job->in, job->into ? NULL : job->snapshot, &image, err);
    if (r >= 0)
        r = gw_confine(&job->confine, gw_confine_kind_of(&job->write), err);
    if (r >= 0) {
        job->write.libvirt_xml = xml;
        job->write.progress = gw_cli_progress_step;
        job->write.opaque = &job->progress;
        /* The reader of standard output may stall, and there is no partial file to remove. */
        if (strcmp(job->out, "-"))
            gw_cli_progress_watch(&job->progress);
        else
            gw_cli_interrupts_exit("godwit convert: -: interrupted; the output is incomplete\n");
        r = job->into ? write_snapshot(job, image, err) : gw_image_write(image, job->out, &job->write, err);
        job->progress.interrupted |= gw_cli_interrupt_pending();
    }
    gw_cli_progress_done(&job->progress);
    gw_image_free(image);
    free(xml);
    return r;
}

static enum gw_cli_taken take_format(void *opaque, char *value)
{
    struct job *job = opaque;
    int format = gw_image_format_find(value);

    job->has_format = format > 0; /* memory is not a file format */
    job->write.format = (enum gw_image_format)format;
    if (job->has_format)
        return GW_CLI_TAKEN;
    fprintf(stderr, "godwit convert: there is no format '%s'; the formats are parked, stream, mapped-ram and libvirt\n", value);
    return GW_CLI_TOLD;
}

/* Refuses contradicting options. A snapshot is always a plain stream and never replaces another one. */
static int judge(const char *who, const struct job *job, unsigned level)
{
    const struct gw_image_write_options *w = &job->write;
    const char *beside = job->has_format ? "format" : w->compress ? "compress" : level ? "level" : job->xml ? "xml" : "force";

    if (!job->into)
        return job->has_format ? -1 : gw_cli_wrong(who, "--format is missing");
    if (!job->snapshot)
        return gw_cli_wrong(who, "--snapshot is missing: --into needs the name of the new snapshot");
    if (job->has_format || w->compress || level || job->xml || w->replace)
        return gw_cli_wrong(who, "--%s cannot be used with --into", beside);
    return -1;
}

/* Returns an exit status, or -1 to go on. */
static int parse(int argc, char **argv, struct job *job)
{
    unsigned level = 0;
    bool quiet = false;
    const struct gw_cli_option options[] = {
        {"format", .take = take_format, .opaque = job, .value = "FORMAT", .choices = "parked stream mapped-ram libvirt",
         .help = "What OUT becomes."},
        {"compress", .text = &job->write.compress, .value = "NAME", .choices = "none zstd raw gzip bzip2 xz lzop sparse",
         .help = "How OUT is compressed; parked: none, zstd; stream: raw, or the whole with gzip, bzip2, xz, lzop, zstd; "
                 "libvirt: the same, or sparse (from libvirt 11.2 on)."},
        {"level", .number = &level, .most = LEVEL_MAX, .value = "N", .help = "The compression level."},
        {"threads", .number = &job->write.threads, .most = THREADS_MAX, .value = "N",
         .help = "Threads that read; 0: one for each processor."},
        {"xml", .text = &job->xml, .value = "FILE", .help = "For libvirt: the domain's XML; else that of IN, which must have one."},
        GW_CLI_SNAPSHOT_OPTION(&job->snapshot, "IN"),
        {"into", .text = &job->into, .value = "DISK",
         .help = "Store the machine as the snapshot NAME of this disk image, with the disk's current contents: for "
                 "qemu -loadvm NAME."},
        {"force", 'f', .flag = &job->write.replace, .help = "Replace OUT if it exists, once the new file is complete."},
        {"quiet", 'q', .flag = &quiet, .help = "Show no progress line on a terminal."},
        GW_CONFINE_OPTION(&job->confine),
        {0}};
    const struct gw_cli_command command = {
        .usage = "IN OUT --format FORMAT [OPTION]...\nIN --into DISK --snapshot NAME [OPTION]...",
        .about = "Converts the machine in the file IN to the file OUT. IN may be a parked machine, a migration stream "
                 "(also compressed with gzip, bzip2, xz, lzop or zstd), a mapped-ram file or a libvirt save image; "
                 "nbd://HOST/EXPORT on an NBD server; IN,offset=N from byte N on; '-' for standard input. OUT may be "
                 "nbd://HOST/EXPORT, and '-' for parked machines and streams.",
        .options = options};
    int status = gw_cli_parse(argc, argv, &command);

    if (status >= 0)
        return status;
    status = gw_cli_arguments(argc, argv, "", job->into ? "IN" : "IN OUT");
    if (status < 0)
        status = judge(argv[0], job, level);
    if (status >= 0)
        return status;
    job->write.level = (int)level;
    gw_cli_progress_init(&job->progress, "converted", quiet);
    job->in = argv[optind];
    job->out = job->into ? job->into : argv[optind + 1];
    return -1;
}

int gw_cmd_convert(int argc, char **argv)
{
    struct gw_error err = GW_ERROR_INIT;
    struct job job = {.confine = {.command = "convert"}};
    int status = parse(argc, argv, &job), r;

    if (status >= 0)
        return status;
    r = convert(&job, &err);
    if (r >= 0)
        return GW_EXIT_DONE;
    if (job.progress.interrupted) {
        fprintf(stderr, "godwit convert: %s: interrupted; no file was left\n", gw_shown(job.out));
        return GW_EXIT_FAILED;
    }
    return gw_cli_failed("convert", NULL, err.text);
}
