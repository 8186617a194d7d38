/* SPDX-License-Identifier: MIT
 *
 * godwit convert: a machine at rest from one kind of file to another.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <godwit/godwit.h>

#include "cmd.h"
#include "interrupts.h"
#include "transfer.h"

#define SHOW_EVERY_NS 100000000ull

static int usage(FILE *to)
{
    fprintf(
        to,
        "usage: godwit convert IN OUT --format FORMAT [--compress NAME] [--level N] [--xml FILE] [--force]\n\n"
        "Writes the machine that rests in the file IN to the file OUT. What IN is, it finds out: a parked machine,\n"
        "a migration stream (also compressed with gzip, bzip2, xz, lzop or zstd), a mapped-ram file, a libvirt save\n"
        "image. '-' is standard input, and for parked machines and streams standard output.\n\n"
        "  --format FORMAT  what OUT becomes: parked, stream, mapped-ram, libvirt\n"
        "  --compress NAME  parked: none or zstd. stream: raw, or the whole with gzip, bzip2, xz, lzop, zstd.\n"
        "                   libvirt: the same, or sparse (from libvirt 11.2 on)\n"
        "  --level N        how hard it is compressed\n"
        "  --threads N      that read (default: one for each processor)\n"
        "  --xml FILE       libvirt: the domain's XML; without it, that of IN, which must have one\n"
        "  --force          OUT may be there already: it is replaced once the new file is whole\n"
        "  --quiet          no progress line on a terminal\n");
    return to == stdout ? GW_EXIT_DONE : GW_EXIT_USAGE;
}

static int failed(const char *why)
{
    fprintf(stderr, "godwit convert: %s\n", why);
    return GW_EXIT_FAILED;
}

struct progress {
    bool on;
    bool interrupted;
    bool shown;
    uint64_t began_ns, shown_ns;
};

static bool on_progress(void *opaque, uint64_t done_bytes, uint64_t total_bytes)
{
    struct progress *p = opaque;
    uint64_t now = gw_now_ns(&gw_clock_real), ns = now - p->began_ns;

    p->interrupted |= gw_cli_interrupt_pending();
    if (p->on && now - p->shown_ns >= SHOW_EVERY_NS && total_bytes) {
        fprintf(stderr, "\r%3" PRIu64 "%%  %" PRIu64 " of %" PRIu64 " MiB  %.0f MiB/s \033[K",
                done_bytes * 100 / total_bytes, done_bytes >> 20, total_bytes >> 20,
                (double)done_bytes / 1048576 / ((double)(ns + 1) / 1e9));
        p->shown_ns = now;
        p->shown = true;
    }
    return p->interrupted;
}

struct job {
    const char *in, *out, *xml;
    struct gw_image_write_options write;
    struct progress progress;
};

static int convert(struct job *job, struct gw_error *err)
{
    struct gw_image *image = NULL;
    char *xml = NULL;
    int r = job->xml ? gw_read_xml(job->xml, &xml, err) : 0;

    if (r >= 0)
        r = gw_image_open_in(job->in, getenv("TMPDIR"), &image, err);
    if (r >= 0) {
        job->write.libvirt_xml = xml;
        job->write.progress = on_progress;
        job->write.opaque = &job->progress;
        job->progress.began_ns = gw_now_ns(&gw_clock_real);
        /* Whoever reads standard output may stall, and nothing is left behind there. */
        if (strcmp(job->out, "-"))
            gw_cli_interrupts_block();
        else
            gw_cli_interrupts_exit("godwit convert: -: interrupted; what went out is not whole\n");
        r = gw_image_write(image, job->out, &job->write, err);
        job->progress.interrupted |= gw_cli_interrupt_pending();
    }
    if (job->progress.shown)
        fprintf(stderr, "\r\033[K");
    gw_image_free(image);
    free(xml);
    return r;
}

static bool number(const char *text, unsigned long max, unsigned long *ret)
{
    char *end;

    errno = 0;
    *ret = strtoul(text, &end, 10);
    return *text >= '0' && *text <= '9' && !*end && !errno && *ret <= max;
}

static bool parse(int argc, char **argv, struct job *job, int *ret_exit)
{
    static const struct option options[] = {{"format", required_argument, NULL, 'o'},
                                            {"compress", required_argument, NULL, 'c'},
                                            {"level", required_argument, NULL, 'l'},
                                            {"threads", required_argument, NULL, 't'},
                                            {"xml", required_argument, NULL, 'x'},
                                            {"force", no_argument, NULL, 'f'},
                                            {"quiet", no_argument, NULL, 'q'},
                                            {"help", no_argument, NULL, 'h'},
                                            {"into", required_argument, NULL, 'i'},
                                            {"snapshot", required_argument, NULL, 'i'},
                                            {0}};
    unsigned long n;
    int c, format = -1;

    job->progress.on = isatty(STDERR_FILENO);
    *ret_exit = GW_EXIT_USAGE;
    while ((c = getopt_long(argc, argv, "hfq", options, NULL)) != -1) {
        if (c == 'o') {
            format = gw_image_format_find(optarg);
            if (format <= 0) { /* memory is none of a file */
                fprintf(stderr, "godwit convert: there is no format '%s', but parked, stream, mapped-ram and libvirt\n",
                        optarg);
                return false;
            }
        } else if (c == 'c') {
            job->write.compress = optarg;
        } else if ((c == 'l' || c == 't') && !number(optarg, c == 'l' ? 22 : 1024, &n)) {
            fprintf(stderr, "godwit convert: --%s %s: a number up to %d is expected\n", c == 'l' ? "level" : "threads",
                    optarg, c == 'l' ? 22 : 1024);
            return false;
        } else if (c == 'l') {
            job->write.level = (int)n;
        } else if (c == 't') {
            job->write.threads = (unsigned)n;
        } else if (c == 'x') {
            job->xml = optarg;
        } else if (c == 'f') {
            job->write.replace = true;
        } else if (c == 'q') {
            job->progress.on = false;
        } else if (c == 'i') {
            fprintf(stderr, "godwit convert: --into, --snapshot: machines cannot be put into disk images yet\n");
            return false;
        } else {
            *ret_exit = usage(c == 'h' ? stdout : stderr);
            return false;
        }
    }
    if (optind + 2 != argc || format < 0) {
        *ret_exit = usage(stderr);
        return false;
    }
    job->in = argv[optind];
    job->out = argv[optind + 1];
    job->write.format = (enum gw_image_format)format;
    return true;
}

int gw_cmd_convert(int argc, char **argv)
{
    struct gw_error err = GW_ERROR_INIT;
    struct job job = {0};
    int r, status;

    if (!parse(argc, argv, &job, &status))
        return status;
    r = convert(&job, &err);
    if (r >= 0)
        return GW_EXIT_DONE;
    if (job.progress.interrupted) {
        fprintf(stderr, "godwit convert: %s: interrupted; nothing was left there\n", job.out);
        return GW_EXIT_FAILED;
    }
    return failed(err.text);
}
