/* SPDX-License-Identifier: MIT
 *
 * The session of `godwit receive`: the machine comes, is parked, and changes hands; and what is to become of the file
 * when it does not.
 */
#include "receive.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ctl.h"

#define UNDECIDED_MAX 1000u /* files that are kept aside */

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
    struct gw_receive *rx = opaque;
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

static void report(struct gw_receive *rx, const struct gw_stats *stats)
{
    struct gw_transfer *t = &rx->transfer;
    uint64_t ram = 0;
    struct stat st = {0};
    char a[GW_HUMAN], b[GW_HUMAN], c[GW_HUMAN];

    for (unsigned i = 0; i < gw_image_blocks(rx->image); i++)
        ram += gw_image_block_bytes(rx->image, i);
    stat(rx->output, &st);
    if (t->json) {
        gw_transfer_result(json_pack("{s:s, s:s, s:s, s:s, s:b, s:I, s:I, s:I, s:f}", "event", "parked", "machine",
                                     gw_image_machine(rx->image), "file", rx->output, "format",
                                     gw_image_format_name(rx->options.format), "packed", (int)rx->packed, "ram-bytes",
                                     (json_int_t)ram, "file-bytes", (json_int_t)st.st_blocks * 512, "received-bytes",
                                     (json_int_t)stats->transferred_bytes, "seconds", gw_transfer_seconds(t)));
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
static void keep_aside(struct gw_receive *rx, struct gw_error *err)
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
static bool is_unheard(const struct gw_receive *rx, const struct gw_stats *stats)
{
    return stats->one_way && rx->socket;
}

static void warn(struct gw_receive *rx, const struct gw_stats *stats)
{
    if (rx->warned || !is_unheard(rx, stats))
        return;
    rx->warned = true;
    gw_transfer_tell(&rx->transfer, "notice", "text",
                     "the source does not wait until its machine is parked: its capability return-path makes it wait");
}

/* It ended badly: whose machine is it, and what is to become of the file? */
static int tell_failure(struct gw_receive *rx, enum gw_owner owner, const struct gw_stats *stats, struct gw_error *err)
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

static int write_late(struct gw_receive *rx, struct gw_error *err)
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
static void pack(struct gw_receive *rx, struct gw_error *err)
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

static bool is_socket(const char *text)
{
    struct gw_uri uri;
    struct stat st;

    if (gw_uri_parse(text, &uri, NULL) < 0)
        return false;
    return uri.kind == GW_URI_FD ? !fstat(uri.fd, &st) && S_ISSOCK(st.st_mode) : uri.kind < GW_URI_FD;
}

int gw_receive_run(struct gw_receive *rx, struct gw_error *err)
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
    int r = gw_image_new(rx->ram_folder, &rx->image, err);

    if (r >= 0)
        gw_image_set_ram_limit(rx->image, rx->memory_max_bytes);
    rx->socket = is_socket(rx->uri);
    rx->options.progress = progress;
    rx->options.opaque = t;
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
