/* SPDX-License-Identifier: MIT */
#include "channel/narrow.h"

#include <pthread.h>
#include <signal.h>
#include <time.h>

#include "channel/cancel.h"
#include "channel/iov.h"
#include "channel/pace.h"

#define PARCELS          1024
#define LINE_BYTES_LEAST (64 * GW_KIB)
#define LINE_BYTES_MOST  (64 * GW_MIB)

/* What one write put on the line. */
struct parcel {
    uint64_t due_ns;
    size_t bytes;
};

/* The latency: a ring of bytes between the writer (tail) and the thread that hands them on (head). */
struct line {
    pthread_mutex_t lock;
    pthread_cond_t moved;
    pthread_t thread;
    bool running, quit;
    uint8_t *ring;
    size_t bytes;
    uint64_t head, tail;
    struct parcel parcels[PARCELS];
    uint64_t first, end;   /* of the parcels, modulo PARCELS; the thread moves first */
    struct gw_error error; /* of the channel behind */
};

struct narrow {
    struct gw_channel channel;
    struct gw_channel *next;
    struct gw_cancel wake;
    struct gw_pace out, in;
    uint64_t latency_ns;
    struct line *line; /* NULL without latency */
};

static struct narrow *narrow_of(struct gw_channel *ch)
{
    return (struct narrow *)ch;
}

static uint64_t timeout_of(const struct narrow *t)
{
    return __atomic_load_n(&t->channel.timeout_ns, __ATOMIC_RELAXED);
}

/* Narrows the vectors to what may go in one piece now, waits until it may, and charges it. The count, or an error. */
static int pace(struct narrow *t, struct gw_pace *p, const struct iovec *iov, int n, uint64_t most,
                struct iovec *ret_part, struct gw_error *err)
{
    uint64_t chunk = gw_pace_chunk(p);
    int r;

    n = gw_iov_clip(ret_part, iov, n, GW_MIN(most, chunk));
    r = gw_pace_wait(p, gw_iov_bytes(ret_part, n), &t->wake);
    if (r == -ECANCELED || gw_cancel_triggered(&t->wake))
        return gw_fail_canceled(err);
    return r < 0 ? gw_fail(err, r, GW_BLAME_LOCAL, "pacing: %s", strerror(-r)) : n;
}

static void settle(struct gw_pace *p, uint64_t charged, ssize_t moved)
{
    uint64_t n = moved > 0 ? (uint64_t)moved : 0;

    if (n < charged)
        gw_pace_refund(p, charged - n);
}

/* ---- the line ---------------------------------------------------------------------------------------------------- */

static void wait_until(struct line *l, uint64_t at_ns)
{
    struct timespec at = {.tv_sec = (time_t)(at_ns / GW_NS_PER_S), .tv_nsec = (long)(at_ns % GW_NS_PER_S)};

    if (at_ns)
        pthread_cond_timedwait(&l->moved, &l->lock, &at);
    else
        pthread_cond_wait(&l->moved, &l->lock);
}

/* Hands one parcel on; called and left with the lock held. */
static void deliver(struct narrow *t, struct line *l)
{
    size_t bytes = l->parcels[l->first % PARCELS].bytes, at = (size_t)(l->head % l->bytes);
    size_t to_end = GW_MIN(bytes, l->bytes - at);
    struct iovec iov[2] = {{l->ring + at, to_end}, {l->ring, bytes - to_end}};
    struct gw_error err = GW_ERROR_INIT;
    int n = 2, i = 0;
    ssize_t r = 0;

    pthread_mutex_unlock(&l->lock);
    while ((i = gw_iov_advance(iov, n, i, (size_t)r)) < n) {
        r = t->next->ops->writev(t->next, iov + i, n - i, &err);
        /* The time-out is the writer's, who waits for room; here only a shutdown ends the wait. */
        if (r == -ETIMEDOUT && !gw_cancel_triggered(&t->wake))
            r = 0;
        else if (r <= 0)
            break;
    }
    pthread_mutex_lock(&l->lock);
    if (i < n) {
        if (!err.code)
            gw_fail(&err, r < 0 ? (int)r : -EIO, GW_BLAME_CHANNEL, "the channel behind takes no more bytes");
        l->error = err;
    }
    l->head += bytes;
    l->first++;
}

