/* SPDX-License-Identifier: MIT
 *
 * godwit receive: takes in a live migration and parks the machine in a file.
 */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ctl.h"
#include "options.h"
#include "transfer.h"

#define LEVEL_MAX     22u
#define UNDECIDED_MAX 1000u /* files that are kept aside */

struct receive {
    struct gw_transfer transfer;
    const char *uri, *output, *ram_folder, *xml;
    uint64_t memory_max_bytes; /* 0: the usual */
    struct gw_image_write_options options;
    struct gw_image *image;
    bool socket; /* a source is at the other end, not what one has left */
    bool early;  /* the source is told before the file is there */
    bool staged; /* the file is written while the machine comes, and packed afterwards */
    bool warned; /* that the source does not wait for an answer */
    bool asked;  /* all of the machine has come */
    bool parked; /* the file is there, whole. Set before the session ends */
    bool packed; /* and is as it is meant to be: with `staged` it is larger at first */
};

static int usage(FILE *to)
{
    fprintf(
        to,
        "usage: godwit receive URI --output FILE [OPTION]...\n\n"
        "Waits at URI for a live migration, of QEMU or of godwit and of any machine type, and parks the machine in "
        "FILE.\n"
        "The source is told that its machine has gone only when FILE is whole and on disk. QEMU waits for that word if "
        "its capability\n"
        "return-path is on (godwit always); without it, should parking fail, `cont` at the source takes the machine "
        "back.\n"
        "A parked file is compressed after that; Ctrl-C meanwhile leaves it uncompressed.\n\n"
        "  -o, --output FILE        where to; must not be there, unless\n"
        "  --force                  it may be replaced\n"
        "  --format NAME            parked (usual), stream, mapped-ram or libvirt\n"
        "  --compress NAME          of the file: none, zstd (parked); raw, gzip, bzip2, xz, lzop, zstd (stream, "
        "libvirt)\n"
        "  --level N                of zstd\n"
        "  --xml FILE               libvirt: the domain's XML (virsh dumpxml --migratable), which it needs\n"
        "  --acknowledge WHEN       when the source is told: durable (usual: the file is on disk) or received (before "
        "it is\n"
        "                           written: as fast as to another machine, but a failure then needs `cont` at the "
        "source)\n"
        "  --memory-max SIZE        refuse a guest with more RAM (usual: than this host has available; no limit with "
        "--ram-folder)\n"
        "  --ram-folder DIR         keep the RAM in a nameless file in DIR meanwhile, not in memory\n" GW_TRANSFER_HELP
        "\nURI: tcp:HOST:PORT, unix:PATH, vsock:CID:PORT, fd:N, exec:COMMAND, file:PATH[,offset=N]\n");
    return to == stdout ? GW_EXIT_DONE : GW_EXIT_USAGE;
}

static bool progress(void *opaque, uint64_t done_bytes, uint64_t total_bytes)
{
    struct gw_transfer *t = opaque;

    atomic_store(&t->done_bytes, done_bytes);
    atomic_store(&t->total_bytes, total_bytes);
    return atomic_load(&t->interrupted);
}

/* On the session's thread. */
static int park(void *opaque, struct gw_error *err)
{
    struct receive *rx = opaque;
    struct gw_error local = GW_ERROR_INIT;
    int r;

    rx->asked = true;
    if (rx->early)
        return 0;
    r = rx->staged ? gw_image_stage_commit(rx->image, &local) : -ENOTSUP;
    rx->staged = r >= 0;
    if (r < 0) {
        if (local.code && local.code != -EEXIST)
            gw_transfer_tell(&rx->transfer, "notice", "text", local.text);
        r = gw_image_write(rx->image, rx->output, &rx->options, err);
    }
    rx->parked = r >= 0;
    return r;
}

