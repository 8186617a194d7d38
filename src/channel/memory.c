/* SPDX-License-Identifier: MIT */
#include <pthread.h>
#include <time.h>

#include "channel/cancel.h"

/* One direction. The bytes between head and tail (both only grow) are in the buffer at position modulo `bytes`. Only
 * the reader moves head, only the writer moves tail, and each copies without the lock, since the other never touches
 * that part. */
struct pipe {
    uint8_t *buf;
    uint64_t head, tail;
    bool ended;      /* the writer has closed or was freed: the rest may still be read */
    bool unread;     /* the reader was freed */
    bool read_stop;  /* the reader was shut down */
    bool write_stop; /* the writer was shut down */
};

struct shared {
    pthread_mutex_t lock;
    pthread_cond_t moved; /* signalled when a field above changes */
    size_t bytes;
    int users;
    struct pipe pipes[2];
};

struct memory {
    struct gw_channel channel;
    struct shared *shared;
    struct pipe *in, *out;
};

static struct memory *memory_of(struct gw_channel *ch)
{
    return (struct memory *)ch;
}

/* Waits for `moved` with the lock held; -ETIMEDOUT at the deadline. */
static int wait_moved(struct shared *s, uint64_t deadline_ns)
{
    struct timespec at = {.tv_sec = (time_t)(deadline_ns / GW_NS_PER_S), .tv_nsec = (long)(deadline_ns % GW_NS_PER_S)};

    return deadline_ns ? -pthread_cond_timedwait(&s->moved, &s->lock, &at) : -pthread_cond_wait(&s->moved, &s->lock);
}

/* Waits until the pipe has bytes to read; returns their number, 0 at the end, or an error. */
static ssize_t await_bytes(struct memory *m, struct gw_error *err)
{
    uint64_t timeout_ns = __atomic_load_n(&m->channel.timeout_ns, __ATOMIC_RELAXED), deadline_ns = 0;
    struct shared *s = m->shared;
    struct pipe *p = m->in;
    ssize_t r = 1;

    pthread_mutex_lock(&s->lock);
    while (!p->read_stop && p->head == p->tail && !p->ended && r > 0) {
        if (!deadline_ns)
            deadline_ns = gw_deadline(timeout_ns);
        if (wait_moved(s, deadline_ns) == -ETIMEDOUT)
            r = 0;
    }
    if (p->read_stop)
        r = gw_fail_canceled(err);
    else if (p->head != p->tail || p->ended)
        r = (ssize_t)(p->tail - p->head);
    else
        r = gw_fail_timeout(timeout_ns, err);
    pthread_mutex_unlock(&s->lock);
    return r;
}

static ssize_t await_room(struct memory *m, struct gw_error *err)
{
    uint64_t timeout_ns = __atomic_load_n(&m->channel.timeout_ns, __ATOMIC_RELAXED), deadline_ns = 0;
    struct shared *s = m->shared;
    struct pipe *p = m->out;
    ssize_t r = 1;

    pthread_mutex_lock(&s->lock);
    while (!p->write_stop && !p->unread && p->tail - p->head == s->bytes && r > 0) {
        if (!deadline_ns)
            deadline_ns = gw_deadline(timeout_ns);
        if (wait_moved(s, deadline_ns) == -ETIMEDOUT)
            r = 0;
    }
    if (p->write_stop)
        r = gw_fail_canceled(err);
    else if (p->unread)
        r = gw_fail(err, -EPIPE, GW_BLAME_CHANNEL, "the other side has closed the connection");
    else if (p->tail - p->head < s->bytes)
        r = (ssize_t)(s->bytes - (p->tail - p->head));
    else
        r = gw_fail_timeout(timeout_ns, err);
    pthread_mutex_unlock(&s->lock);
    return r;
}

/* Copies between the ring at `at` and memory, at most to the end of the ring; returns the number of bytes. */
static size_t copy_part(struct shared *s, struct pipe *p, uint64_t at, void *mem, size_t n, bool into_ring)
{
    uint8_t *ring = p->buf + at % s->bytes;

    n = GW_MIN(n, s->bytes - at % s->bytes);
    if (into_ring)
        memcpy(ring, mem, n);
    else
        memcpy(mem, ring, n);
    return n;
}

static ssize_t copy_vectors(struct shared *s, struct pipe *p, uint64_t at, const struct iovec *iov, int n, size_t limit,
                            bool into_ring)
{
    size_t done = 0;

    for (int i = 0; i < n && done < limit; i++) {
        size_t in_vector = 0;

        while (in_vector < iov[i].iov_len && done < limit) {
            size_t part = copy_part(s, p, at + done, (char *)iov[i].iov_base + in_vector,
                                    GW_MIN(iov[i].iov_len - in_vector, limit - done), into_ring);

            in_vector += part;
            done += part;
        }
    }
    return (ssize_t)done;
}

static void announce(struct shared *s, uint64_t *position, size_t n)
{
    pthread_mutex_lock(&s->lock);
    *position += n;
    pthread_cond_broadcast(&s->moved);
    pthread_mutex_unlock(&s->lock);
}

