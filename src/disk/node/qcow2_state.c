/* SPDX-License-Identifier: MIT
 *
 * The state of a machine, which lies behind the end of the disk: that of the disk as it is now, and those of snapshots.
 */
#include "disk/node/qcow2_inner.h"

uint64_t gw_qcow2_state_at(const struct gw_qcow2 *q, uint64_t disk_bytes)
{
    uint64_t table_bytes = (uint64_t)q->l2_entries << q->h.cluster_bits;

    return gw_div_up(disk_bytes, table_bytes) * table_bytes;
}

static int state_range(const struct gw_qcow2 *q, uint64_t bytes, uint64_t offset, uint64_t *ret_end,
                       struct gw_error *err)
{
    uint64_t most = GW_QCOW2_L1_MAX / 8 * ((uint64_t)q->l2_entries << q->h.cluster_bits);
    uint64_t from = gw_qcow2_state_at(q, q->h.bytes);

    if (gw_add_overflows(offset, bytes, ret_end) || *ret_end > most || from > most - *ret_end)
        return gw_fail(err, -EFBIG, GW_BLAME_CALLER, "%s: the image has no room for %" PRIu64 " bytes of state at offset %" PRIu64,
                       q->node.name, bytes, offset);
    *ret_end += from;
    return 0;
}

int gw_qcow2_state_write(struct gw_node *n, const void *from, uint64_t bytes, uint64_t offset, struct gw_error *err)
{
    struct gw_qcow2 *q = gw_qcow2_of(n);
    uint64_t end;
    int r;

    if (n->read_only)
        return gw_fail(err, -EROFS, GW_BLAME_CALLER, "%s: it was opened read-only", n->name);
    r = state_range(q, bytes, offset, &end, err);
    if (r < 0)
        return r;
    pthread_mutex_lock(&q->lock);
    r = gw_qcow2_before_write(q, err);
    if (r >= 0)
        r = gw_qcow2_l1_grow(q, gw_div_up(end, (uint64_t)q->l2_entries << q->h.cluster_bits), err);
    pthread_mutex_unlock(&q->lock);
    return r < 0 ? r : gw_qcow2_write_at(q, from, bytes, gw_qcow2_state_at(q, q->h.bytes) + offset, err);
}

int gw_qcow2_state_read(struct gw_node *n, void *to, uint64_t bytes, uint64_t offset, struct gw_error *err)
{
    struct gw_qcow2 *q = gw_qcow2_of(n);
    uint64_t end;
    int r = state_range(q, bytes, offset, &end, err);

    return r < 0 ? r : gw_qcow2_read_at(q, to, bytes, gw_qcow2_state_at(q, q->h.bytes) + offset, err);
}

int gw_qcow2_state_drop(struct gw_node *n, struct gw_error *err)
{
    struct gw_qcow2 *q = gw_qcow2_of(n);
    uint64_t from = gw_qcow2_state_at(q, q->h.bytes);
    uint64_t all = q->h.l1_entries * ((uint64_t)q->l2_entries << q->h.cluster_bits);

    if (n->read_only)
        return gw_fail(err, -EROFS, GW_BLAME_CALLER, "%s: it was opened read-only", n->name);
    return all > from ? gw_qcow2_forget_at(q, all - from, from, err) : 0;
}

/* ---- of a snapshot ----------------------------------------------------------------------------------------------- */

/* A state begins where its disk ends; it has its own clusters, so it is not longer than the file. */
static int check_shot(const struct gw_qcow2 *q, unsigned index, uint64_t bytes, uint64_t offset, struct gw_error *err)
{
    const struct gw_qcow2_snapshot *s;
    uint64_t end;

    if (index >= q->h.snapshots)
        return gw_fail(err, -ENOENT, GW_BLAME_CALLER, "%s: there is no snapshot %u, it has %u", q->node.name, index,
                       q->h.snapshots);
    s = &q->snapshots[index];
    if (s->disk_bytes > 1ull << 62)
        return gw_qcow2_bad(q, err, "snapshot %s has a disk of %" PRIu64 " bytes", s->id, s->disk_bytes);
    if (s->state_bytes > gw_qcow2_file_clusters(q) << q->h.cluster_bits)
        return gw_qcow2_bad(q, err, "snapshot %s has %" PRIu64 " bytes of state, more than the file is long", s->id,
                            s->state_bytes);
    if (gw_add_overflows(offset, bytes, &end) || end > s->state_bytes)
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER,
                       "%s: snapshot %s has %" PRIu64 " bytes of state, and none of %" PRIu64 " at %" PRIu64,
                       q->node.name, s->id, s->state_bytes, bytes, offset);
    return 0;
}

/* What the snapshot's own L1 table has at this offset behind the beginning of its disk. Under the lock. */
static int look_up(struct gw_qcow2 *q, const struct gw_qcow2_shot *shot, uint64_t offset, uint64_t bytes,
                   struct gw_qcow2_run *ret, struct gw_error *err)
{
    uint64_t index = (offset >> q->h.cluster_bits) / q->l2_entries;
    uint8_t entry[8] = {0};
    int r = 0;

    if (index < shot->l1_entries)
        r = gw_qcow2_get(q, entry, sizeof entry, shot->l1_offset + index * 8, err);
    return r < 0 ? r : gw_qcow2_lookup_in(q, gw_load_be64(entry), offset, bytes, ret, err);
}

int gw_qcow2_snapshot_state_read(struct gw_node *n, unsigned index, void *to, uint64_t bytes, uint64_t offset,
                                 struct gw_error *err)
{
    struct gw_qcow2 *q = gw_qcow2_of(n);
    int r = check_shot(q, index, bytes, offset, err);
    uint64_t from = r < 0 ? 0 : gw_qcow2_state_at(q, q->snapshots[index].disk_bytes);
    char *at = to;

    while (bytes && r >= 0) {
        struct gw_qcow2_run run;
        unsigned epoch = 0;

        pthread_mutex_lock(&q->lock);
        r = look_up(q, &q->shots[index], from + offset, bytes, &run, err);
        if (r >= 0 && run.kind == GW_QCOW2_K_ABSENT)
            r = gw_qcow2_bad(q, err, "the state of snapshot %s has nothing at byte %" PRIu64, q->snapshots[index].id,
                             offset);
        if (r >= 0)
            epoch = gw_qcow2_enter(q);
        pthread_mutex_unlock(&q->lock);
        if (r < 0)
            return r;
        r = gw_qcow2_read_run(q, at, &run, from + offset, err);
        gw_qcow2_leave(q, epoch);
        at += run.bytes;
        offset += run.bytes;
        bytes -= run.bytes;
    }
    return r;
}
