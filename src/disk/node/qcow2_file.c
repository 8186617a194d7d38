/* SPDX-License-Identifier: MIT
 *
 * The qcow2 node's access to the node of its file: none while the file grows, and flushes only after writes.
 */
#include "disk/node/qcow2_inner.h"

#include <stdarg.h>

#define GROW_LEAST (1ull << 20)

int gw_qcow2_get(struct gw_qcow2 *q, void *to, uint64_t bytes, uint64_t offset, struct gw_error *err)
{
    uint64_t there;
    int r = 0;

    pthread_rwlock_rdlock(&q->growth);
    there = offset < q->file->bytes ? GW_MIN(bytes, q->file->bytes - offset) : 0;
    if (there)
        r = gw_node_read(q->file, to, there, offset, err);
    pthread_rwlock_unlock(&q->growth);
    memset((char *)to + there, 0, bytes - there);
    return r;
}

int gw_qcow2_put(struct gw_qcow2 *q, const void *from, uint64_t bytes, uint64_t offset, struct gw_error *err)
{
    int r;

    pthread_rwlock_rdlock(&q->growth);
    atomic_store(&q->unflushed, true);
    r = gw_node_write(q->file, from, bytes, offset, 0, err);
    pthread_rwlock_unlock(&q->growth);
    return r;
}

int gw_qcow2_put_zeros(struct gw_qcow2 *q, uint64_t bytes, uint64_t offset, struct gw_error *err)
{
    int r;

    pthread_rwlock_rdlock(&q->growth);
    atomic_store(&q->unflushed, true);
    r = gw_node_zero(q->file, bytes, offset, 0, err);
    pthread_rwlock_unlock(&q->growth);
    return r;
}

/* Grows by more than requested, so that this is rare; gw_qcow2_free cuts off the unused part. */
int gw_qcow2_reach(struct gw_qcow2 *q, uint64_t bytes, struct gw_error *err)
{
    uint64_t more = GW_MIN(GW_MAX(GROW_LEAST, bytes / 16), 64 * GROW_LEAST);
    int r = 0;

    if (bytes <= q->file->bytes)
        return 0;
    pthread_rwlock_wrlock(&q->growth);
    r = gw_node_resize(q->file, gw_qcow2_clusters(q, bytes + more) << q->h.cluster_bits, NULL);
    if (r < 0)
        r = gw_node_resize(q->file, bytes, err);
    pthread_rwlock_unlock(&q->growth);
    if (r < 0)
        gw_context(err, "%s", q->node.name);
    return r;
}

int gw_qcow2_barrier(struct gw_qcow2 *q, struct gw_error *err)
{
    int r;

    if (!atomic_exchange(&q->unflushed, false))
        return 0;
    pthread_rwlock_rdlock(&q->growth);
    r = gw_node_flush(q->file, err);
    pthread_rwlock_unlock(&q->growth);
    if (r < 0)
        atomic_store(&q->unflushed, true);
    return r;
}

static int bad_text(const struct gw_qcow2 *q, struct gw_error *err, const char *fmt, va_list ap)
{
    gw_failv(err, -EPROTO, GW_BLAME_LOCAL, fmt, ap);
    gw_context(err, "%s", q->node.name);
    return -EPROTO;
}

int gw_qcow2_bad(const struct gw_qcow2 *q, struct gw_error *err, const char *fmt, ...)
{
    va_list ap;
    int r;

    va_start(ap, fmt);
    r = bad_text(q, err, fmt, ap);
    va_end(ap);
    return r;
}

int gw_qcow2_corrupt(struct gw_qcow2 *q, struct gw_error *err, const char *fmt, ...)
{
    va_list ap;
    int r;

    va_start(ap, fmt);
    r = bad_text(q, err, fmt, ap);
    va_end(ap);
    if (q->node.read_only || q->broken)
        return r;
    q->broken = true;
    if (q->h.version >= 3) {
        uint8_t field[8];

        q->h.incompatible |= GW_QCOW2_CORRUPT;
        gw_store_be64(field, q->h.incompatible);
        gw_qcow2_put(q, field, sizeof field, 72, NULL);
        gw_qcow2_barrier(q, NULL);
    }
    return r;
}