static ssize_t memory_readv(struct gw_channel *ch, const struct iovec *iov, int n, struct gw_error *err)
{
    struct memory *m = memory_of(ch);
    ssize_t r = await_bytes(m, err);

    if (r <= 0)
        return r;
    r = copy_vectors(m->shared, m->in, m->in->head, iov, n, (size_t)r, false);
    announce(m->shared, &m->in->head, (size_t)r);
    return r;
}

static ssize_t memory_writev(struct gw_channel *ch, const struct iovec *iov, int n, struct gw_error *err)
{
    struct memory *m = memory_of(ch);
    ssize_t r = await_room(m, err);

    if (r <= 0)
        return r;
    r = copy_vectors(m->shared, m->out, m->out->tail, iov, n, (size_t)r, true);
    announce(m->shared, &m->out->tail, (size_t)r);
    return r;
}

static ssize_t memory_peek(struct gw_channel *ch, void *buf, size_t n, struct gw_error *err)
{
    struct memory *m = memory_of(ch);
    struct iovec iov = {buf, n};
    ssize_t r = await_bytes(m, err);

    return r <= 0 ? r : copy_vectors(m->shared, m->in, m->in->head, &iov, 1, (size_t)r, false);
}

static uint64_t memory_queued(struct gw_channel *ch)
{
    struct memory *m = memory_of(ch);
    uint64_t n;

    pthread_mutex_lock(&m->shared->lock);
    n = m->out->tail - m->out->head;
    pthread_mutex_unlock(&m->shared->lock);
    return n;
}

static bool memory_gone(struct gw_channel *ch)
{
    struct memory *m = memory_of(ch);
    bool gone;

    pthread_mutex_lock(&m->shared->lock);
    gone = m->in->ended && !m->in->read_stop;
    pthread_mutex_unlock(&m->shared->lock);
    return gone;
}

/* As with a socket, the other side can read what was written before, then the end; it can write no more. */
static void memory_shutdown(struct gw_channel *ch)
{
    struct memory *m = memory_of(ch);

    pthread_mutex_lock(&m->shared->lock);
    m->in->read_stop = m->in->unread = true;
    m->out->write_stop = m->out->ended = true;
    pthread_cond_broadcast(&m->shared->moved);
    pthread_mutex_unlock(&m->shared->lock);
}

static int memory_close(struct gw_channel *ch, struct gw_error *err)
{
    struct memory *m = memory_of(ch);
    int r = 0;

    pthread_mutex_lock(&m->shared->lock);
    if (m->out->write_stop)
        r = gw_fail_canceled(err);
    m->out->ended = true;
    pthread_cond_broadcast(&m->shared->moved);
    pthread_mutex_unlock(&m->shared->lock);
    return r;
}

static void shared_free(struct shared *s)
{
    free(s->pipes[0].buf);
    free(s->pipes[1].buf);
    pthread_cond_destroy(&s->moved);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

static void memory_free(struct gw_channel *ch)
{
    struct memory *m = memory_of(ch);
    bool last;

    memory_shutdown(ch);
    pthread_mutex_lock(&m->shared->lock);
    last = --m->shared->users == 0;
    pthread_mutex_unlock(&m->shared->lock);
    if (last)
        shared_free(m->shared);
    free(m);
}

static const struct gw_channel_ops memory_ops = {
    .kind = "memory",
    .readv = memory_readv,
    .writev = memory_writev,
    .peek = memory_peek,
    .queued = memory_queued,
    .gone = memory_gone,
    .shutdown = memory_shutdown,
    .close = memory_close,
    .free = memory_free,
};

static struct shared *shared_new(size_t bytes)
{
    struct shared *s = calloc(1, sizeof *s);
    pthread_condattr_t attr;

    if (!s)
        return NULL;
    pthread_mutex_init(&s->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&s->moved, &attr);
    pthread_condattr_destroy(&attr);
    s->bytes = bytes;
    s->users = 2;
    s->pipes[0].buf = malloc(bytes);
    s->pipes[1].buf = malloc(bytes);
    if (!s->pipes[0].buf || !s->pipes[1].buf) {
        shared_free(s);
        return NULL;
    }
    return s;
}

int gw_channel_memory_pair(size_t bytes, struct gw_channel **ret_a, struct gw_channel **ret_b, struct gw_error *err)
{
    struct memory *a, *b;
    struct shared *s;

    if (!bytes || bytes > SIZE_MAX / 4)
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "a memory channel cannot have a buffer of %zu bytes", bytes);
    a = calloc(1, sizeof *a);
    b = calloc(1, sizeof *b);
    s = a && b ? shared_new(bytes) : NULL;
    if (!s) {
        free(a);
        free(b);
        return gw_nomem(err, "memory channel");
    }
    *a = (struct memory){.shared = s, .in = &s->pipes[0], .out = &s->pipes[1]};
    *b = (struct memory){.shared = s, .in = &s->pipes[1], .out = &s->pipes[0]};
    gw_channel_init(&a->channel, &memory_ops, GW_CHANNEL_DUPLEX | GW_CHANNEL_PEEK, "memory:a");
    gw_channel_init(&b->channel, &memory_ops, GW_CHANNEL_DUPLEX | GW_CHANNEL_PEEK, "memory:b");
    *ret_a = &a->channel;
    *ret_b = &b->channel;
    return 0;
}