static void *line_thread(void *opaque)
{
    struct narrow *t = opaque;
    struct line *l = t->line;

    pthread_mutex_lock(&l->lock);
    while (!l->quit && !l->error.code) {
        uint64_t due_ns = l->parcels[l->first % PARCELS].due_ns;

        if (l->first == l->end) {
            wait_until(l, 0);
        } else if (gw_now_ns(&gw_clock_real) < due_ns) {
            wait_until(l, due_ns);
        } else {
            deliver(t, l);
            pthread_cond_broadcast(&l->moved);
        }
    }
    pthread_cond_broadcast(&l->moved);
    pthread_mutex_unlock(&l->lock);
    return NULL;
}

static int line_failed(struct line *l, struct gw_error *err)
{
    if (err)
        *err = l->error;
    return l->error.code;
}

/* Waits, with the lock held, until there is room for a byte and a parcel (or all is delivered). */
static int line_wait(struct narrow *t, struct line *l, bool empty, struct gw_error *err)
{
    uint64_t timeout_ns = timeout_of(t), deadline_ns = gw_deadline(timeout_ns), head = l->head;

    for (;;) {
        bool waiting = empty ? l->first != l->end : l->tail - l->head == l->bytes || l->end - l->first == PARCELS;

        if (gw_cancel_triggered(&t->wake))
            return gw_fail_canceled(err);
        if (l->error.code)
            return line_failed(l, err);
        if (!waiting)
            return 0;
        if (l->head != head) {
            head = l->head;
            deadline_ns = gw_deadline(timeout_ns);
        }
        /* On its way is not stuck. */
        if (deadline_ns && gw_now_ns(&gw_clock_real) >= deadline_ns + t->latency_ns)
            return gw_fail_timeout(timeout_ns, err);
        wait_until(l, deadline_ns ? deadline_ns + t->latency_ns : 0);
    }
}

static void put_on_line(struct line *l, const struct iovec *iov, int n)
{
    for (int i = 0; i < n; i++) {
        size_t at = (size_t)(l->tail % l->bytes), part = GW_MIN(iov[i].iov_len, l->bytes - at);

        memcpy(l->ring + at, iov[i].iov_base, part);
        memcpy(l->ring, (const char *)iov[i].iov_base + part, iov[i].iov_len - part);
        l->tail += iov[i].iov_len;
    }
}

static ssize_t line_writev(struct narrow *t, const struct iovec *iov, int n, struct gw_error *err)
{
    struct line *l = t->line;
    struct iovec part[GW_IOV_MAX];
    uint64_t room, bytes;
    int r;

    pthread_mutex_lock(&l->lock);
    r = line_wait(t, l, false, err);
    room = l->bytes - (l->tail - l->head);
    pthread_mutex_unlock(&l->lock);
    if (r < 0)
        return r;
    r = n = pace(t, &t->out, iov, n, room, part, err);
    if (r < 0)
        return r;
    bytes = gw_iov_bytes(part, n);
    pthread_mutex_lock(&l->lock);
    put_on_line(l, part, n);
    l->parcels[l->end++ % PARCELS] = (struct parcel){gw_now_ns(&gw_clock_real) + t->latency_ns, (size_t)bytes};
    pthread_cond_broadcast(&l->moved);
    pthread_mutex_unlock(&l->lock);
    return (ssize_t)bytes;
}

static void line_stop(struct narrow *t)
{
    struct line *l = t->line;

    if (!l)
        return;
    pthread_mutex_lock(&l->lock);
    l->quit = true;
    pthread_cond_broadcast(&l->moved);
    pthread_mutex_unlock(&l->lock);
    gw_channel_shutdown(t->next);
    if (l->running)
        pthread_join(l->thread, NULL);
    pthread_cond_destroy(&l->moved);
    pthread_mutex_destroy(&l->lock);
    free(l->ring);
    free(l);
    t->line = NULL;
}

