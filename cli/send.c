/* SPDX-License-Identifier: MIT
 *
 * godwit send: sends a parked machine to a destination.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "confine.h"
#include "ctl.h"
#include "examine.h"
#include "shown.h"
#include "target.h"
#include "transfer.h"
#include "working.h"

struct send {
    struct gw_transfer transfer;
    const char *file, *uri, *peer, *snapshot;
    bool remove, replace, paused, running, postcopy, resume, preempt;
    bool confirmed; /* whether the machine arrived */
    bool removed;
    bool marks;  /* the file is marked once its machine may run on the destination */
    bool marked; /* the file is marked now */
    struct gw_error mark_error;
    struct gw_image *image;
    struct gw_working working;
    struct gw_target target;
    struct gw_confine confine;
    bool confined; /* the rights needed to connect were given up */
};

static void report(struct send *tx, const struct gw_stats *stats)
{
    struct gw_transfer *t = &tx->transfer;
    char a[GW_HUMAN], b[GW_HUMAN];

    if (t->json) {
        gw_transfer_result(json_pack("{s:s, s:s, s:s, s:s, s:b, s:I, s:I, s:I, s:f}", "event", "sent", "machine",
                                     gw_image_machine(tx->image), "file", tx->file, "uri", tx->uri, "running", gw_image_runs(tx->image), "ram-bytes",
                                     (json_int_t)stats->total_bytes, "sent-bytes", (json_int_t)stats->transferred_bytes, "requests",
                                     (json_int_t)stats->postcopy_requests,
                                     "seconds", gw_transfer_seconds(t)));
    } else if (!t->quiet) {
        gw_transfer_clear(t);
        printf("%s is at %s (%s in %s)%s\n", gw_shown(gw_image_machine(tx->image)), gw_shown(tx->uri),
               gw_human_bytes(a, (double)stats->transferred_bytes), gw_human_ms(b, gw_transfer_seconds(t) * 1000),
               tx->removed || tx->snapshot || !strcmp(tx->file, "-") ? "" : "; its file is now a copy: do not start "
                   "it a second time");
        if (!gw_image_runs(tx->image) && !tx->target.output)
            printf("it is paused, as it was when parked: `cont` resumes it there (--running does that by itself)\n");
    }
    fflush(stdout);
}

/* ---- the file ---------------------------------------------------------------------------------------------------- */

/* Locks the file, so that one process sends it at a time, and refuses one that was sent before unless that is
 * intended. */
static int take_file(struct send *tx, struct gw_error *err)
{
    char sent[1024];
    int r;

    if (!strcmp(tx->file, "-"))
        return 0;
    r = gw_image_lock(tx->image, err);
    if (r == -EINVAL) /* a FIFO */
        return 0;
    if (r >= 0 && !tx->replace && !tx->resume && !tx->target.output && gw_image_sent(tx->image, sent, sizeof sent))
        r = gw_fail(err, -EALREADY, GW_BLAME_CALLER,
                    "this machine was %s: if it runs there, a second copy would use the same disks; --force sends it anyway",
                    sent);
    tx->marks = r >= 0 && !tx->target.output; /* a machine written to a file does not run */
    return r;
}

/* Checks before the send that the user will be able to remove or mark the file. */
static int check_user(struct send *tx, struct gw_error *err)
{
    const char *user = tx->confine.user;
    char path[PATH_MAX];

    if (!user || !strcmp(tx->file, "-"))
        return 0;
    if (tx->marks && faccessat(AT_FDCWD, tx->file, W_OK, AT_EACCESS) < 0)
        return gw_fail(err, -errno, GW_BLAME_CALLER, "user %s may not write it, so it could not be marked as sent: %s", user,
                       strerror(errno));
    if (!tx->remove)
        return 0;
    if (!realpath(tx->file, path))
        return gw_fail(err, -errno, GW_BLAME_CALLER, "user %s could not remove it: %s", user, strerror(errno));
    return gw_confine_check_name(&tx->confine, path, err);
}

/* All connections are made: the channel of urgent pages is connected at the switchover, or when the destination has
 * reported its pages. */
static bool connected(const struct send *tx, enum gw_status status)
{
    if (tx->preempt && (status == GW_STATUS_ACTIVE || status == GW_STATUS_POSTCOPY_RECOVER))
        return false;
    return status != GW_STATUS_NONE && status != GW_STATUS_SETUP && status != GW_STATUS_POSTCOPY_RECOVER_SETUP;
}

