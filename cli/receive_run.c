/* SPDX-License-Identifier: MIT
 *
 * The session of `godwit receive`: parks a machine (godwit/park.h) and reports on it.
 */
#include "shown.h"
#include "receive.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ctl.h"

/* Called on the session's thread; after its end on the main thread, which then checks signals between two steps. */
static bool progress(void *opaque, uint64_t done_bytes, uint64_t total_bytes)
{
    struct gw_receive *rx = opaque;
    struct gw_transfer *t = &rx->transfer;
    struct gw_stats none = {0};

    atomic_store(&t->done_bytes, done_bytes);
    atomic_store(&t->total_bytes, total_bytes);
    if (rx->ended)
        gw_transfer_look(t, &none);
    return atomic_load(&t->interrupted);
}

static void report(struct gw_receive *rx, const struct gw_stats *stats, uint64_t far_bytes)
{
    const struct gw_image *image = gw_park_image(rx->park);
    struct gw_transfer *t = &rx->transfer;
    uint64_t ram = 0, bytes = far_bytes;
    struct stat st;
    char a[GW_HUMAN], b[GW_HUMAN], c[GW_HUMAN];

    for (unsigned i = 0; i < gw_image_blocks(image); i++)
        ram += gw_image_block_bytes(image, i);
    if (!bytes && stat(rx->output, &st) >= 0)
        bytes = (uint64_t)st.st_blocks * 512;
    if (t->json) {
        gw_transfer_result(json_pack("{s:s, s:s, s:s, s:s, s:b, s:I, s:I, s:I, s:f}", "event", stats->source_runs ? "snapshot" : "parked", "machine",
                                     gw_image_machine(image), "file", rx->output, "format",
                                     gw_image_format_name(rx->options.format), "packed", (int)rx->packed, "ram-bytes",
                                     (json_int_t)ram, "file-bytes", (json_int_t)bytes, "received-bytes",
                                     (json_int_t)stats->transferred_bytes, "seconds", gw_transfer_seconds(t)));
    } else if (!t->quiet) {
        gw_transfer_clear(t);
        printf("%s%s with %s of RAM is in %s (%s; %s came in)%s\n", stats->source_runs ? "a snapshot of " : "",
               gw_shown(gw_image_machine(image)), gw_human_bytes(a, (double)ram), gw_shown(rx->output),
               gw_human_bytes(b, (double)bytes), gw_human_bytes(c, (double)stats->transferred_bytes),
               stats->source_runs ? "; the guest keeps running at its source" : "");
    }
    fflush(stdout);
}

/* Whether the source, which was not asked to wait for an answer, may have given up its machine for good. */
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
                     "the source does not wait until its machine is parked; turn its capability return-path on for that");
}

/* Prints what the source's operator has to do, once per loss of the connection. */
static void tell_paused(struct gw_receive *rx, const struct gw_stats *stats, const char *address)
{
    struct gw_error why = stats->error;
    char text[4 * 512 + PATH_MAX + 300];

    rx->paused = true;
    rx->paused_s = gw_transfer_seconds(&rx->transfer);
    gw_context(&why, "the connection to the source is lost, and some memory has not arrived");
    gw_transfer_tell(&rx->transfer, "paused", "text", why.text);
    snprintf(text, sizeof text,
             "%s; at the source: `migrate -r %s` (QEMU's monitor), `godwit ctl SOCKET migrate %s --resume`, `godwit send FILE %s "
             "--resume`. Ctrl-C keeps the received part as %s.incomplete",
             address, address, address, address, rx->output);
    gw_transfer_tell(&rx->transfer, "waiting", "text", text);
}

/* true: do not wait for the source any longer. */
static bool look_for_source(struct gw_receive *rx, const struct gw_stats *stats, const char *address)
{
    if (stats->status == GW_STATUS_POSTCOPY_ACTIVE)
        rx->paused = false;
    if (stats->status != GW_STATUS_POSTCOPY_PAUSED)
        return false;
    if (!rx->paused)
        tell_paused(rx, stats, address);
    return rx->transfer.interrupts ||
           (rx->recovery_wait_s >= 0 && gw_transfer_seconds(&rx->transfer) - rx->paused_s >= rx->recovery_wait_s);
}

static void told(void *opaque, const char *text)
{
    gw_transfer_tell(opaque, "notice", "text", text);
}

static int tell_failure(struct gw_receive *rx, const struct gw_park_outcome *outcome, const struct gw_stats *stats,
                        struct gw_error *err)
{
    if (rx->alone) {
        gw_fail(err, -ETIMEDOUT, GW_BLAME_PEER, "no source came within %.3g s", (double)rx->wait_ns / 1e9);
        return gw_transfer_failed(&rx->transfer, rx->uri, err);
    }
    if (rx->paused)
        gw_context(err, rx->transfer.interrupts ? "interrupted while waiting for the source" : "the lost source did "
            "not reconnect in time");
    if (is_unheard(rx, stats))
        gw_context(err, outcome->whole
                            ? "the source considers its machine migrated: `cont` there resumes it"
                            : "if the source considers its machine migrated, `cont` there resumes it");
    return gw_transfer_failed(&rx->transfer, rx->uri, err);
}