static size_t line_bytes(const struct gw_narrow_config *c)
{
    uint64_t bytes = 4 * GW_MIB;

    if (c->buffer_bytes)
        return GW_MIN(c->buffer_bytes, LINE_BYTES_MOST);
    if (c->write_bytes_per_s) {
        unsigned __int128 need = (unsigned __int128)c->write_bytes_per_s * c->latency_ns * 2 / GW_NS_PER_S;

        bytes = need > LINE_BYTES_MOST ? LINE_BYTES_MOST : (uint64_t)need;
    }
    return (size_t)GW_MIN(GW_MAX(bytes, LINE_BYTES_LEAST), LINE_BYTES_MOST);
}

static int line_start(struct narrow *t, const struct gw_narrow_config *config, struct gw_error *err)
{
    struct line *l = calloc(1, sizeof *l);
    pthread_condattr_t attr;
    sigset_t all, old;
    int r;

    if (!l)
        return gw_nomem(err, "narrow");
    l->bytes = line_bytes(config);
    l->ring = malloc(l->bytes);
    if (!l->ring) {
        free(l);
        return gw_nomem(err, "narrow");
    }
    pthread_mutex_init(&l->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&l->moved, &attr);
    pthread_condattr_destroy(&attr);
    t->line = l;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    r = pthread_create(&l->thread, NULL, line_thread, t);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    l->running = r == 0;
    return r ? gw_fail(err, -r, GW_BLAME_LOCAL, "thread of a narrow: %s", strerror(r)) : 0;
}

/* ---- the channel ------------------------------------------------------------------------------------------------- */

static ssize_t paced(struct narrow *t, bool out, bool positioned, const struct iovec *iov, int n, uint64_t offset,
                     struct gw_error *err)
{
    struct gw_pace *p = out ? &t->out : &t->in;
    const struct gw_channel_ops *ops = t->next->ops;
    struct iovec part[GW_IOV_MAX];
    ssize_t r;

    n = pace(t, p, iov, n, UINT64_MAX, part, err);
    if (n < 0)
        return n;
    gw_channel_set_timeout(t->next, timeout_of(t));
    if (positioned)
        r = out ? ops->pwritev(t->next, part, n, offset, err) : ops->preadv(t->next, part, n, offset, err);
    else
        r = out ? ops->writev(t->next, part, n, err) : ops->readv(t->next, part, n, err);
    settle(p, gw_iov_bytes(part, n), r);
    return r;
}

static ssize_t narrow_readv(struct gw_channel *ch, const struct iovec *iov, int n, struct gw_error *err)
{
    return paced(narrow_of(ch), false, false, iov, n, 0, err);
}

static ssize_t narrow_writev(struct gw_channel *ch, const struct iovec *iov, int n, struct gw_error *err)
{
    struct narrow *t = narrow_of(ch);

    return t->line ? line_writev(t, iov, n, err) : paced(t, true, false, iov, n, 0, err);
}

static ssize_t narrow_preadv(struct gw_channel *ch, const struct iovec *iov, int n, uint64_t offset,
                               struct gw_error *err)
{
    return paced(narrow_of(ch), false, true, iov, n, offset, err);
}

static ssize_t narrow_pwritev(struct gw_channel *ch, const struct iovec *iov, int n, uint64_t offset,
                                struct gw_error *err)
{
    return paced(narrow_of(ch), true, true, iov, n, offset, err);
}

static ssize_t narrow_peek(struct gw_channel *ch, void *buf, size_t n, struct gw_error *err)
{
    struct narrow *t = narrow_of(ch);

    gw_channel_set_timeout(t->next, timeout_of(t));
    return t->next->ops->peek(t->next, buf, n, err);
}

static bool narrow_gone(struct gw_channel *ch)
{
    return gw_channel_peer_gone(narrow_of(ch)->next);
}

static uint64_t narrow_queued(struct gw_channel *ch)
{
    struct narrow *t = narrow_of(ch);
    uint64_t n = gw_channel_queued(t->next);

    if (t->line) {
        pthread_mutex_lock(&t->line->lock);
        n += t->line->tail - t->line->head;
        pthread_mutex_unlock(&t->line->lock);
    }
    return n;
}