/* Confines the process once it is connected, or has failed to connect. */
static int confine(struct send *tx, struct gw_error *err)
{
    int r;

    if (tx->confined)
        return 0;
    tx->confined = true;
    r = gw_confine_drop(&tx->confine, err);
    return r < 0 ? r : gw_confine(&tx->confine, strncmp(tx->uri, "exec:", 5) ? GW_CONFINE_ALL : GW_CONFINE_EXEC, err);
}

/* state: as in gw_image_mark_sent. */
static void mark(struct send *tx, const char *state)
{
    struct gw_error err = GW_ERROR_INIT;

    if (!tx->marks || (!state && !tx->marked))
        return;
    tx->marked = gw_image_mark_sent(tx->image, state, tx->uri, &err) >= 0 && state;
    tx->mark_error = err;
}

/* Called before the first byte that allows the destination to start the machine, so that the mark exists even if this
 * process is killed then. */
static void on_event(void *opaque, const struct gw_event *event)
{
    struct send *tx = opaque;

    if (event->type == GW_EVENT_STATUS && event->status == GW_STATUS_DEVICE)
        mark(tx, "perhaps sent");
    gw_transfer_event(&tx->transfer, event);
}

/* Whether the written file holds the same machine. */
static int read_back(struct send *tx, struct gw_error *err)
{
    const struct gw_diff_options options = {0};
    struct gw_diff_counts n;
    struct gw_image *written = NULL;
    struct gw_uri uri;
    int r = gw_uri_parse(tx->uri, &uri, err);

    if (r >= 0)
        r = gw_image_open_at(uri.path, uri.offset, getenv("TMPDIR"), &written, err);
    if (r >= 0)
        r = gw_image_diff(tx->image, written, &options, &n, err);
    if (r >= 0 && (n.pages || n.blocks || n.devices || n.values || n.heads))
        r = gw_fail(err, -EIO, GW_BLAME_LOCAL, "%s, read back, is another machine", tx->uri);
    gw_image_free(written);
    return r;
}

/* Before a session: sets up recording and the working set. */
static int set_up_pages(struct send *tx, struct gw_vm *vm, struct gw_error *err)
{
    char text[128];
    uint64_t dropped = 0;
    int r = gw_working_check(&tx->working, vm, tx->replace, err);

    if (r >= 0)
        r = gw_working_set_up(&tx->working, vm, &tx->working.recorded, &dropped, err);

    if (r < 0 || !dropped)
        return r;
    snprintf(text, sizeof text, "%" PRIu64 " pages of the working set are skipped: this machine does not have them", dropped);
    gw_transfer_tell(&tx->transfer, "notice", "text", text);
    return 0;
}

/* After the session, whatever its result. */
static int keep_record(struct send *tx)
{
    struct gw_error err = GW_ERROR_INIT;

    return gw_working_finish(&tx->working, tx->replace, &err) < 0 ? gw_transfer_failed(&tx->transfer, tx->working.record, &err)
                                                                  : GW_EXIT_DONE;
}

/* Removes the file, unless it may be the only copy. */
static int remove_file(struct send *tx)
{
    struct gw_error err = GW_ERROR_INIT;
    int r;

    if (!tx->remove || !strcmp(tx->file, "-"))
        return GW_EXIT_DONE;
    if (!tx->confirmed)
        r = gw_fail(&err, -EREMOTEIO, GW_BLAME_CHANNEL,
                    "not removed: %s received all of it, but cannot confirm that the machine runs there: check, and "
                    "remove the file yourself",
                    tx->uri);
    else if (tx->target.output && (r = read_back(tx, &err)) < 0)
        gw_context(&err, "not removed");
    else
        r = gw_image_remove(tx->image, &err);
    tx->removed = r >= 0;
    return tx->removed ? GW_EXIT_DONE : gw_transfer_failed(&tx->transfer, tx->file, &err);
}