static void report(struct receive *rx, const struct gw_stats *stats)
{
    struct gw_transfer *t = &rx->transfer;
    uint64_t ram = 0;
    struct stat st = {0};
    char a[GW_HUMAN], b[GW_HUMAN], c[GW_HUMAN];

    for (unsigned i = 0; i < gw_image_blocks(rx->image); i++)
        ram += gw_image_block_bytes(rx->image, i);
    stat(rx->output, &st);
    if (t->json) {
        json_t *o = json_pack("{s:s, s:s, s:s, s:s, s:b, s:I, s:I, s:I, s:f}", "event", "parked", "machine",
                              gw_image_machine(rx->image), "file", rx->output, "format",
                              gw_image_format_name(rx->options.format), "packed", (int)rx->packed, "ram-bytes",
                              (json_int_t)ram, "file-bytes", (json_int_t)st.st_blocks * 512, "received-bytes",
                              (json_int_t)stats->transferred_bytes, "seconds", gw_transfer_seconds(t));
        char *text = o ? json_dumps(o, JSON_COMPACT) : NULL;

        puts(text ? text : "{}");
        free(text);
        json_decref(o);
    } else if (!t->quiet) {
        gw_transfer_clear(t);
        printf("%s with %s of RAM is in %s (%s; %s came in)\n", gw_image_machine(rx->image),
               gw_human_bytes(a, (double)ram), rx->output, gw_human_bytes(b, (double)st.st_blocks * 512),
               gw_human_bytes(c, (double)stats->transferred_bytes));
    }
    fflush(stdout);
}

/* Nobody knows whose machine it is: the file is kept, under a name that nothing else has and nobody takes for a
 * guest's. */
static void keep_aside(struct receive *rx, struct gw_error *err)
{
    struct gw_error why = GW_ERROR_INIT;
    char aside[4096 + 32] = "";
    int r = -EEXIST;

    for (unsigned n = 1; r == -EEXIST && n <= UNDECIDED_MAX; n++) {
        snprintf(aside, sizeof aside, n == 1 ? "%s.undecided" : "%s.undecided.%u", rx->output, n);
        r = gw_image_revert(rx->image, aside, &why);
    }
    if (r == -ENOENT || r == -ESTALE)
        gw_context(err, "%s", why.text);
    else if (r < 0)
        gw_context(err,
                   "the machine is whole in %s, which could not be renamed to %s (%s): keep it if the source has given "
                   "its own away, else remove it",
                   rx->output, aside, why.text);
    else
        gw_context(err, "the machine is whole in %s: keep it if the source has given its own away, else remove it",
                   aside);
}

/* A source that was not asked to wait for an answer may have left its machine for good. */
static bool is_unheard(const struct receive *rx, const struct gw_stats *stats)
{
    return stats->one_way && rx->socket;
}

static void warn(struct receive *rx, const struct gw_stats *stats)
{
    if (rx->warned || !is_unheard(rx, stats))
        return;
    rx->warned = true;
    gw_transfer_tell(&rx->transfer, "notice", "text",
                     "the source does not wait until its machine is parked: its capability return-path makes it wait");
}

/* It ended badly: whose machine is it, and what is to become of the file? */
static int tell_failure(struct receive *rx, enum gw_owner owner, const struct gw_stats *stats, struct gw_error *err)
{
    struct gw_error why = GW_ERROR_INIT;

    if (rx->parked && owner == GW_OWNER_UNDECIDED)
        keep_aside(rx, err);
    else if (rx->parked && gw_image_revert(rx->image, NULL, &why) < 0)
        gw_context(err, "the machine stays at its source, do not start that of the file: %s", why.text);
    if (is_unheard(rx, stats))
        gw_context(err, rx->asked ? "the source believes that its machine has gone: `cont` there lets it go on"
                                  : "should the source believe that its machine has gone, `cont` there lets it go on");
    return gw_transfer_failed(&rx->transfer, rx->uri, err);
}

/* The source has been told. In the main thread, so signals are looked at between two steps. */
static bool late_progress(void *opaque, uint64_t done_bytes, uint64_t total_bytes)
{
    struct gw_transfer *t = opaque;
    struct gw_stats none = {0};

    progress(t, done_bytes, total_bytes);
    gw_transfer_look(t, &none);
    return atomic_load(&t->interrupted);
}

static int write_late(struct receive *rx, struct gw_error *err)
{
    int r;

    rx->options.progress = late_progress;
    rx->options.revertible = false;
    r = gw_image_write(rx->image, rx->output, &rx->options, err);
    if (r < 0)
        gw_context(err, "the source was told that its machine is here, but it could not be written: let it go on there "
                        "(QEMU: cont)");
    return r;
}

