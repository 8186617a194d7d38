/* SPDX-License-Identifier: MIT */
#include "image/parked/spool.h"

#include <fcntl.h>
#include <pthread.h>

#define WRITERS 2u /* one writes while the other one's request is on its way */

struct piece {
    uint8_t *data;
    uint64_t at;
    size_t bytes;
    enum { FREE, LENT, PUT, WRITING } state;
    uint64_t order; /* in which they were put */
};

struct gw_spool {
    int fd;
    atomic_bool direct;
    size_t piece_bytes;
    pthread_mutex_t lock;
    pthread_cond_t changed; /* by the owner: a piece was put; by writers: one is free */
    struct piece *pieces;
    unsigned count, busy; /* busy: put and not written yet */
    uint64_t order;
    struct gw_error error;
    bool stop;
    pthread_t threads[WRITERS];
    unsigned thread_count;
};

/* ---- writing ------------------------------------------------------------------------------------------------------
 */

/* Not every file system that lets O_DIRECT be set takes what it is given. */
static void go_on_buffered(struct gw_spool *s)
{
    int flags = fcntl(s->fd, F_GETFL);

    if (flags >= 0)
        fcntl(s->fd, F_SETFL, flags & ~O_DIRECT);
    atomic_store(&s->direct, false);
}

static int write_piece(struct gw_spool *s, const struct piece *p, struct gw_error *err)
{
    const uint8_t *from = p->data;
    uint64_t at = p->at;
    size_t left = p->bytes;
    bool direct = atomic_load(&s->direct);

    while (left) {
        ssize_t n = pwrite(s->fd, from, left, (off_t)at);

        if (n < 0 && errno == EINTR)
            continue;
        /* Also when the other thread has just found out: this one may still have been refused. */
        if (n < 0 && errno == EINVAL && (direct || atomic_load(&s->direct))) {
            go_on_buffered(s);
            direct = false;
            continue;
        }
        if (n < 0)
            return gw_fail(err, -errno, GW_BLAME_LOCAL, "writing at byte %" PRIu64 ": %s", at, strerror(errno));
        if (!n)
            return gw_fail(err, -EIO, GW_BLAME_LOCAL, "writing at byte %" PRIu64 ": nothing was taken", at);
        from += n;
        at += (uint64_t)n;
        left -= (size_t)n;
    }
    if (!atomic_load(&s->direct)) {
        /* A hint; an error of the disk is told by fsync. */
        sync_file_range(s->fd, (off_t)p->at, (off_t)p->bytes, SYNC_FILE_RANGE_WRITE);
        posix_fadvise(s->fd, (off_t)p->at, (off_t)p->bytes, POSIX_FADV_DONTNEED);
    }
    return 0;
}

/* The oldest piece that may be written now. Under the lock. */
static struct piece *choose(struct gw_spool *s)
{
    struct piece *best = NULL;

    for (unsigned i = 0; i < s->count; i++) {
        struct piece *p = &s->pieces[i];
        bool waits = p->state != PUT;

        for (unsigned k = 0; !waits && k < s->count; k++) {
            const struct piece *o = &s->pieces[k];

            waits = (o->state == PUT || o->state == WRITING) && o->order < p->order && o->at < p->at + p->bytes &&
                    p->at < o->at + o->bytes;
        }
        if (!waits && (!best || p->order < best->order))
            best = p;
    }
    return best;
}

static void *writer(void *opaque)
{
    struct gw_spool *s = opaque;

    pthread_mutex_lock(&s->lock);
    for (;;) {
        struct gw_error err = GW_ERROR_INIT;
        struct piece *p;

        while (!s->stop && !(p = choose(s)))
            pthread_cond_wait(&s->changed, &s->lock);
        if (s->stop)
            break;
        p->state = WRITING;
        if (!s->error.code) {
            pthread_mutex_unlock(&s->lock);
            write_piece(s, p, &err);
            pthread_mutex_lock(&s->lock);
            if (err.code && !s->error.code)
                s->error = err;
        }
        p->state = FREE;
        s->busy--;
        pthread_cond_broadcast(&s->changed);
    }
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

/* ---- the owner ----------------------------------------------------------------------------------------------------
 */

int gw_spool_new(int fd, size_t piece_bytes, unsigned pieces, struct gw_spool **ret, struct gw_error *err)
{
    struct gw_spool *s = calloc(1, sizeof *s);
    int flags = fcntl(fd, F_GETFL), r = 0;

    if (!s)
        return gw_nomem(err, "spool");
    s->fd = fd;
    s->piece_bytes = piece_bytes;
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->changed, NULL);
    s->pieces = calloc(pieces, sizeof *s->pieces);
    for (; s->pieces && s->count < pieces; s->count++)
        if (posix_memalign((void **)&s->pieces[s->count].data, GW_SPOOL_ALIGN, piece_bytes))
            break;
    if (!s->pieces || s->count < pieces) {
        gw_spool_free(s);
        return gw_nomem(err, "spool");
    }
    atomic_store(&s->direct, flags >= 0 && !fcntl(fd, F_SETFL, flags | O_DIRECT));
    for (; s->thread_count < WRITERS && !r; s->thread_count += !r)
        r = pthread_create(&s->threads[s->thread_count], NULL, writer, s);
    if (!s->thread_count) {
        gw_spool_free(s);
        return gw_fail(err, -r, GW_BLAME_LOCAL, "a thread to write: %s", strerror(r));
    }
    *ret = s;
    return 0;
}

void gw_spool_free(struct gw_spool *s)
{
    if (!s)
        return;
    pthread_mutex_lock(&s->lock);
    s->stop = true;
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->lock);
    for (unsigned i = 0; i < s->thread_count; i++)
        pthread_join(s->threads[i], NULL);
    for (unsigned i = 0; s->pieces && i < s->count; i++)
        free(s->pieces[i].data);
    free(s->pieces);
    pthread_mutex_destroy(&s->lock);
    pthread_cond_destroy(&s->changed);
    free(s);
}

static struct piece *find(struct gw_spool *s, int state)
{
    for (unsigned i = 0; i < s->count; i++)
        if ((int)s->pieces[i].state == state)
            return &s->pieces[i];
    return NULL;
}

uint8_t *gw_spool_room(struct gw_spool *s)
{
    struct piece *p;

    pthread_mutex_lock(&s->lock);
    p = find(s, LENT);
    while (!p && !s->error.code && !(p = find(s, FREE)))
        pthread_cond_wait(&s->changed, &s->lock);
    if (s->error.code)
        p = NULL;
    else
        p->state = LENT;
    pthread_mutex_unlock(&s->lock);
    return p ? p->data : NULL;
}

void gw_spool_put(struct gw_spool *s, uint64_t at, size_t bytes)
{
    struct piece *p;

    pthread_mutex_lock(&s->lock);
    p = find(s, LENT);
    p->at = at;
    p->bytes = bytes;
    p->order = s->order++;
    p->state = PUT;
    s->busy++;
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->lock);
}

int gw_spool_flush(struct gw_spool *s, struct gw_error *err)
{
    int r;

    pthread_mutex_lock(&s->lock);
    while (s->busy)
        pthread_cond_wait(&s->changed, &s->lock);
    r = s->error.code;
    if (r && err)
        *err = s->error;
    pthread_mutex_unlock(&s->lock);
    return r;
}
