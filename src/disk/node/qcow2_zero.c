/* SPDX-License-Identifier: MIT
 *
 * Zeros without data, and discarded clusters.
 */
#include "disk/node/qcow2_inner.h"

enum wish { ZEROS, ZEROS_UNMAP, DISCARD, FORGET };

/* The cluster's new entry for the wish; 1: it stays, 2: zeros must be written into it. */
static int choose(const struct gw_qcow2 *q, enum wish wish, const struct gw_qcow2_run *run, uint64_t *ret)
{
    bool absent_is_zero = !q->node.backing, flag = q->h.version >= 3;
    bool keeps = wish == ZEROS && run->host && run->copied;

    *ret = 0;
    if (wish == FORGET)
        return run->entry ? 0 : 1;
    if (run->kind == GW_QCOW2_K_ABSENT && absent_is_zero)
        return 1;
    if (run->kind == GW_QCOW2_K_ABSENT && wish == DISCARD)
        return 1;
    if (run->kind == GW_QCOW2_K_ZERO && (!run->host || wish == ZEROS))
        return 1;
    if (!flag) { /* version 2 has zeros only as absent clusters */
        if (absent_is_zero && wish != ZEROS)
            return 0;
        return wish == DISCARD ? 1 : 2;
    }
    if (keeps)
        *ret = (run->host & GW_QCOW2_OFFSET) | GW_QCOW2_COPIED | GW_QCOW2_ZERO;
    else if (!absent_is_zero || wish == ZEROS)
        *ret = GW_QCOW2_ZERO;
    return 0;
}

/* Under the lock. */
static int change_one(struct gw_qcow2 *q, enum wish wish, uint64_t cluster, struct gw_error *err)
{
    struct gw_qcow2_run run;
    uint64_t entry, first, count;
    int how, r;

    r = gw_qcow2_ready(q, cluster, err);
    if (r >= 0)
        r = gw_qcow2_lookup(q, cluster << q->h.cluster_bits, q->cluster_bytes, &run, err);
    if (r < 0)
        return r;
    how = choose(q, wish, &run, &entry);
    if (how)
        return how;
    r = gw_qcow2_own_table(q, cluster, err);
    if (r >= 0)
        r = gw_qcow2_set_entry(q, cluster, entry, err);
    if (r < 0)
        return r;
    gw_qcow2_entry_span(q, run.entry, &first, &count);
    if (!(entry & GW_QCOW2_OFFSET))
        gw_qcow2_free_later(q, first, count, wish != ZEROS);
    return 0;
}

static int write_zeros(struct gw_qcow2 *q, uint64_t bytes, uint64_t offset, struct gw_error *err)
{
    GW_AUTOFREE char *zeros = calloc(1, GW_MIN(bytes, 65536));
    int r = 0;

    if (!zeros)
        return gw_nomem(err, "zeros");
    while (bytes && r >= 0) {
        uint64_t n = GW_MIN(bytes, 65536);

        r = gw_qcow2_write_at(q, zeros, n, offset, err);
        offset += n;
        bytes -= n;
    }
    return r;
}

/* Skips an absent L2 table, if the wish needs no change there. */
static uint64_t skip_absent(struct gw_qcow2 *q, enum wish wish, uint64_t cluster, uint64_t end)
{
    uint64_t index = cluster / q->l2_entries;

    if ((wish < DISCARD && q->node.backing) || (index < q->h.l1_entries && (q->l1[index] & GW_QCOW2_OFFSET)))
        return cluster;
    return GW_MIN(end, (index + 1) * q->l2_entries);
}

/* Clusters [first, end). last_bytes: how much of the last one is on the disk. */
static int change(struct gw_qcow2 *q, enum wish wish, uint64_t first, uint64_t end, uint64_t last_bytes,
                  struct gw_error *err)
{
    int r = 0;

    while (first < end && r >= 0) {
        uint64_t skipped;

        pthread_mutex_lock(&q->lock);
        skipped = skip_absent(q, wish, first, end);
        if (skipped == first) {
            r = change_one(q, wish, first, err);
            skipped++;
        }
        pthread_mutex_unlock(&q->lock);
        if (r == 2)
            r = write_zeros(q, first + 1 == end ? last_bytes : q->cluster_bytes, first << q->h.cluster_bits, err);
        first = skipped;
    }
    return r < 0 ? r : 0;
}

/* A part of a cluster: zeros are written, unless it reads as zeros. */
static int zero_part(struct gw_qcow2 *q, uint64_t bytes, uint64_t offset, struct gw_error *err)
{
    struct gw_qcow2_run run;
    int r;

    while (bytes) {
        pthread_mutex_lock(&q->lock);
        gw_qcow2_await(q, offset >> q->h.cluster_bits, 1);
        r = gw_qcow2_lookup(q, offset, bytes, &run, err);
        pthread_mutex_unlock(&q->lock);
        if (r < 0)
            return r;
        if (run.kind != GW_QCOW2_K_ZERO && (run.kind != GW_QCOW2_K_ABSENT || q->node.backing)) {
            r = write_zeros(q, run.bytes, offset, err);
            if (r < 0)
                return r;
        }
        offset += run.bytes;
        bytes -= run.bytes;
    }
    return 0;
}

int gw_qcow2_zero_at(struct gw_qcow2 *q, uint64_t bytes, uint64_t offset, unsigned flags, struct gw_error *err)
{
    unsigned bits = q->h.cluster_bits;
    uint64_t end = offset + bytes, first = gw_qcow2_clusters(q, offset), last = end >> bits;
    uint64_t last_bytes = q->cluster_bytes;
    int r = 0;

    if (end == q->node.bytes && (end & (q->cluster_bytes - 1)) &&
        last >= first) { /* the disk ends in its last cluster */
        last_bytes = end & (q->cluster_bytes - 1);
        last++;
    }
    if (last <= first)
        return zero_part(q, bytes, offset, err);
    if (offset < first << bits)
        r = zero_part(q, (first << bits) - offset, offset, err);
    if (r >= 0)
        r = change(q, flags & GW_NODE_UNMAP ? ZEROS_UNMAP : ZEROS, first, last, last_bytes, err);
    if (r >= 0 && last << bits < end)
        r = zero_part(q, end - (last << bits), last << bits, err);
    return r;
}

int gw_qcow2_discard(struct gw_node *n, uint64_t bytes, uint64_t offset, struct gw_error *err)
{
    struct gw_qcow2 *q = gw_qcow2_of(n);
    uint64_t first = gw_qcow2_clusters(q, offset), end = offset + bytes;

    return change(q, DISCARD, first, end == n->bytes ? gw_qcow2_clusters(q, end) : end >> q->h.cluster_bits,
                  q->cluster_bytes, err);
}

int gw_qcow2_forget_at(struct gw_qcow2 *q, uint64_t bytes, uint64_t offset, struct gw_error *err)
{
    return change(q, FORGET, gw_qcow2_clusters(q, offset), gw_qcow2_clusters(q, offset + bytes), q->cluster_bytes, err);
}
