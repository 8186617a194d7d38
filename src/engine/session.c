/* SPDX-License-Identifier: MIT */
#include "engine/session.h"

#include "base/thread.h"
#include "channel/beside.h"
#include "engine/plan.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>

#define SLEEP_NS (1 * GW_NS_PER_MS) /* between two checks, with a clock that is not the system's */

int gw_session_init(struct gw_session *s, struct gw_vm *vm, gw_event_fn on_event, void *opaque, struct gw_error *err)
{
    pthread_condattr_t attr;

    *s = (struct gw_session){.vm = vm, .on_event = on_event, .opaque = opaque, .end_fd = -1};
    pthread_mutex_init(&s->event_lock, NULL);
    pthread_mutex_init(&s->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&s->changed, &attr);
    pthread_condattr_destroy(&attr);
    gw_links_init(&s->links);
    return gw_cancel_new(&s->cancel, err);
}

int gw_session_run(struct gw_session *s, void *(*main)(void *), void *arg, struct gw_error *err)
{
    int r = gw_thread_start(&s->thread, main, arg, err);

    s->threaded = r >= 0;
    return r;
}

void gw_session_join(struct gw_session *s)
{
    if (s->threaded)
        pthread_join(s->thread, NULL);
    s->threaded = false;
}

void gw_session_close(struct gw_session *s)
{
    gw_session_join(s);
    gw_links_fini(&s->links);
    gw_cancel_free(s->cancel);
    gw_close_fd(&s->end_fd);
    gw_options_free(s->options);
    pthread_cond_destroy(&s->changed);
    pthread_mutex_destroy(&s->lock);
    pthread_mutex_destroy(&s->event_lock);
}

static void deliver(struct gw_session *s, struct gw_event *e)
{
    e->at_ns = gw_now_ns(&s->vm->clock);
    if (s->on_event)
        s->on_event(s->opaque, e);
}

/* Sets where the machine is, by the owner column, seen from the side of the phase. Set before other threads can see the
 * phase. A destination changes nothing before the source has offered it the machine. */
static void place(struct gw_session *s, enum gw_phase to)
{
    bool incoming = gw_phase_row(to)->side == GW_SIDE_DESTINATION;
    bool offered = s->phase == GW_PHASE_ASKED || s->phase == GW_PHASE_COMMITTED || s->phase == GW_PHASE_FOLLOWED;
    enum gw_owner owner = gw_phase_row(to)->owner;

    if (incoming && owner == GW_OWNER_SOURCE && !offered)
        return;
    if (incoming && owner == GW_OWNER_DESTINATION)
        atomic_store(&s->vm->ram.given, false); /* all memory has come, or will come */
    atomic_store(&s->vm->place, owner == GW_OWNER_UNDECIDED                   ? GW_VM_UNDECIDED
                                : incoming == (owner == GW_OWNER_DESTINATION) ? GW_VM_HERE
                                                                              : GW_VM_LEFT);
}

static bool enter(struct gw_session *s, enum gw_phase phase, bool unless_cancelled)
{
    const struct gw_phase_row *to = gw_phase_row(phase);
    const char *from = NULL;
    bool told = false, entered;

    pthread_mutex_lock(&s->event_lock);
    pthread_mutex_lock(&s->lock);
    entered = !(unless_cancelled && s->cancelled);
    if (entered) {
        assert(gw_phase_may_follow(s->phase, phase));
        place(s, phase);
        told = gw_phase_row(s->phase)->status != to->status;
        from = gw_phase_row(s->phase)->name;
        s->phase = phase;
        s->stats.status = to->status;
        s->stats.error = s->error; /* a thread that sees the final status also sees the reason */
        pthread_cond_broadcast(&s->changed);
    }
    pthread_mutex_unlock(&s->lock);
    if (from)
        gw_trace_phase(&s->vm->trace, from, to->name);
    if (told) {
        struct gw_event e = {.type = GW_EVENT_STATUS, .status = to->status};

        deliver(s, &e);
    }
    pthread_mutex_unlock(&s->event_lock);
    return entered;
}

void gw_session_enter(struct gw_session *s, enum gw_phase phase)
{
    enter(s, phase, false);
}

void gw_session_enter_failed(struct gw_session *s, enum gw_phase phase, const struct gw_error *err)
{
    pthread_mutex_lock(&s->lock);
    s->error = *err;
    if (!s->error.code)
        gw_fail(&s->error, -EREMOTEIO, GW_BLAME_PEER, "%s", strerror(EREMOTEIO));
    pthread_mutex_unlock(&s->lock);
    enter(s, phase, false);
}

