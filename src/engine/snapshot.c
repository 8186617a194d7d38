/* SPDX-License-Identifier: MIT
 *
 * A background snapshot: the machine is stopped while its devices are written to a buffer and its memory is
 * write-protected (ram/source/protect.h); it runs on while its pages are sent. The devices follow the pages.
 *
 *     ACTIVE: stop, devices, protect, start, PART.. until nothing is left, what is in the buffer, EOF -> SAVED
 *
 * The source owns the machine all the time. It is started on a thread of its own: if the start writes to protected
 * memory, it has to wait for the session's thread, like every other writer.
 */
#include "base/thread.h"
#include "engine/send.h"


struct snapshot {
    struct gw_send *send;
    struct gw_writer devices; /* writes to memory */
    uint64_t stop_ns;
    pthread_t thread;
    bool starting; /* the thread was created */
    int started;   /* result of the start; valid after the thread was joined */
    struct gw_error error;
};

static uint64_t now(const struct gw_send *s)
{
    return gw_now_ns(&s->session.vm->clock);
}

/* ---- the moment --------------------------------------------------------------------------------------------------- */

static int stop(struct snapshot *n, struct gw_error *err)
{
    struct gw_send *s = n->send;
    struct gw_vm *vm = s->session.vm;
    int r = 0;

    s->was_running = gw_vm_running(vm);
    gw_send_publish(s); /* all time so far counts as running */
    n->stop_ns = now(s);
    if (!s->was_running)
        return 0;
    r = gw_vm_stop(vm, err);
    s->stopped = r >= 0 || !gw_vm_running(vm); /* it may have stopped although the call failed */
    if (r >= 0)
        gw_session_event(&s->session, GW_EVENT_STOP, 0);
    return r;
}

static int put_devices(struct snapshot *n, struct gw_error *err)
{
    struct gw_send *s = n->send;
    struct gw_vm *vm = s->session.vm;
    int r = gw_vm_notify(vm, GW_NOTIFY_COMPLETE, err);

    if (r < 0)
        return r;
    gw_globalstate_set(vm->globalstate, s->was_running);
    r = vm->devices->put(vm, GW_DEVICES_LATE, &n->devices, s->desc, err);
    return r < 0 ? r : gw_writer_flush(&n->devices, err);
}

static void *start_main(void *opaque)
{
    struct snapshot *n = opaque;
    struct gw_session *x = &n->send->session;

    n->started = gw_vm_start(x->vm, &n->error);
    if (n->started < 0)
        return NULL;
    pthread_mutex_lock(&x->lock);
    x->stats.downtime_ns = now(n->send) - n->stop_ns;
    x->stats.downtime_by[GW_DOWNTIME_DEVICES] = x->stats.downtime_ns;
    pthread_mutex_unlock(&x->lock);
    gw_session_event(x, GW_EVENT_RESUME, 0);
    return NULL;
}

static int start(struct snapshot *n, struct gw_error *err)
{
    int r;

    if (!n->send->stopped)
        return 0;
    r = gw_thread_start(&n->thread, start_main, n, err);
    n->starting = r >= 0;
    return r;
}

static int take_moment(struct snapshot *n, struct gw_error *err)
{
    struct gw_live *ram = n->send->plan.snapshot;
    struct gw_pending pending;
    int r = stop(n, err);

    if (r >= 0)
        r = put_devices(n, err);
    if (r >= 0)
        r = ram->ops->pending(ram, true, &pending, err);
    return r < 0 ? r : start(n, err);
}

/* Joins the thread; call it when no memory is protected any more. */
static int join(struct snapshot *n, struct gw_error *err)
{
    if (!n->starting)
        return 0;
    pthread_join(n->thread, NULL);
    n->starting = false;
    n->send->stopped = n->started < 0; /* after a failure settle tries it once more */
    if (n->started < 0 && err)
        *err = n->error;
    return n->started;
}

/* ---- pages -------------------------------------------------------------------------------------------------------- */

/* A guest thread that waits for a page does not wait for the rate limit: bytes sent for it are charged to the pages
 * that follow. */
static int rest(struct gw_send *s, uint64_t owed, bool *ret_dry, struct gw_error *err)
{
    bool real = s->session.vm->clock.now_ns == gw_clock_real.now_ns;
    struct gw_live *ram = s->plan.snapshot;
    uint64_t wait, bytes;
    int r = 0;

    while (r >= 0 && !*ret_dry && (wait = gw_pace_ask(&s->pace, owed))) {
        r = gw_send_check(s, err);
        if (r >= 0)
            r = ram->ops->wait(ram, real ? wait : 0, err);
        if (r > 0) {
            r = gw_send_parts(s, 1, &bytes, ret_dry, err);
            owed += r < 0 ? 0 : bytes;
        } else if (r == 0 && !real) {
            gw_send_sleep(s, GW_MIN(wait, GW_NS_PER_MS));
        }
    }
    return r;
}

/* The stream has no END: this tells a destination that its source runs on. A mapped-ram file has one: QEMU writes the
 * maps of pages only at END, so readers expect the maps only then. */
static int put_ram_end(struct gw_send *s, struct gw_error *err)
{
    struct gw_live *ram = s->plan.snapshot;
    int r;

    if (gw_plan_pages_by(s->session.vm->options) != GW_PAGES_BY_FILE)
        return 0;
    gw_send_section(s, GW_SECTION_END, ram);
    r = ram->ops->complete(ram, &s->writer, err);
    gw_send_footer(s, ram);
    return r;
}

/* ---- the end ------------------------------------------------------------------------------------------------------ */

static int put_rest(struct snapshot *n, struct gw_error *err)
{
    struct gw_send *s = n->send;
    struct gw_vm *vm = s->session.vm;
    const uint8_t *devices;
    const char *text;
    size_t bytes;
    int r = vm->devices->describe(vm, s->desc, &text, &bytes, err);
    size_t devices_bytes;

    if (r < 0)
        return r;
    devices = gw_writer_data(&n->devices, &devices_bytes);
    gw_writer_cause(&s->writer, GW_CAUSE_DEVICE);
    gw_put_ref(&s->writer.out, devices, devices_bytes);
    r = gw_send_end(s, text, bytes, err);
    if (r >= 0)
        r = gw_send_check(s, err);
    return r < 0 ? r : gw_channel_close(s->channel, err);
}

static int save(struct snapshot *n, struct gw_error *err)
{
    struct gw_send *s = n->send;
    int r = gw_writer_init_memory(&n->devices, err);

    if (r >= 0)
        r = take_moment(n, err);
    if (r >= 0)
        r = gw_send_all(s, 0, rest, err);
    if (r >= 0)
        r = join(n, err);
    if (r >= 0)
        r = put_ram_end(s, err);
    return r < 0 ? r : put_rest(n, err);
}

int gw_send_snapshot(struct gw_send *s, struct gw_error *err)
{
    struct snapshot n = {.send = s, .error = GW_ERROR_INIT};
    int r;

    s->active_ns = now(s);
    gw_window_init(&s->window);
    r = save(&n, err);
    if (r < 0) {
        s->plan.snapshot->ops->cleanup(s->plan.snapshot); /* no thread waits any more */
        if (join(&n, NULL) < 0)
            gw_session_log(&s->session, "the machine could not be started after it was stopped for a snapshot: %s", n.error.text);
    }
    gw_writer_close(&n.devices);
    return r < 0 ? r : gw_session_commit(&s->session, GW_PHASE_SAVED, err);
}
