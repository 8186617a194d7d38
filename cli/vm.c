/* SPDX-License-Identifier: MIT
 *
 * godwit vm: runs the built-in test machine until its guest ends it, a client sends quit, or a signal arrives.
 *
 * The exit status is the guest's verdict: 0 it was asked to end or found no error, 4 it found a wrong byte.
 */
#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "vm.h"

#define INCOMING_TIMEOUT_NS (300 * 1000000000ull) /* generous, as an operator may let a source pause */

static int failed(const char *what, const struct gw_error *err)
{
    fprintf(stderr, "godwit vm: %s: %s\n", what, err->text);
    return GW_EXIT_FAILED;
}

/* As text on standard error, or as a line of JSON on standard output. Any thread. */
static void tell(struct gw_vm_program *v, const char *event, const char *key, const char *fmt, ...) GW_PRINTF(4, 5);
static void tell(struct gw_vm_program *v, const char *event, const char *key, const char *fmt, ...)
{
    char text[GW_ERROR_TEXT + 4300];
    va_list ap;

    gw_transfer_clear(&v->common);
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (v->common.json)
        gw_transfer_tell(&v->common, event, key, text);
    else if (!v->common.quiet)
        fprintf(stderr, "godwit vm: %s\n", text);
}

/* Printed also with --quiet: the guest learns that its disk failed, but not why. */
static void on_disk_failed(void *opaque, const struct gw_error *err)
{
    struct gw_vm_program *v = opaque;

    if (v->common.json)
        tell(v, "disk-error", "text", "%s", err->text);
    else
        fprintf(stderr, "godwit vm: %s\n", err->text);
}

/* ---- what the sessions tell ----------------------------------------------------------------------------------------
 */

static void on_event(void *opaque, const struct gw_event *e)
{
    struct gw_vm_program *v = opaque;

    if (e->type == GW_EVENT_LOG && (v->common.verbose || e->refused))
        tell(v, "notice", "text", "%s", e->text);
    if (e->type == GW_EVENT_RESUME)
        atomic_store(&v->started, true);
    if (e->type != GW_EVENT_STATUS)
        return;
    if (v->common.json)
        tell(v, "status", "status", "%s", gw_status_name(e->status));
    atomic_store(&v->status, e->status);
    if (atomic_load(&v->incoming_now) && e->status == GW_STATUS_COMPLETED) {
        atomic_store(&v->started, true); /* on the source, if not here */
        atomic_store(&v->incoming_now, false);
    } else if (atomic_load(&v->incoming_now) && e->status == GW_STATUS_FAILED) {
        atomic_store(&v->lost, true);
    }
}

static const char *run_state(void *opaque)
{
    struct gw_vm_program *v = opaque;
    int status = atomic_load(&v->status);

    if (gw_machine_running(v->machine))
        return "running";
    if (atomic_load(&v->incoming_now))
        return "inmigrate";
    if (gw_vm_place(gw_machine_vm(v->machine)) == GW_VM_LEFT)
        return "postmigrate";
    if (status == GW_STATUS_DEVICE || status == GW_STATUS_PRE_SWITCHOVER)
        return "finish-migrate";
    return atomic_load(&v->started) ? "paused" : "prelaunch";
}

static int on_stop(void *opaque, struct gw_error *err)
{
    return gw_machine_stop(((struct gw_vm_program *)opaque)->machine, err);
}

static int on_cont(void *opaque, struct gw_error *err)
{
    struct gw_vm_program *v = opaque;
    int r = gw_machine_start(v->machine, err);

    if (r >= 0)
        atomic_store(&v->started, true);
    return r;
}

static void on_quit(void *opaque)
{
    atomic_store(&((struct gw_vm_program *)opaque)->quit, true);
}

/* ---- life ----------------------------------------------------------------------------------------------------------
 */

static uint64_t patience_ns(const struct gw_vm_program *v)
{
    return v->common.timeout_ns ? v->common.timeout_ns : INCOMING_TIMEOUT_NS;
}

static int open_control(struct gw_vm_program *v, struct gw_error *err)
{
    static const struct gw_control_ops ops = {
        GW_SIZED(struct gw_control_ops), .run_state = run_state, .stop = on_stop, .cont = on_cont, .quit = on_quit};
    struct gw_control_config config = {.uri = v->qmp,
                                       .ops = &ops,
                                       .opaque = v,
                                       .on_event = on_event,
                                       .name = v->config.name,
                                       .waits = v->incoming != NULL,
                                       .start_paused = v->paused,
                                       .send_timeout_ns = v->common.timeout_ns,
                                       .recv_timeout_ns = patience_ns(v)};
    char address[256];
    int r = gw_control_start(gw_machine_vm(v->machine), &config, &v->control, err);

    if (r >= 0) {
        gw_control_address(v->control, address, sizeof address);
        tell(v, "control", "uri", v->common.json ? "%s" : "control socket at %s", address);
    }
    return r;
}