/* Waits until nothing is under way. */
static int drain(struct narrow *t, struct gw_error *err)
{
    int r = 0;

    if (gw_cancel_triggered(&t->wake))
        return gw_fail_canceled(err);
    if (t->line) {
        pthread_mutex_lock(&t->line->lock);
        r = line_wait(t, t->line, true, err);
        pthread_mutex_unlock(&t->line->lock);
    }
    gw_channel_set_timeout(t->next, timeout_of(t));
    return r;
}

static int narrow_seek(struct gw_channel *ch, uint64_t offset, struct gw_error *err)
{
    struct narrow *t = narrow_of(ch);
    int r = drain(t, err);

    return r < 0 ? r : t->next->ops->seek(t->next, offset, err);
}

static int narrow_tell(struct gw_channel *ch, uint64_t *ret_offset, struct gw_error *err)
{
    return narrow_of(ch)->next->ops->tell(narrow_of(ch)->next, ret_offset, err);
}

static int narrow_sync(struct gw_channel *ch, struct gw_error *err)
{
    struct narrow *t = narrow_of(ch);
    int r = drain(t, err);

    return r < 0 || !t->next->ops->sync ? r : t->next->ops->sync(t->next, err);
}

static void narrow_shutdown(struct gw_channel *ch)
{
    struct narrow *t = narrow_of(ch);

    gw_cancel_trigger(&t->wake);
    gw_channel_shutdown(t->next);
    if (t->line) {
        pthread_mutex_lock(&t->line->lock);
        pthread_cond_broadcast(&t->line->moved);
        pthread_mutex_unlock(&t->line->lock);
    }
}

static int narrow_close(struct gw_channel *ch, struct gw_error *err)
{
    struct narrow *t = narrow_of(ch);
    int r = drain(t, err);

    return r < 0 || !t->next->ops->close ? r : t->next->ops->close(t->next, err);
}

static void narrow_free(struct gw_channel *ch)
{
    struct narrow *t = narrow_of(ch);

    line_stop(t);
    gw_channel_free(t->next);
    gw_cancel_fini(&t->wake);
    gw_pace_fini(&t->out);
    gw_pace_fini(&t->in);
    free(t);
}

static const struct gw_channel_ops narrow_ops = {
    .kind = "narrow",
    .readv = narrow_readv,
    .writev = narrow_writev,
    .preadv = narrow_preadv,
    .pwritev = narrow_pwritev,
    .seek = narrow_seek,
    .tell = narrow_tell,
    .peek = narrow_peek,
    .sync = narrow_sync,
    .queued = narrow_queued,
    .gone = narrow_gone,
    .shutdown = narrow_shutdown,
    .close = narrow_close,
    .free = narrow_free,
};

int gw_narrow_new(struct gw_channel *take_next, const struct gw_narrow_config *config,
                    struct gw_channel **ret_channel, struct gw_error *err)
{
    struct narrow *t = calloc(1, sizeof *t);
    int r;

    if (!t) {
        gw_channel_free(take_next);
        return gw_nomem(err, "narrow");
    }
    gw_channel_init(&t->channel, &narrow_ops, take_next->features, take_next->name);
    t->channel.timeout_ns = take_next->timeout_ns;
    t->next = take_next;
    t->latency_ns = config->latency_ns;
    gw_pace_init(&t->out, NULL, config->write_bytes_per_s);
    gw_pace_init(&t->in, NULL, config->read_bytes_per_s);
    r = gw_cancel_init(&t->wake, err);
    if (r == 0 && config->latency_ns)
        r = line_start(t, config, err);
    if (r < 0) {
        narrow_free(&t->channel);
        return r;
    }
    *ret_channel = &t->channel;
    return 0;
}

void gw_narrow_set(struct gw_channel *ch, uint64_t write_bytes_per_s, uint64_t read_bytes_per_s)
{
    gw_pace_set(&narrow_of(ch)->out, write_bytes_per_s);
    gw_pace_set(&narrow_of(ch)->in, read_bytes_per_s);
}
