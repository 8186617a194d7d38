/* SPDX-License-Identifier: MIT */
#include "image/parked/spool.h"

#include <fcntl.h>
#include "base/workers.h"
#include "image/unpack.h"

#define WRITERS     2u /* one writes while the other's request is in the kernel */
#define WRITERS_FAR 8u /* a server: concurrent requests */

struct piece {
    uint8_t *data;
    uint64_t at;
    size_t bytes;
};

struct gw_spool {
    int fd;
    struct gw_bytes *far; /* NULL: fd is the file */
    atomic_bool direct;
    atomic_bool failed; /* nothing is written any more */
    struct gw_workers *workers;
    struct piece *pieces; /* one for each slot */
    unsigned count;
    uint64_t put, taken;   /* pieces */
    struct gw_error error; /* the first error, in the order in which pieces were put. Owner's thread only */
};

/* ---- writing ------------------------------------------------------------------------------------------------------
 */

/* Some file systems accept O_DIRECT but fail the writes. */
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

    if (s->far)
        return s->far->ops->write(s->far, from, left, at, err);
    while (left) {
        ssize_t n = pwrite(s->fd, from, left, (off_t)at);

        if (n < 0 && errno == EINTR)
            continue;
        /* Retries also if another thread has just switched to buffered writes: this one may still have been refused. */
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
        /* A hint; fsync reports errors of the disk. */
        sync_file_range(s->fd, (off_t)p->at, (off_t)p->bytes, SYNC_FILE_RANGE_WRITE);
        posix_fadvise(s->fd, (off_t)p->at, (off_t)p->bytes, POSIX_FADV_DONTNEED);
    }
    return 0;
}

static int work(void *opaque, unsigned thread, uint64_t n, unsigned slot, struct gw_error *err)
{
    struct gw_spool *s = opaque;
    int r = atomic_load(&s->failed) ? 0 : write_piece(s, &s->pieces[slot], err);

    if (r < 0)
        atomic_store(&s->failed, true);
    return r;
}

static bool apart(void *opaque, unsigned slot, unsigned older)
{
    const struct gw_spool *s = opaque;
    const struct piece *p = &s->pieces[slot], *o = &s->pieces[older];

    return o->at >= p->at + p->bytes || p->at >= o->at + o->bytes;
}

/* ---- the owner ----------------------------------------------------------------------------------------------------
 */

static int new_spool(int fd, struct gw_bytes *far, size_t piece_bytes, unsigned pieces, struct gw_spool **ret, struct gw_error *err)
{
    static const struct gw_workers_ops ops = {.work = work, .apart = apart};
    struct gw_spool *s = calloc(1, sizeof *s);
    int flags = far ? -1 : fcntl(fd, F_GETFL), r;

    if (!s)
        return gw_nomem(err, "spool");
    s->fd = fd;
    s->far = far;
    s->pieces = calloc(pieces, sizeof *s->pieces);
    for (; s->pieces && s->count < pieces; s->count++)
        if (posix_memalign((void **)&s->pieces[s->count].data, GW_SPOOL_ALIGN, piece_bytes))
            break;
    if (!s->pieces || s->count < pieces) {
        gw_spool_free(s);
        return gw_nomem(err, "spool");
    }
    atomic_store(&s->direct, flags >= 0 && !fcntl(fd, F_SETFL, flags | O_DIRECT));
    r = gw_workers_new(&ops, s, far ? WRITERS_FAR : WRITERS, pieces, &s->workers, err);
    if (r < 0) {
        gw_spool_free(s);
        return r;
    }
    *ret = s;
    return 0;
}

int gw_spool_new(int fd, size_t piece_bytes, unsigned pieces, struct gw_spool **ret, struct gw_error *err)
{
    return new_spool(fd, NULL, piece_bytes, pieces, ret, err);
}

int gw_spool_new_far(struct gw_bytes *to, size_t piece_bytes, unsigned pieces, struct gw_spool **ret, struct gw_error *err)
{
    return new_spool(-1, to, piece_bytes, pieces, ret, err);
}

void gw_spool_free(struct gw_spool *s)
{
    if (!s)
        return;
    gw_workers_free(s->workers);
    for (unsigned i = 0; s->pieces && i < s->count; i++)
        free(s->pieces[i].data);
    free(s->pieces);
    free(s);
}

/* Waits for all pieces below number n. */
static void take(struct gw_spool *s, uint64_t n)
{
    struct gw_error error = GW_ERROR_INIT;

    for (; s->taken < n; gw_workers_release(s->workers, ++s->taken))
        if (gw_workers_take(s->workers, s->taken, &error) < 0 && !s->error.code)
            s->error = error;
}

uint8_t *gw_spool_room(struct gw_spool *s)
{
    if (s->put >= s->count)
        take(s, s->put - s->count + 1);
    return atomic_load(&s->failed) ? NULL : s->pieces[s->put % s->count].data;
}

void gw_spool_put(struct gw_spool *s, uint64_t at, size_t bytes)
{
    struct piece *p = &s->pieces[s->put % s->count];

    p->at = at;
    p->bytes = bytes;
    gw_workers_submit(s->workers, ++s->put);
}

int gw_spool_patch(struct gw_spool *s, const void *src, size_t bytes, uint64_t at, struct gw_error *err)
{
    if (s->far)
        return s->far->ops->write(s->far, src, bytes, at, err);
    go_on_buffered(s);
    return gw_pwrite_all(s->fd, src, bytes, at, err);
}

int gw_spool_flush(struct gw_spool *s, struct gw_error *err)
{
    take(s, s->put);
    if (s->error.code && err)
        *err = s->error;
    return s->error.code;
}
