/* SPDX-License-Identifier: MIT
 *
 * godwit convert: a machine at rest from one kind of file to another.
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

static int usage(FILE *to)
{
    fprintf(
        to,
        "usage: godwit convert IN OUT --format FORMAT [--snapshot NAME] [--compress NAME] [--level N] [--xml FILE] [--force]\n"
        "       godwit convert IN --into DISK --snapshot NAME\n\n"
        "Writes the machine that rests in the file IN to the file OUT. What IN is, it finds out: a parked machine,\n"
        "a migration stream (also compressed with gzip, bzip2, xz, lzop or zstd), a mapped-ram file, a libvirt save\n"
        "image, also what an NBD server has (nbd://HOST/EXPORT). '-' is standard input, and for parked machines and streams standard output; IN,offset=N a stream or\n"
        "mapped-ram file that begins at byte N. OUT may be nbd://HOST/EXPORT.\n\n"
        "  --format FORMAT  what OUT becomes: parked, stream, mapped-ram, libvirt\n"
        "  --compress NAME  parked: none or zstd. stream: raw, or the whole with gzip, bzip2, xz, lzop, zstd.\n"
        "                   libvirt: the same, or sparse (from libvirt 11.2 on)\n"
        "  --level N        how hard it is compressed\n"
        "  --threads N      that read (default: one for each processor)\n"
        "  --xml FILE       libvirt: the domain's XML; without it, that of IN, which must have one\n"
        "  --snapshot NAME  IN is a disk image (qcow2): the machine in this snapshot of it\n"
        "  --into DISK      the machine becomes the snapshot NAME of this disk image, as the disk is now: qemu -loadvm NAME\n"
        "  --force          OUT may be there already: it is replaced once the new file is whole\n"
        "  --quiet          no progress line on a terminal\n" GW_CONFINE_HELP);
    return to == stdout ? GW_EXIT_DONE : GW_EXIT_USAGE;
}

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
        /* Whoever reads standard output may stall, and nothing is left behind there. */
        if (strcmp(job->out, "-"))
            gw_cli_progress_watch(&job->progress);
        else
            gw_cli_interrupts_exit("godwit convert: -: interrupted; what went out is not whole\n");
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

    job->has_format = format > 0; /* memory is none of a file */
    job->write.format = (enum gw_image_format)format;
    if (job->has_format)
        return GW_CLI_TAKEN;
    fprintf(stderr, "godwit convert: there is no format '%s', but parked, stream, mapped-ram and libvirt\n", value);
    return GW_CLI_TOLD;
}

/* A snapshot is a stream as it is, and never in the place of another. */
static bool into_fits(const struct job *job, int arguments)
{
    const struct gw_image_write_options *w = &job->write;

    return arguments == 1 && job->snapshot && !job->has_format && !w->compress && !job->xml && !w->replace;
}

/* A status, or -1: all is there. */
static int parse(int argc, char **argv, struct job *job)
{
    unsigned level = 0;
    bool quiet = false;
    const struct gw_cli_option options[] = {{"format", .take = take_format, .opaque = job},
                                            {"compress", .text = &job->write.compress},
                                            {"level", .number = &level, .most = LEVEL_MAX},
                                            {"threads", .number = &job->write.threads, .most = THREADS_MAX},
                                            {"xml", .text = &job->xml},
                                            {"force", 'f', .flag = &job->write.replace},
                                            {"quiet", 'q', .flag = &quiet},
                                            GW_CONFINE_OPTION(&job->confine),
                                            {"into", .text = &job->into},
                                            {"snapshot", .text = &job->snapshot},
                                            {0}};
    int status = gw_cli_options(argc, argv, options, usage);

    if (status >= 0)
        return status;
    if (job->into ? level || !into_fits(job, argc - optind) : optind + 2 != argc || !job->has_format)
        return usage(stderr);
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
        fprintf(stderr, "godwit convert: %s: interrupted; nothing was left there\n", gw_shown(job.out));
        return GW_EXIT_FAILED;
    }
    return gw_cli_failed("convert", NULL, err.text);
}