/* The guest is in the file, whatever happens now. */
static void pack(struct receive *rx, struct gw_error *err)
{
    struct gw_transfer *t = &rx->transfer;

    gw_transfer_tell(t, "durable", "file", rx->output);
    if (gw_image_stage_pack(rx->image, late_progress, t, err) >= 0)
        return;
    rx->packed = false;
    gw_transfer_clear(t);
    if (err->code == -ENOENT || err->code == -EEXIST)
        fprintf(stderr,
                "godwit receive: %s: it was moved, removed or replaced before it was packed, and is left as it is\n",
                rx->output);
    else
        fprintf(stderr, "godwit receive: %s; the machine is whole in %s, uncompressed\n",
                err->code == -ECANCELED ? "interrupted while packing" : err->text, rx->output);
}

static int run(struct receive *rx, struct gw_error *err)
{
    struct gw_transfer *t = &rx->transfer;
    struct gw_recv_config config = {.uri = rx->uri,
                                    .progress_timeout_ns = t->timeout_ns,
                                    .vmdesc_wait_ns = 3000000000,
                                    .on_event = gw_transfer_event,
                                    .opaque = t};
    struct gw_recv *recv = NULL;
    struct gw_vm *vm = NULL;
    struct gw_stats stats = {0};
    enum gw_owner owner;
    char address[512];
    struct gw_uri uri;
    int r = gw_image_new(rx->ram_folder, &rx->image, err);

    if (r >= 0)
        gw_image_set_ram_limit(rx->image, rx->memory_max_bytes);
    rx->socket = gw_uri_parse(rx->uri, &uri, NULL) >= 0 && uri.kind <= GW_URI_FD;
    rx->packed = true;
    rx->staged = !rx->early && rx->options.format == GW_IMAGE_PARKED;
    if (r >= 0 && rx->staged)
        r = gw_image_stage(rx->image, rx->output, &rx->options, err);
    if (r >= 0)
        r = gw_image_vm(rx->image, park, rx, &vm, err);
    if (r >= 0)
        r = gw_transfer_begin(t, vm, err);
    if (r >= 0)
        r = gw_recv_start(vm, &config, &recv, err);
    if (r < 0)
        return gw_transfer_failed(t, rx->uri, err);
    gw_recv_address(recv, address, sizeof address);
    if (address[0])
        gw_transfer_tell(t, "listening", "uri", address);
    while (!gw_transfer_ended(gw_recv_status(recv))) {
        gw_recv_stats(recv, &stats);
        stats.status = gw_recv_status(recv);
        warn(rx, &stats);
        if (gw_transfer_turn(t, &stats) && gw_recv_cancel(recv, err) < 0 && t->interrupts > 1)
            gw_recv_yank(recv);
    }
    *err = (struct gw_error)GW_ERROR_INIT;
    r = gw_recv_wait(recv, err);
    owner = gw_recv_owner(recv);
    gw_recv_stats(recv, &stats);
    gw_recv_free(recv);
    warn(rx, &stats);
    if (r >= 0 && rx->early) {
        gw_transfer_tell(t, "received", "machine", gw_image_machine(rx->image));
        r = write_late(rx, err);
    }
    if (r < 0)
        return tell_failure(rx, owner, &stats, err);
    if (rx->staged)
        pack(rx, err);
    report(rx, &stats);
    return GW_EXIT_DONE;
}