/* The guest is safe in the file, even if this fails. */
static void pack(struct gw_receive *rx, struct gw_error *err)
{
    struct gw_transfer *t = &rx->transfer;

    gw_transfer_tell(t, "durable", "file", rx->output);
    if (gw_park_pack(rx->park, err) >= 0)
        return;
    rx->packed = false;
    gw_transfer_clear(t);
    if (err->code == -ENOENT || err->code == -EEXIST)
        fprintf(stderr,
                "godwit receive: %s: it was moved, removed or replaced before it was packed, and is left as it is\n",
                rx->output);
    else
        fprintf(stderr, "godwit receive: %s; the machine is whole in %s, uncompressed\n",
                err->code == -ECANCELED ? "interrupted while packing" : err->text, gw_shown(rx->output));
}

static bool is_socket(const char *text)
{
    struct gw_uri uri;
    struct stat st;

    if (gw_uri_parse(text, &uri, NULL) < 0)
        return false;
    return uri.kind == GW_URI_FD ? !fstat(uri.fd, &st) && S_ISSOCK(st.st_mode) : uri.kind < GW_URI_FD;
}

/* Root listens; a command is started as the user. */
static int start(struct gw_receive *rx, const struct gw_recv_config *config, struct gw_error *err)
{
    enum gw_confine_kind kind = gw_confine_kind_of(&rx->options);
    bool runs = !strncmp(rx->uri, "exec:", 5);
    int r = runs ? gw_confine_drop(&rx->confine, err) : gw_confine_root(&rx->confine, err);

    if (r >= 0)
        r = gw_park_start(rx->park, config, err);
    if (r >= 0)
        r = gw_confine_drop(&rx->confine, err);
    return r < 0 ? r : gw_confine(&rx->confine, kind == GW_CONFINE_ALL && runs ? GW_CONFINE_EXEC : kind, err);
}

int gw_receive_run(struct gw_receive *rx, struct gw_error *err)
{
    struct gw_transfer *t = &rx->transfer;
    const struct gw_park_config park = {.path = rx->output,
                                        .write = &rx->options,
                                        .write_bytes = sizeof rx->options,
                                        .early = rx->early,
                                        .ram_folder = rx->ram_folder,
                                        .memory_max_bytes = rx->memory_max_bytes,
                                        .told = told,
                                        .opaque = t};
    const struct gw_recv_config config = {.uri = rx->uri,
                                          .progress_timeout_ns = t->timeout_ns,
                                          .vmdesc_wait_ns = 3000000000,
                                          .on_event = gw_transfer_event,
                                          .await_source = rx->recovery_wait_s != 0,
                                          .opaque = t};
    struct gw_park_outcome outcome = {0};
    struct gw_stats stats = {0};
    struct gw_recv *recv;
    char address[512];
    int r;

    rx->socket = is_socket(rx->uri);
    rx->options.progress = progress;
    rx->options.opaque = rx;
    rx->packed = !gw_path_is_far(rx->output) || rx->options.compress || rx->options.level;
    rx->confine.connects = gw_path_is_far(rx->output);
    r = gw_park_new(&park, &rx->park, err);
    if (r >= 0 && rx->postcopy) /* before the capabilities that need it */
        r = gw_options_set_bool(gw_vm_options(gw_park_vm(rx->park)), "postcopy-ram", true, err);
    if (r >= 0)
        r = gw_transfer_begin(t, gw_park_vm(rx->park), err);
    if (r >= 0)
        r = start(rx, &config, err);
    if (r < 0)
        return gw_transfer_failed(t, rx->uri, err);
    recv = gw_park_session(rx->park);
    gw_recv_address(recv, address, sizeof address);
    if (address[0])
        gw_transfer_tell(t, "listening", "uri", address);
    while (!gw_transfer_ended(gw_recv_status(recv))) {
        gw_recv_stats(recv, &stats);
        stats.status = gw_recv_status(recv);
        warn(rx, &stats);
        if (rx->wait_ns && !rx->alone && stats.status == GW_STATUS_SETUP &&
            gw_transfer_seconds(t) * 1e9 >= (double)rx->wait_ns)
            rx->alone = gw_recv_cancel(recv, err) >= 0;
        if (gw_transfer_turn(t, &stats) && gw_recv_cancel(recv, err) < 0 && t->interrupts > 1)
            gw_recv_yank(recv);
        if (look_for_source(rx, &stats, address)) {
            atomic_store(&t->interrupted, false); /* the received machine is still to be written; another interrupt cancels that */
            gw_recv_yank(recv);
        }
    }
    *err = (struct gw_error)GW_ERROR_INIT;
    r = gw_park_wait(rx->park, err);
    rx->ended = true;
    gw_recv_stats(recv, &stats);
    warn(rx, &stats);
    if (r >= 0 && rx->early)
        gw_transfer_tell(t, "received", "machine", gw_image_machine(gw_park_image(rx->park)));
    if (gw_park_outcome(rx->park, &outcome, err) < 0)
        return tell_failure(rx, &outcome, &stats, err);
    if (outcome.packs)
        pack(rx, err);
    report(rx, &stats, outcome.far_bytes);
    return GW_EXIT_DONE;
}