static int open_incoming(struct gw_vm_program *v, struct gw_error *err)
{
    struct gw_recv_config config = {.uri = v->incoming,
                                    .progress_timeout_ns = patience_ns(v),
                                    .start_paused = v->paused,
                                    .on_event = on_event,
                                    .opaque = v};
    char address[4200];
    int r;

    if (!strcmp(v->incoming, "defer"))
        return 0;
    if (v->control)
        return gw_control_incoming(v->control, v->incoming, err);
    r = gw_recv_start(gw_machine_vm(v->machine), &config, &v->recv, err);
    if (r >= 0) {
        gw_recv_address(v->recv, address, sizeof address);
        tell(v, "listening", "uri", v->common.json ? "%s" : "waiting for a machine at %s", address);
    }
    return r;
}

static int verdict(int status, int r, const struct gw_error *err, bool quiet)
{
    if (r == -EFAULT)
        return failed("the guest crashed", err);
    if (status == GW_GUEST_EXIT_CORRUPT) {
        fprintf(stderr, "godwit vm: the guest found a wrong byte\n");
        return GW_EXIT_CORRUPT;
    }
    if (status && !quiet)
        fprintf(stderr, "godwit vm: the guest ended with status %d\n", status);
    return status ? GW_EXIT_FAILED : GW_EXIT_DONE;
}

/* A progress line during a migration, as `ctl migrate` shows it to its user. */
static void show_progress(struct gw_vm_program *v)
{
    struct gw_stats stats = {0};
    bool incoming = true, any = true;

    if (v->control)
        any = gw_control_stats(v->control, &stats, &incoming);
    else if (v->recv && atomic_load(&v->incoming_now))
        gw_recv_stats(v->recv, &stats);
    v->common.source = !incoming;
    if (any && stats.transferred_bytes)
        gw_transfer_show(&v->common, &stats);
    else
        gw_transfer_clear(&v->common);
}

/* Erases the progress line before the guest prints. */
static void make_room(void *opaque)
{
    struct gw_vm_program *v = opaque;

    gw_transfer_clear(&v->common);
}

static int live(struct gw_vm_program *v, const sigset_t *signals)
{
    for (;;) {
        struct timespec none = {0};
        struct gw_error err = GW_ERROR_INIT;
        int status = 0, r = gw_machine_wait(v->machine, 50 * 1000000ull, &status, &err);

        bool signalled = r == -ETIMEDOUT && sigtimedwait(signals, NULL, &none) > 0;

        if (r != -ETIMEDOUT || signalled || atomic_load(&v->quit) || atomic_load(&v->lost))
            gw_transfer_clear(&v->common);
        else
            show_progress(v);
        if (r != -ETIMEDOUT)
            return verdict(status, r, &err, v->common.quiet);
        if (signalled) {
            if (!v->common.quiet)
                fprintf(stderr, "godwit vm: ended by a signal; the machine is lost\n");
            return GW_EXIT_FAILED;
        }
        if (atomic_load(&v->quit))
            return GW_EXIT_DONE;
        if (atomic_load(&v->lost)) {
            bool undecided = v->recv && gw_recv_owner(v->recv) == GW_OWNER_UNDECIDED;

            if (v->recv)
                gw_recv_wait(v->recv, &err);
            /* With a control socket an operator can inspect and claim the machine. */
            if (!v->control)
                return failed(undecided ? "the machine arrived, but may still be at the source" : "incoming migration",
                              &err);
            atomic_store(&v->lost, false);
        }
    }
}

int gw_cmd_vm(int argc, char **argv)
{
    struct gw_vm_program v = {.common = {.command = "vm", .wake = -1, .signals = -1}};
    struct gw_error err = GW_ERROR_INIT;
    sigset_t signals;
    int r = gw_vm_parse(&v, argc, argv);

    if (r >= 0)
        return r;
    gw_progress_init(&v.common.line, !v.common.quiet && !v.common.json);
    v.config.before_print = make_room;
    v.config.opaque = &v;
    /* Before any thread is made, so that all inherit the mask. */
    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    atomic_store(&v.incoming_now, v.incoming != NULL);
    v.config.disk_failed = on_disk_failed;
    v.config.disk_failed_opaque = &v;
    r = gw_machine_new(&v.config, &v.machine, &err);
    if (r >= 0)
        r = gw_machine_attach(v.machine, &err);
    if (r >= 0)
        r = gw_transfer_configure(&v.common, gw_machine_vm(v.machine), &err);
    if (r >= 0)
        r = gw_vm_nic_open(&v, &err);
    if (r >= 0 && v.loadvm && (r = gw_vm_loadvm(&v, &err)) >= 0)
        atomic_store(&v.started, true);
    if (r >= 0 && v.qmp)
        r = open_control(&v, &err);
    if (r >= 0 && v.incoming)
        r = open_incoming(&v, &err);
    else if (r >= 0 && !v.paused)
        r = on_cont(&v, &err);
    if (r >= 0)
        r = live(&v, &signals);
    else
        r = failed("start", &err);
    v.control = gw_control_free(v.control);
    v.recv = gw_recv_free(v.recv);
    gw_machine_free(v.machine);
    gw_vm_nic_close(&v);
    return r;
}