/* Whatever can be known before a guest comes a long way for nothing. A status, or -1: it may come. */
static int check(struct receive *rx, char **ret_xml, struct gw_error *err)
{
    struct gw_transfer *t = &rx->transfer;
    struct gw_output *probe = NULL;
    int r;

    if (!strcmp(rx->output, "-")) {
        fprintf(stderr, "godwit receive: --output -: a machine is parked in a file, standard output tells of it\n");
        return GW_EXIT_USAGE;
    }
    if (rx->options.format == GW_IMAGE_LIBVIRT && !rx->xml) {
        fprintf(stderr, "godwit receive: --format libvirt needs --xml FILE, the domain's XML\n");
        return GW_EXIT_USAGE;
    }
    if (rx->xml && gw_read_xml(rx->xml, ret_xml, err) < 0)
        return gw_transfer_failed(t, "--xml", err);
    rx->options.libvirt_xml = *ret_xml;
    r = gw_image_check_options(&rx->options, err);
    if (r < 0) {
        gw_transfer_failed(t, gw_image_format_name(rx->options.format), err);
        return err->blame == GW_BLAME_CALLER ? GW_EXIT_USAGE : GW_EXIT_FAILED;
    }
    r = gw_output_new(rx->output, rx->options.replace, &probe, err);
    gw_output_free(probe);
    if (r == -EEXIST)
        fprintf(stderr, "godwit receive: %s; --force replaces it\n", err->text);
    return r == -EEXIST ? GW_EXIT_FAILED : r < 0 ? gw_transfer_failed(t, NULL, err) : -1;
}

int gw_cmd_receive(int argc, char **argv)
{
    static const struct option options[] = {{"output", required_argument, NULL, 'o'},
                                            {"force", no_argument, NULL, 'f'},
                                            {"format", required_argument, NULL, 'F'},
                                            {"compress", required_argument, NULL, 'c'},
                                            {"level", required_argument, NULL, 'l'},
                                            {"ram-folder", required_argument, NULL, 'r'},
                                            {"memory-max", required_argument, NULL, 'm'},
                                            {"xml", required_argument, NULL, 'x'},
                                            {"acknowledge", required_argument, NULL, 'a'},
                                            GW_TRANSFER_OPTIONS,
                                            {0}};
    struct receive rx = {
        .transfer = {.command = "receive", .wake = -1, .signals = -1},
        .options = {.format = GW_IMAGE_PARKED, .revertible = true, .progress = progress, .opaque = &rx.transfer}};
    struct gw_error err = GW_ERROR_INIT;
    char *xml = NULL;
    uint64_t level;
    int64_t size;
    int c, n, status;

    while ((c = getopt_long(argc, argv, "ho:", options, NULL)) != -1) {
        if (c == 'o') {
            rx.output = optarg;
        } else if (c == 'f') {
            rx.options.replace = true;
        } else if (c == 'F') {
            n = gw_image_format_find(optarg);
            if (n < 0 || n == GW_IMAGE_MEMORY) {
                fprintf(stderr, "godwit receive: --format '%s': parked, stream, mapped-ram or libvirt\n", optarg);
                return GW_EXIT_USAGE;
            }
            rx.options.format = (enum gw_image_format)n;
        } else if (c == 'c') {
            rx.options.compress = optarg;
        } else if (c == 'l') {
            if (!gw_option_number(optarg, 0, LEVEL_MAX, &level)) {
                fprintf(stderr, "godwit receive: --level '%s': a number up to %u is expected\n", optarg, LEVEL_MAX);
                return GW_EXIT_USAGE;
            }
            rx.options.level = (int)level;
        } else if (c == 'x') {
            rx.xml = optarg;
        } else if (c == 'a') {
            rx.early = !strcmp(optarg, "received");
            if (!rx.early && strcmp(optarg, "durable")) {
                fprintf(stderr, "godwit receive: --acknowledge '%s': durable or received\n", optarg);
                return GW_EXIT_USAGE;
            }
        } else if (c == 'm') {
            if (!gw_option_size(optarg, &size) || size <= 0) {
                fprintf(stderr, "godwit receive: --memory-max '%s': a size is expected, as 4G\n", optarg);
                return GW_EXIT_USAGE;
            }
            rx.memory_max_bytes = (uint64_t)size;
        } else if (c == 'r') {
            rx.ram_folder = optarg;
        } else if (c == 'h' || c == GW_OPTION_HELP) {
            return usage(stdout);
        } else if (!gw_transfer_option(&rx.transfer, c, optarg)) {
            return c == '?' || c < GW_TRANSFER_OPTION ? usage(stderr) : GW_EXIT_USAGE;
        }
    }
    if (optind + 1 != argc || !rx.output)
        return usage(stderr);
    rx.uri = argv[optind];
    status = check(&rx, &xml, &err);
    if (status < 0)
        status = run(&rx, &err);
    gw_transfer_end(&rx.transfer);
    gw_image_free(rx.image);
    free(xml);
    return status;
}