static int run(struct send *tx, struct gw_error *err)
{
    struct gw_transfer *t = &tx->transfer;
    struct gw_send_config config = {.uri = tx->uri,
                                    .resume = tx->resume,
                                    .postcopy = tx->postcopy,
                                    .peer = tx->peer,
                                    .progress_timeout_ns = t->timeout_ns,
                                    .on_event = on_event,
                                    .opaque = tx};
    struct gw_stats stats = {0};
    struct gw_send *send = NULL;
    struct gw_vm *vm = NULL;
    enum gw_owner owner;
    int status;
    int r;

    tx->confine.connects = gw_path_is_far(tx->file);
    r = gw_cli_open(tx->file, tx->snapshot, &tx->image, err);
    if (r >= 0)
        r = gw_confine_borrow(&tx->confine, err);
    if (r < 0)
        return gw_transfer_failed(t, NULL, err);
    if (tx->paused || tx->running || gw_image_runs(tx->image)) /* the device state of a machine that libvirt stopped does not show
                                                                * whether it ran */
        r = gw_image_set_runs(tx->image, !tx->paused, err);
    if (r >= 0)
        r = gw_image_vm(tx->image, NULL, NULL, &vm, err);
    if (r >= 0 && (tx->postcopy || tx->resume)) /* before the capabilities that need it */
        r = gw_options_set_bool(gw_vm_options(vm), "postcopy-ram", true, err);
    if (r >= 0)
        r = gw_transfer_begin(t, vm, err);
    if (r >= 0)
        r = gw_options_get_capability(gw_vm_options(vm), "postcopy-preempt", &tx->preempt, err);
    if (r >= 0)
        r = set_up_pages(tx, vm, err);
    if (r < 0)
        return gw_transfer_failed(t, tx->file, err);
    r = gw_target_open(&tx->target, tx->uri, tx->file, tx->replace, err);
    if (r < 0)
        return gw_transfer_failed(t, tx->uri, err);
    r = take_file(tx, err);
    if (r >= 0)
        r = check_user(tx, err);
    /* Root connects; a command is started as the user. */
    if (r >= 0)
        r = strncmp(tx->uri, "exec:", 5) ? gw_confine_root(&tx->confine, err) : gw_confine_drop(&tx->confine, err);
    if (r < 0)
        return gw_transfer_failed(t, tx->file, err);
    if (tx->target.channel) {
        config.uri = NULL;
        config.take_channel = tx->target.channel;
        tx->target.channel = NULL;
    }
    r = gw_send_start(vm, &config, &send, err);
    if (r < 0)
        return gw_transfer_failed(t, tx->file, err);
    while (!gw_transfer_source_ended(gw_send_status(send))) {
        gw_send_stats(send, &stats);
        stats.status = gw_send_status(send);
        if (connected(tx, stats.status) && confine(tx, err) < 0) {
            gw_transfer_failed(t, NULL, err);
            gw_send_cancel(send, NULL);
        }
        if (gw_transfer_turn(t, &stats) && gw_send_cancel(send, err) < 0) {
            if (t->interrupts > 1)
                gw_send_yank(send);
            else if (stats.status == GW_STATUS_POSTCOPY_ACTIVE)
                gw_transfer_tell(t, "notice", "text", "the guest runs there and needs the rest of its memory from "
                                                      "here: interrupt again to end anyway");
        }
    }
    confine(tx, NULL); /* the session may have ended meanwhile; then it is too late to fail */
    *err = (struct gw_error)GW_ERROR_INIT;
    r = gw_send_wait(send, err);
    gw_send_stats(send, &stats);
    owner = gw_send_owner(send);
    if (r >= 0 && (r = gw_target_commit(&tx->target, err)) < 0)
        owner = GW_OWNER_SOURCE;
    if (r < 0 && owner == GW_OWNER_SOURCE)
        gw_context(err, "the machine is still here");
    mark(tx, r >= 0 ? "sent" : owner == GW_OWNER_SOURCE ? NULL : "perhaps sent");
    tx->confirmed = gw_send_confirmed(send);
    gw_send_free(send);
    status = keep_record(tx);
    if (r < 0) {
        gw_transfer_failed(t, tx->uri, err);
        if (stats.status == GW_STATUS_POSTCOPY_PAUSED)
            fprintf(stderr, "godwit send: once it listens there again (migrate-recover), `godwit send --resume` with "
                            "the same file resumes it\n");
        else if (tx->marked)
            fprintf(stderr, "godwit send: %s is kept and marked: if you are certain that the machine does not run "
                            "there, --force sends it again\n",
                    gw_shown(tx->file));
        return GW_EXIT_FAILED;
    }
    if (tx->marks && tx->mark_error.code)
        gw_transfer_tell(t, "notice", "text", tx->mark_error.text);
    if (remove_file(tx) != GW_EXIT_DONE)
        status = GW_EXIT_FAILED;
    report(tx, &stats);
    return status;
}