int gw_session_commit(struct gw_session *s, enum gw_phase phase, struct gw_error *err)
{
    return enter(s, phase, true) ? 0 : gw_fail(err, -ECANCELED, GW_BLAME_CALLER, "cancelled");
}

enum gw_phase gw_session_phase(struct gw_session *s)
{
    enum gw_phase p;

    pthread_mutex_lock(&s->lock);
    p = s->phase;
    pthread_mutex_unlock(&s->lock);
    return p;
}

void gw_session_event(struct gw_session *s, enum gw_event_type type, uint64_t pass)
{
    struct gw_event e = {.type = type, .pass = pass};

    pthread_mutex_lock(&s->event_lock);
    deliver(s, &e);
    pthread_mutex_unlock(&s->event_lock);
}

static void log_text(struct gw_session *s, bool refused, const char *fmt, va_list ap)
{
    char raw[GW_ERROR_TEXT + 128], text[GW_ERROR_TEXT + 128];
    struct gw_event e = {.type = GW_EVENT_LOG, .text = text, .refused = refused};

    vsnprintf(raw, sizeof raw, fmt, ap);
    gw_printable(raw, text, sizeof text);
    pthread_mutex_lock(&s->event_lock);
    deliver(s, &e);
    pthread_mutex_unlock(&s->event_lock);
}

void gw_session_log(struct gw_session *s, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    log_text(s, false, fmt, ap);
    va_end(ap);
}

void gw_session_refused(struct gw_session *s, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    log_text(s, true, fmt, ap);
    va_end(ap);
}

void gw_session_set_channel(struct gw_session *s, struct gw_channel *channel)
{
    gw_links_put(&s->links, GW_LINK_MAIN, 0, channel);
}

int gw_session_check(struct gw_session *s, struct gw_error *err)
{
    bool cancelled, yanked;

    pthread_mutex_lock(&s->lock);
    cancelled = s->cancelled;
    yanked = s->yanked;
    pthread_mutex_unlock(&s->lock);
    if (cancelled)
        return gw_fail(err, -ECANCELED, GW_BLAME_CALLER, "cancelled");
    if (yanked)
        return gw_fail(err, -ECONNABORTED, GW_BLAME_CHANNEL, "the connection was torn down by a yank");
    return 0;
}

int gw_session_cancel(struct gw_session *s, struct gw_error *err)
{
    const struct gw_phase_row *row;
    bool can;

    pthread_mutex_lock(&s->lock);
    row = gw_phase_row(s->phase);
    can = row->cancel && !s->ended;
    if (can) {
        s->cancelled = true;
        if (!s->last_word)
            gw_links_shut(&s->links);
        gw_cancel_trigger(s->cancel);
        pthread_cond_broadcast(&s->changed);
    }
    pthread_mutex_unlock(&s->lock);
    return can ? 0
               : gw_fail(err, -EALREADY, GW_BLAME_CALLER, "too late to cancel: the migration is %s",
                         gw_status_name(row->status));
}

void gw_session_yank(struct gw_session *s)
{
    pthread_mutex_lock(&s->lock);
    s->yanked = true;
    if (!s->held)
        gw_links_shut(&s->links);
    gw_cancel_trigger(s->cancel);
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->lock);
}

int gw_session_open_pages(struct gw_session *s, gw_dial_fn dial, void *opaque, unsigned i, struct gw_channel **ret,
                          struct gw_error *err)
{
    int r = gw_links_open(&s->links, dial, opaque, GW_LINK_PAGES, i, s->cancel, &s->pages[i], err);

    if (r < 0)
        return r;
    gw_channel_set_timeout(s->pages[i], s->pages_timeout_ns);
    *ret = s->pages[i];
    return 0;
}

static int dial_beside(void *opaque, enum gw_link purpose, unsigned i, struct gw_cancel *cancel, struct gw_channel **ret,
                       struct gw_error *err)
{
    struct gw_session *s = opaque;

    return gw_channel_beside(s->links.place[GW_LINK_MAIN], gw_options_param(s->vm->options, GW_PARAM_DIRECT_IO),
                             ret, err);
}

int gw_session_open_beside(void *session, unsigned i, struct gw_channel **ret, struct gw_error *err)
{
    return gw_session_open_pages(session, dial_beside, session, i, ret, err);
}

static int check_file(const struct gw_session *s, bool seekable, const char *name, struct gw_error *err)
{
    if (gw_plan_pages_by(s->vm->options) != GW_PAGES_BY_FILE || seekable)
        return 0;
    return gw_fail(err, -EINVAL, GW_BLAME_CALLER,
                   "capability mapped-ram puts pages at fixed places of a file, which %s is not: take a file: address, or turn "
                   "the capability off", name);
}

