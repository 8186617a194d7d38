/* SPDX-License-Identifier: MIT
 *
 * Moves the L1 table, and grows the disk. The new table is complete before one write of the header points to it.
 */
#include "disk/node/qcow2_inner.h"

/* take_l1 becomes the active table. The old table is freed, but not the clusters it points to. */
int gw_qcow2_l1_switch(struct gw_qcow2 *q, uint64_t *take_l1, uint32_t entries, uint64_t bytes, struct gw_error *err)
{
    struct gw_qcow2_header old = q->h;
    uint64_t offset = 0, clusters = gw_qcow2_clusters(q, entries * 8ull);
    int r = gw_qcow2_make_room(q, 8, err);

    if (r >= 0)
        r = gw_qcow2_write_back(q, err);
    if (r >= 0)
        r = gw_qcow2_alloc_table(q, GW_MAX(clusters, 1), &offset, err);
    if (r >= 0)
        r = gw_qcow2_table_write(q, take_l1, entries, offset, err);
    if (r >= 0)
        r = gw_qcow2_write_through(q, err); /* the new clusters' refcounts */
    if (r < 0)
        goto out;
    old.reftable_offset = q->h.reftable_offset; /* write_back may have moved the refcount table */
    old.reftable_clusters = q->h.reftable_clusters;
    q->h.l1_offset = offset;
    q->h.l1_entries = entries;
    q->h.bytes = bytes;
    r = gw_qcow2_header_write(q, err);
    if (r >= 0)
        r = gw_qcow2_barrier(q, err);
    if (r < 0) {
        q->h.l1_offset = old.l1_offset;
        q->h.l1_entries = old.l1_entries;
        q->h.bytes = old.bytes;
        goto out;
    }
    gw_qcow2_free_later(q, old.l1_offset >> q->h.cluster_bits, gw_qcow2_clusters(q, old.l1_entries * 8ull), false);
    free(q->l1);
    q->l1 = take_l1;
    q->node.bytes = bytes;
    return 0;
out:
    if (offset)
        gw_qcow2_ref_add(q, offset >> q->h.cluster_bits, GW_MAX(clusters, 1), -1, NULL);
    free(take_l1);
    return r;
}

static int l1_with(struct gw_qcow2 *q, uint64_t entries, uint64_t bytes, struct gw_error *err)
{
    uint64_t *l1;

    if (entries > GW_QCOW2_L1_MAX / 8)
        return gw_fail(err, -EFBIG, GW_BLAME_CALLER,
                       "%s: a disk of %" PRIu64 " bytes is too large for clusters of %u bytes", q->node.name, bytes,
                       q->cluster_bytes);
    l1 = calloc(GW_MAX(entries, 1), 8);
    if (!l1)
        return gw_nomem(err, "L1 table");
    memcpy(l1, q->l1, GW_MIN(entries, q->h.l1_entries) * 8);
    return gw_qcow2_l1_switch(q, l1, (uint32_t)entries, bytes, err);
}

int gw_qcow2_l1_grow(struct gw_qcow2 *q, uint64_t entries, struct gw_error *err)
{
    return entries <= q->h.l1_entries ? 0 : l1_with(q, entries, q->h.bytes, err);
}

static int check(const struct gw_qcow2 *q, uint64_t bytes, struct gw_error *err)
{
    if (bytes < q->node.bytes)
        return gw_fail(err, -ENOTSUP, GW_BLAME_CALLER, "%s: a qcow2 image cannot be made shorter", q->node.name);
    if (bytes % 512)
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "%s: a disk of %" PRIu64 " bytes is not a multiple of 512, the size of a "
                       "sector",
                       q->node.name, bytes);
    if (bytes > 1ull << 62)
        return gw_fail(err, -EFBIG, GW_BLAME_CALLER, "%s: %" PRIu64 " bytes are too many for a disk", q->node.name,
                       bytes);
    for (unsigned i = 0; i < q->h.snapshots; i++)
        if (q->shots[i].extra_bytes < 16)
            return gw_fail(err, -ENOTSUP, GW_BLAME_LOCAL,
                           "%s: snapshot %s does not say how long the disk was, so the disk cannot be made longer",
                           q->node.name, q->snapshots[i].id);
    return 0;
}

/* Clears the bytes after the end: the rest of the last cluster, and the state of a machine. */
static int clear_end(struct gw_qcow2 *q, uint64_t end, struct gw_error *err)
{
    uint64_t table_bytes = (uint64_t)q->l2_entries << q->h.cluster_bits, rest = -end & (q->cluster_bytes - 1);
    uint64_t from = gw_qcow2_clusters(q, end) << q->h.cluster_bits, all = q->h.l1_entries * table_bytes;
    struct gw_qcow2_run run = {.kind = GW_QCOW2_K_ABSENT};
    int r = 0;

    if (all > from)
        r = gw_qcow2_forget_at(q, all - from, from, err);
    if (r < 0 || !rest)
        return r;
    pthread_mutex_lock(&q->lock);
    r = gw_qcow2_lookup(q, end, rest, &run, err);
    pthread_mutex_unlock(&q->lock);
    if (r >= 0 && (run.kind == GW_QCOW2_K_DATA || run.kind == GW_QCOW2_K_PACKED)) {
        GW_AUTOFREE char *zeros = calloc(1, rest);

        r = zeros ? gw_qcow2_write_at(q, zeros, rest, end, err) : gw_nomem(err, "zeros");
    }
    return r;
}

int gw_qcow2_resize(struct gw_node *n, uint64_t bytes, struct gw_error *err)
{
    struct gw_qcow2 *q = gw_qcow2_of(n);
    uint64_t old = n->bytes, table_bytes = (uint64_t)q->l2_entries << q->h.cluster_bits;
    uint64_t below = n->backing ? GW_MIN(n->backing->bytes, bytes) : 0;
    int r = check(q, bytes, err);

    if (r >= 0)
        r = clear_end(q, old, err);
    if (r >= 0 && below > old) { /* the backing's contents there must not become visible */
        pthread_mutex_lock(&q->lock);
        r = gw_qcow2_l1_grow(q, gw_div_up(bytes, table_bytes), err);
        pthread_mutex_unlock(&q->lock);
        if (r >= 0)
            r = gw_qcow2_zero_at(q, below - old, old, GW_NODE_UNMAP, err);
    }
    if (r < 0)
        return r;
    pthread_mutex_lock(&q->lock);
    r = gw_qcow2_before_write(q, err);
    if (r >= 0)
        r = l1_with(q, GW_MAX(gw_div_up(bytes, table_bytes), q->h.l1_entries), bytes, err);
    pthread_mutex_unlock(&q->lock);
    return r;
}
