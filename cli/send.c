/* SPDX-License-Identifier: MIT
 *
 * godwit send: a parked machine goes on elsewhere.
 */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ctl.h"
#include "target.h"
#include "transfer.h"

struct send {
    struct gw_transfer transfer;
    const char *file, *uri, *peer;
    bool remove, replace;
    bool confirmed; /* that the machine is there */
    bool removed;
    struct gw_image *image;
    struct gw_target target;
};

static int usage(FILE *to)
{
    fprintf(
        to,
        "usage: godwit send FILE URI [OPTION]...\n\n"
        "Sends the machine in FILE to a destination that waits at URI: QEMU with -incoming, `godwit vm`, `godwit "
        "receive`.\n"
        "FILE may be parked, a migration stream, a mapped-ram file or a libvirt save image; '-' is standard input.\n\n"
        "  --remove                 remove FILE when the destination has said that the machine runs there: it is a "
        "copy "
        "then\n"
        "                           that must not be started; or, with file:PATH, when PATH is on disk\n"
        "  --force                  file:PATH: PATH may be there already: it is replaced once the stream is whole\n"
        "  --peer NAME              the destination's version: 7.2, 9.0, 10.0, godwit (usual: finds "
        "out)\n" GW_TRANSFER_HELP
        "\nURI: tcp:HOST:PORT, unix:PATH, vsock:CID:PORT, fd:N, exec:COMMAND, file:PATH[,offset=N]\n");
    return to == stdout ? GW_EXIT_DONE : GW_EXIT_USAGE;
}

static void report(struct send *tx, const struct gw_stats *stats)
{
    struct gw_transfer *t = &tx->transfer;
    char a[GW_HUMAN], b[GW_HUMAN];

    if (t->json) {
        gw_transfer_result(json_pack("{s:s, s:s, s:s, s:s, s:I, s:I, s:f}", "event", "sent", "machine",
                                     gw_image_machine(tx->image), "file", tx->file, "uri", tx->uri, "ram-bytes",
                                     (json_int_t)stats->total_bytes, "sent-bytes", (json_int_t)stats->transferred_bytes,
                                     "seconds", gw_transfer_seconds(t)));
    } else if (!t->quiet) {
        gw_transfer_clear(t);
        printf("%s is at %s (%s in %s)%s\n", gw_image_machine(tx->image), tx->uri,
               gw_human_bytes(a, (double)stats->transferred_bytes), gw_human_ms(b, gw_transfer_seconds(t) * 1000),
               tx->removed || !strcmp(tx->file, "-") ? "" : "; its file is a copy from now on: do not start it twice");
    }
    fflush(stdout);
}

/* It may be the only copy. */
static int remove_file(struct send *tx)
{
    struct gw_error err = GW_ERROR_INIT;

    if (!tx->remove || !strcmp(tx->file, "-"))
        return GW_EXIT_DONE;
    if (!tx->confirmed)
        gw_fail(
            &err, -EREMOTEIO, GW_BLAME_CHANNEL,
            "not removed: %s took all of it, but cannot say whether the machine runs there: look, and remove the file "
            "yourself",
            tx->uri);
    else if (unlink(tx->file) < 0)
        gw_fail(&err, -errno, GW_BLAME_LOCAL, "not removed: %s", strerror(errno));
    tx->removed = !err.code;
    return tx->removed ? GW_EXIT_DONE : gw_transfer_failed(&tx->transfer, tx->file, &err);
}

static int run(struct send *tx, struct gw_error *err)
{
    struct gw_transfer *t = &tx->transfer;
    struct gw_send_config config = {.uri = tx->uri,
                                    .peer = tx->peer,
                                    .progress_timeout_ns = t->timeout_ns,
                                    .on_event = gw_transfer_event,
                                    .opaque = t};
    struct gw_stats stats = {0};
    struct gw_send *send = NULL;
    struct gw_vm *vm = NULL;
    bool here;
    int status;
    int r = gw_image_open_in(tx->file, getenv("TMPDIR"), &tx->image, err);

    if (r < 0)
        return gw_transfer_failed(t, NULL, err);
    r = gw_image_vm(tx->image, NULL, NULL, &vm, err);
    if (r >= 0)
        r = gw_transfer_begin(t, vm, err);
    if (r < 0)
        return gw_transfer_failed(t, tx->file, err);
    r = gw_target_open(&tx->target, tx->uri, tx->file, tx->replace, err);
    if (r < 0)
        return gw_transfer_failed(t, tx->uri, err);
    if (tx->target.channel) {
        config.uri = NULL;
        config.take_channel = tx->target.channel;
        tx->target.channel = NULL;
    }
    r = gw_send_start(vm, &config, &send, err);
    if (r < 0)
        return gw_transfer_failed(t, tx->file, err);
    while (!gw_transfer_ended(gw_send_status(send))) {
        gw_send_stats(send, &stats);
        stats.status = gw_send_status(send);
        if (gw_transfer_turn(t, &stats) && gw_send_cancel(send, err) < 0 && t->interrupts > 1)
            gw_send_yank(send);
    }
    *err = (struct gw_error)GW_ERROR_INIT;
    r = gw_send_wait(send, err);
    gw_send_stats(send, &stats);
    here = gw_send_owner(send) == GW_OWNER_SOURCE;
    if (r >= 0) {
        r = gw_target_commit(&tx->target, err);
        here = r < 0;
    }
    if (r < 0 && here)
        gw_context(err, "the machine is still here");
    tx->confirmed = gw_send_confirmed(send);
    gw_send_free(send);
    if (r < 0)
        return gw_transfer_failed(t, tx->uri, err);
    status = remove_file(tx);
    report(tx, &stats);
    return status;
}

int gw_cmd_send(int argc, char **argv)
{
    struct send tx = {.transfer = {.command = "send", .wake = -1, .signals = -1}};
    struct gw_cli_option shared[GW_TRANSFER_OPTIONS];
    struct gw_error err = GW_ERROR_INIT;
    bool postcopy;
    const struct gw_cli_option options[] = {{"remove", .flag = &tx.remove},
                                            {"force", 'f', .flag = &tx.replace},
                                            {"peer", .text = &tx.peer},
                                            {"postcopy", .flag = &postcopy, .absent = "a start before all is there"},
                                            {.also = shared},
                                            {0}};
    int status;

    gw_transfer_options(&tx.transfer, shared);
    status = gw_cli_options(argc, argv, options, usage);
    if (status >= 0)
        return status;
    if (optind + 2 != argc)
        return usage(stderr);
    tx.file = argv[optind];
    tx.uri = argv[optind + 1];
    status = run(&tx, &err);
    gw_transfer_end(&tx.transfer);
    gw_target_close(&tx.target);
    gw_image_free(tx.image);
    return status;
}