int gw_session_check_uri(const struct gw_session *s, const struct gw_uri *uri, struct gw_error *err)
{
    char name[GW_URI_TEXT];

    gw_uri_format(uri, name, sizeof name);
    return check_file(s, uri->kind == GW_URI_FILE || uri->kind == GW_URI_FD, name, err);
}

int gw_session_check_file(const struct gw_session *s, const struct gw_channel *main, struct gw_error *err)
{
    return check_file(s, main->features & GW_CHANNEL_SEEKABLE, main->name, err);
}

void gw_session_close_pages(struct gw_session *s)
{
    for (unsigned i = 0; i < GW_LANES_MAX; i++) {
        if (!s->pages[i])
            continue;
        gw_links_put(&s->links, GW_LINK_PAGES, i, NULL);
        s->pages[i] = gw_channel_free(s->pages[i]);
    }
}

int gw_session_hold(struct gw_session *s, struct gw_error *err)
{
    bool yanked;

    pthread_mutex_lock(&s->lock);
    yanked = s->yanked;
    s->held = !yanked;
    pthread_mutex_unlock(&s->lock);
    return yanked ? gw_session_check(s, err) : 0;
}

void gw_session_release(struct gw_session *s)
{
    pthread_mutex_lock(&s->lock);
    s->held = false;
    if (s->yanked)
        gw_links_shut(&s->links);
    pthread_mutex_unlock(&s->lock);
}

static void make_readable(int fd)
{
    const uint64_t one = 1;

    if (fd >= 0 && write(fd, &one, sizeof one) < 0)
        return; /* the descriptor is readable already */
}

void gw_session_end(struct gw_session *s)
{
    struct gw_event e = {.type = GW_EVENT_ENDED, .status = gw_phase_row(gw_session_phase(s))->status};

    pthread_mutex_lock(&s->event_lock);
    deliver(s, &e);
    pthread_mutex_unlock(&s->event_lock);
    pthread_mutex_lock(&s->lock);
    s->ended = true;
    gw_links_put(&s->links, GW_LINK_MAIN, 0, NULL);
    s->stats.error = s->error;
    make_readable(s->end_fd);
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->lock);
}

int gw_session_fd(struct gw_session *s, struct gw_error *err)
{
    int r;

    pthread_mutex_lock(&s->lock);
    if (s->end_fd < 0) {
        s->end_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (s->ended)
            make_readable(s->end_fd);
    }
    r = s->end_fd >= 0
            ? s->end_fd
            : gw_fail(err, -errno, GW_BLAME_LOCAL, "cannot create the descriptor (eventfd) that tells the end of a session: "
                      "%s", strerror(errno));
    pthread_mutex_unlock(&s->lock);
    return r;
}

int gw_session_take_options(struct gw_session *s, const struct gw_options *options, struct gw_error *err)
{
    int r = options ? gw_options_new(&s->options, err) : 0;

    if (options && r >= 0) {
        gw_options_copy(s->options, s->vm->options);
        gw_options_copy(s->vm->options, options);
    }
    return r;
}

void gw_session_put_options_back(struct gw_session *s)
{
    if (s->options)
        gw_options_copy(s->vm->options, s->options);
}

int gw_session_wait(struct gw_session *s, struct gw_error *err)
{
    int r;

    pthread_mutex_lock(&s->lock);
    while (!s->ended)
        pthread_cond_wait(&s->changed, &s->lock);
    r = s->error.code;
    if (r && err)
        *err = s->error;
    pthread_mutex_unlock(&s->lock);
    return r;
}

/* An embedder's clock may advance only while a thread sleeps on it: docs/decisions/time-of-the-vm.md. */
static bool sleep_until(struct gw_session *s, uint64_t deadline_ns)
{
    const struct gw_clock *clock = &s->vm->clock;
    uint64_t t = gw_now_ns(clock);

    if (t >= deadline_ns)
        return false;
    pthread_mutex_unlock(&s->lock);
    clock->sleep_ns(clock->opaque, GW_MIN(deadline_ns - t, SLEEP_NS));
    pthread_mutex_lock(&s->lock);
    return true;
}

bool gw_session_wait_until(struct gw_session *s, uint64_t deadline_ns)
{
    struct timespec t = {.tv_sec = (time_t)(deadline_ns / GW_NS_PER_S), .tv_nsec = (long)(deadline_ns % GW_NS_PER_S)};

    if (deadline_ns == UINT64_MAX) {
        pthread_cond_wait(&s->changed, &s->lock);
        return true;
    }
    if (s->vm->clock.now_ns != gw_clock_real.now_ns)
        return sleep_until(s, deadline_ns);
    return pthread_cond_timedwait(&s->changed, &s->lock, &t) != ETIMEDOUT;
}
