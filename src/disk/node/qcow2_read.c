/* SPDX-License-Identifier: MIT
 *
 * Reads, and finds the kinds of ranges.
 */
#include "disk/node/qcow2_inner.h"

/* Reads from the backing; zeros after its end, and after the end of the disk, where the machine's state is. */
static int read_backing(struct gw_qcow2 *q, void *to, uint64_t bytes, uint64_t offset, struct gw_error *err)
{
    uint64_t end = q->node.backing ? GW_MIN(q->node.backing->bytes, q->node.bytes) : 0;
    uint64_t there = offset < end ? GW_MIN(bytes, end - offset) : 0;

    memset((char *)to + there, 0, bytes - there);
    return there ? gw_node_read(q->node.backing, to, there, offset, err) : 0;
}

int gw_qcow2_read_run(struct gw_qcow2 *q, void *to, const struct gw_qcow2_run *run, uint64_t offset,
                      struct gw_error *err)
{
    switch (run->kind) {
    case GW_QCOW2_K_DATA:
        return gw_qcow2_get(q, to, run->bytes, run->host, err);
    case GW_QCOW2_K_PACKED:
        return gw_qcow2_unpack(q, run->entry, to, run->bytes, offset & (q->cluster_bytes - 1), err);
    case GW_QCOW2_K_ABSENT:
        return read_backing(q, to, run->bytes, offset, err);
    default:
        memset(to, 0, run->bytes);
        return 0;
    }
}

int gw_qcow2_read_at(struct gw_qcow2 *q, void *to, uint64_t bytes, uint64_t offset, struct gw_error *err)
{
    char *at = to;

    while (bytes) {
        struct gw_qcow2_run run;
        unsigned epoch = 0;
        int r;

        pthread_mutex_lock(&q->lock);
        r = gw_qcow2_lookup(q, offset, bytes, &run, err);
        if (r >= 0)
            epoch = gw_qcow2_enter(q);
        pthread_mutex_unlock(&q->lock);
        if (r < 0)
            return r;
        r = gw_qcow2_read_run(q, at, &run, offset, err);
        gw_qcow2_leave(q, epoch);
        if (r < 0)
            return r;
        at += run.bytes;
        offset += run.bytes;
        bytes -= run.bytes;
    }
    return 0;
}

/* The place of a data run in the lowest file: its first part of one kind there. */
static int find_host(struct gw_qcow2 *q, const struct gw_qcow2_run *run, struct gw_node_run *ret, struct gw_error *err)
{
    struct gw_node_run below = {.fd = -1};
    int r = 0;

    *ret = (struct gw_node_run){.kind = GW_DISK_DATA, .bytes = run->bytes, .fd = -1};
    pthread_rwlock_rdlock(&q->growth);
    if (run->host < q->file->bytes)
        r = gw_node_find(q->file, GW_MIN(run->bytes, q->file->bytes - run->host), run->host, &below, err);
    pthread_rwlock_unlock(&q->growth);
    if (r < 0 || !below.bytes)
        return r;
    ret->bytes = GW_MIN(run->bytes, below.bytes);
    if (below.kind != GW_DISK_DATA) {
        ret->kind = GW_DISK_ZERO; /* reserved room that is a hole in the file */
        return 0;
    }
    ret->fd = below.fd;
    ret->file_offset = below.file_offset;
    ret->file_align = below.file_align;
    ret->file_read_only = below.file_read_only || !run->copied || q->node.read_only;
    if (ret->fd >= 0 && !ret->file_read_only)
        atomic_store(&q->lent, true);
    return 0;
}

int gw_qcow2_find(struct gw_node *n, uint64_t bytes, uint64_t offset, struct gw_node_run *ret, struct gw_error *err)
{
    struct gw_qcow2 *q = gw_qcow2_of(n);
    struct gw_qcow2_run run;
    unsigned epoch = 0;
    int r;

    pthread_mutex_lock(&q->lock);
    r = gw_qcow2_lookup(q, offset, bytes, &run, err);
    if (r >= 0 && run.kind == GW_QCOW2_K_DATA && run.copied && !q->node.read_only)
        r = gw_qcow2_before_data(q, run.host, err);
    if (r >= 0)
        epoch = gw_qcow2_enter(q);
    pthread_mutex_unlock(&q->lock);
    if (r < 0)
        return r;
    if (run.kind == GW_QCOW2_K_DATA) {
        r = find_host(q, &run, ret, err);
    } else {
        *ret = (struct gw_node_run){.bytes = run.bytes, .fd = -1};
        ret->kind = run.kind == GW_QCOW2_K_ABSENT ? GW_DISK_ABSENT
                    : run.kind == GW_QCOW2_K_ZERO ? GW_DISK_ZERO
                                                  : GW_DISK_DATA;
    }
    gw_qcow2_leave(q, epoch);
    return r;
}