/* Refuses contradicting options. -1, or the exit status. */
static int judge(const char *who, const struct send *tx)
{
    const char *goes_on = tx->paused ? "paused" : "running";

    if (tx->paused && tx->running)
        return gw_cli_wrong(who, "--paused cannot be used with --running");
    if (tx->remove && tx->snapshot)
        return gw_cli_wrong(who, "--remove cannot be used with --snapshot: `godwit snapshot delete` removes one");
    if (tx->resume && (tx->postcopy || tx->paused || tx->running))
        return gw_cli_wrong(who, "--%s cannot be used with --resume: the guest runs there already",
                            tx->postcopy ? "postcopy" : goes_on);
    if ((tx->working.record || tx->working.preferred) && !tx->postcopy && !tx->resume)
        return gw_cli_wrong(who, "--%s goes with --postcopy only", tx->working.record ? "record" : "working-set");
    return -1;
}

int gw_cmd_send(int argc, char **argv)
{
    struct send tx = {.transfer = {.command = "send", .source = true, .wake = -1, .signals = -1},
                      .confine = {.command = "send"},
                      .working = {.command = "send"}};
    struct gw_cli_option shared[GW_TRANSFER_OPTIONS];
    struct gw_error err = GW_ERROR_INIT;
    const struct gw_cli_option options[] = {
        {"remove", .flag = &tx.remove,
         .help = "Remove FILE when the destination has said that the machine runs there: it is a copy then that must not be "
                 "started. With file:PATH, when PATH is on disk."},
        {"force", 'f', .flag = &tx.replace,
         .help = "FILE may have been sent before; with file:PATH, PATH may be there: it is replaced once the stream is whole."},
        GW_CLI_SNAPSHOT_OPTION(&tx.snapshot, "FILE"),
        {"running", .flag = &tx.running, .help = "The guest starts there by itself (default: as it was parked)."},
        {"paused", .flag = &tx.paused, .help = "The guest waits there for `cont`."},
        {"postcopy", .flag = &tx.postcopy,
         .help = "The guest starts there at once, and its pages follow, those that it waits for first. The destination needs the "
                 "capability postcopy-ram, too."},
        {"resume", .flag = &tx.resume,
         .help = "A guest that --postcopy brought there and whose connection was lost gets the rest of its memory. "
                 "Make its QEMU listen at URI first (migrate-recover)."},
        {"record", .text = &tx.working.record, .value = "RECORD",
         .help = "With --postcopy: record the pages that the guest requests, for --working-set."},
        GW_WORKING_OPTION(&tx.working),
        {"peer", .text = &tx.peer, .value = "VERSION", .choices = "7.2 8.1 9.0 10.0 godwit",
         .help = "The destination's version (default: it is detected)."},
        GW_CONFINE_USER_OPTION(&tx.confine),
        GW_CONFINE_OPTION(&tx.confine),
        {.also = shared},
        {0}};
    const struct gw_cli_command command = {
        .arguments = "FILE URI",
        .about = "Sends the machine in FILE to a destination that waits at URI: QEMU with -incoming, `godwit vm`, `godwit "
                 "receive`. FILE may be parked, a migration stream, a mapped-ram file or a libvirt save image; '-' is standard "
                 "input, FILE,offset=N what begins at byte N, nbd://HOST/EXPORT what an NBD server has.",
        .after = "URI: tcp:HOST:PORT, unix:PATH, vsock:CID:PORT, fd:N, exec:COMMAND, file:PATH[,offset=N]",
        .options = options};
    int status;

    gw_transfer_options(&tx.transfer, shared);
    status = gw_cli_parse(argc, argv, &command);
    if (status < 0)
        status = judge(argv[0], &tx);
    tx.file = argv[optind];
    if (status < 0 && tx.remove && gw_path_is_far(tx.file)) {
        fprintf(stderr, "godwit send: --remove: %s is on a server, where it cannot be removed\n", gw_shown(tx.file));
        status = GW_EXIT_USAGE;
    }
    if (status < 0) {
        tx.uri = argv[optind + 1];
        status = run(&tx, &err);
        gw_transfer_end(&tx.transfer);
        gw_target_close(&tx.target);
        gw_image_free(tx.image);
    }
    gw_working_free(&tx.working);
    return status;
}
