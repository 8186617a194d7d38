/* SPDX-License-Identifier: MIT
 *
 * Refcounts of clusters, and their allocation.
 */
#include "disk/node/qcow2_inner.h"

uint64_t gw_qcow2_bits_get(const uint8_t *p, unsigned order, uint64_t i)
{
    unsigned width = 1u << order;

    switch (order) {
    case 3:
        return p[i];
    case 4:
        return gw_load_be16(p + 2 * i);
    case 5:
        return gw_load_be32(p + 4 * i);
    case 6:
        return gw_load_be64(p + 8 * i);
    default:
        return p[i * width / 8] >> (i * width % 8) & ((1u << width) - 1);
    }
}

void gw_qcow2_bits_set(uint8_t *p, unsigned order, uint64_t i, uint64_t value)
{
    unsigned width = 1u << order, shift = (unsigned)(i * width % 8);

    switch (order) {
    case 3:
        p[i] = (uint8_t)value;
        break;
    case 4:
        gw_store_be16(p + 2 * i, (uint16_t)value);
        break;
    case 5:
        gw_store_be32(p + 4 * i, (uint32_t)value);
        break;
    case 6:
        gw_store_be64(p + 8 * i, value);
        break;
    default:
        p += i * width / 8;
        *p = (uint8_t)((*p & ~(((1u << width) - 1) << shift)) | (unsigned)value << shift);
    }
}

static uint64_t slice_refs(const struct gw_qcow2 *q)
{
    return q->refs.slice_bytes * 8ull >> q->h.refcount_order;
}

/* The slice with this cluster's count, at index *ret_i. *ret NULL: its block does not exist. */
static int find(struct gw_qcow2 *q, uint64_t cluster, struct gw_qcow2_slice **ret, uint64_t *ret_i,
                struct gw_error *err)
{
    uint64_t block = cluster / q->block_refs, in = cluster % q->block_refs, per = slice_refs(q);
    uint64_t offset = block < q->reftable_entries ? q->reftable[block] : 0;
    uint8_t *at;

    *ret = NULL;
    *ret_i = in % per;
    if (!offset)
        return 0;
    return gw_qcow2_cache_at(q, &q->refs, offset + in / per * q->refs.slice_bytes, ret, &at, err);
}

int gw_qcow2_ref_get(struct gw_qcow2 *q, uint64_t cluster, uint64_t *ret, struct gw_error *err)
{
    struct gw_qcow2_slice *s;
    uint64_t i;
    int r = find(q, cluster, &s, &i, err);

    if (r >= 0)
        *ret = s ? gw_qcow2_bits_get(s->data, q->h.refcount_order, i) : 0;
    return r;
}

static void set(struct gw_qcow2 *q, struct gw_qcow2_slice *s, uint64_t i, uint64_t value)
{
    unsigned order = q->h.refcount_order;
    const uint8_t *at = s->data + (i << order) / 8;

    gw_qcow2_bits_set(s->data, order, i, value);
    gw_qcow2_cache_dirty(&q->refs, s, at, order > 3 ? 1u << (order - 3) : 1);
}

static void now_free(struct gw_qcow2 *q, uint64_t cluster)
{
    q->hint = GW_MIN(q->hint, cluster);
    if (gw_qcow2_set_has(&q->owned, cluster)) {
        gw_qcow2_set_remove(&q->owned, cluster);
        gw_qcow2_cache_forget(q, &q->l2, cluster << q->h.cluster_bits);
        gw_qcow2_cache_forget(q, &q->refs, cluster << q->h.cluster_bits);
    }
}

static int add_one(struct gw_qcow2 *q, uint64_t cluster, int by, struct gw_error *err)
{
    struct gw_qcow2_slice *s;
    uint64_t i, now;
    int r = find(q, cluster, &s, &i, err);

    if (r < 0)
        return r;
    now = s ? gw_qcow2_bits_get(s->data, q->h.refcount_order, i) : 0;
    if (!now)
        return gw_qcow2_corrupt(q, err, "the cluster at offset %" PRIu64 " is used, and its refcount is 0",
                                cluster << q->h.cluster_bits);
    if (by > 0 && now == q->ref_max)
        return gw_fail(err, -EOVERFLOW, GW_BLAME_LOCAL,
                       "%s: the refcount of the cluster at offset %" PRIu64 " is %" PRIu64
                       ", the most that %u bits hold",
                       q->node.name, cluster << q->h.cluster_bits, now, 1u << q->h.refcount_order);
    set(q, s, i, by > 0 ? now + 1 : now - 1);
    if (by < 0 && now == 1)
        now_free(q, cluster);
    return 0;
}

int gw_qcow2_ref_add(struct gw_qcow2 *q, uint64_t first, uint64_t count, int by, struct gw_error *err)
{
    for (uint64_t i = 0; i < count; i++) {
        int r = add_one(q, first + i, by, err);
        if (r < 0) {
            if (by > 0 && i)
                gw_qcow2_ref_add(q, first, i, -1, NULL);
            return r;
        }
    }
    return 0;
}

/* ---- allocation -------------------------------------------------------------------------------------------------- */

static void used_up_to(struct gw_qcow2 *q, uint64_t cluster)
{
    q->high = GW_MAX(q->high, cluster);
    q->virgin = GW_MAX(q->virgin, cluster << q->h.cluster_bits);
}

/* Makes the cluster a refcount block, which counts itself if it is in its own range. */
static int new_block(struct gw_qcow2 *q, uint64_t block, uint64_t cluster, struct gw_error *err)
{
    uint64_t offset = cluster << q->h.cluster_bits, end = offset + q->cluster_bytes;
    int r = gw_qcow2_reach(q, end, err);

    if (r >= 0 && offset < q->virgin)
        r = gw_qcow2_put_zeros(q, q->cluster_bytes, offset, err);
    if (r >= 0)
        r = gw_qcow2_set_add(&q->owned, cluster, err);
    if (r < 0)
        return r;
    used_up_to(q, cluster + 1);
    gw_qcow2_cache_forget(q, &q->refs, offset);
    q->reftable[block] = offset;
    q->reftable_from = GW_MIN(q->reftable_from, block);
    q->reftable_to = GW_MAX(q->reftable_to, block + 1);
    return 0;
}

static int count_new(struct gw_qcow2 *q, uint64_t cluster, struct gw_error *err)
{
    struct gw_qcow2_slice *s;
    uint64_t i;
    int r = find(q, cluster, &s, &i, err);

    if (r >= 0)
        set(q, s, i, 1);
    return r;
}

static int run_at_end(struct gw_qcow2 *q, uint64_t want, uint64_t *ret_first, struct gw_error *err);

/* Extends the refcount table to have an entry for `block`. The new table is at a new place, to which the header points
 * from the next write_back on. */
static int reach_block(struct gw_qcow2 *q, uint64_t block, struct gw_error *err)
{
    uint64_t per_cluster = q->cluster_bytes / 8, entries = q->reftable_entries, clusters, first, *more;
    int r;

    if (block < entries)
        return 0;
    clusters = gw_div_up(GW_MAX(block + 1 + block / 2, entries + entries / 2), per_cluster) + 1;
    clusters = GW_MIN(clusters, GW_QCOW2_REFTABLE_MAX / q->cluster_bytes);
    if (q->reftable_next) {
        r = gw_qcow2_write_back(q, err);
        if (r < 0)
            return r;
    }
    if (block >= clusters * per_cluster)
        return gw_fail(err, -EFBIG, GW_BLAME_LOCAL,
                       "%s: the file would be larger than its refcount table may grow for, %" PRIu64 " clusters",
                       q->node.name, entries * q->block_refs);
    more = realloc(q->reftable, clusters * q->cluster_bytes);
    if (!more)
        return gw_nomem(err, "refcount table");
    q->reftable = more;
    memset(more + entries, 0, clusters * q->cluster_bytes - entries * 8);
    q->reftable_entries = clusters * per_cluster;
    r = run_at_end(q, clusters, &first, err);
    if (r < 0) { /* blocks beyond the old table are lost with their entries: no counts depend on them */
        q->reftable_entries = entries;
        q->reftable_to = GW_MIN(q->reftable_to, entries);
        return r;
    }
    for (uint64_t i = 0; i < clusters; i++)
        gw_qcow2_set_add(&q->owned, first + i, NULL);
    q->reftable_next = first << q->h.cluster_bits;
    return 0;
}

/* Contiguous free clusters after all used ones, preceded by the blocks that count them. */
static int run_at_end(struct gw_qcow2 *q, uint64_t want, uint64_t *ret_first, struct gw_error *err)
{
    uint64_t first = q->high, blocks = 0, last, at;
    int r;

    for (;;) {
        uint64_t needed = 0;

        last = (first + blocks + want - 1) / q->block_refs;
        if (last >= q->reftable_entries) {
            r = reach_block(q, last, err);
            if (r < 0)
                return r;
            first = q->high;
        }
        for (uint64_t b = first / q->block_refs; b <= last; b++)
            needed += !q->reftable[b];
        if (needed <= blocks)
            break;
        blocks = needed;
    }
    r = gw_qcow2_reach(q, (first + blocks + want) << q->h.cluster_bits, err);
    if (r < 0)
        return r;
    at = first;
    for (uint64_t b = first / q->block_refs; b <= last && at < first + blocks; b++)
        if (!q->reftable[b]) {
            r = new_block(q, b, at++, err);
            if (r < 0)
                return r;
        }
    blocks = at - first;
    for (uint64_t i = 0; i < blocks + want && r >= 0; i++)
        r = count_new(q, first + i, err);
    if (r < 0)
        return r;
    used_up_to(q, first + blocks + want);
    *ret_first = first + blocks;
    return 0;
}

/* 1: the cluster is free; 0: in use. */
static int is_free(struct gw_qcow2 *q, uint64_t cluster, struct gw_error *err)
{
    uint64_t n = 0;
    int r = gw_qcow2_ref_get(q, cluster, &n, err);

    if (r < 0 || n)
        return r < 0 ? r : 0;
    if (gw_qcow2_set_has(&q->owned, cluster))
        return gw_qcow2_corrupt(q, err, "the refcount of the table at offset %" PRIu64 " is 0",
                                cluster << q->h.cluster_bits);
    return 1;
}

/* Finds the first free cluster from the hint on, and the number of free ones from there. */
static int search(struct gw_qcow2 *q, uint64_t want, uint64_t *ret_first, uint64_t *ret_got, struct gw_error *err)
{
    uint64_t c = q->hint, got = 0;
    int r = 0;

    while (got < want) {
        uint64_t block = c / q->block_refs;
        bool there = block < q->reftable_entries && q->reftable[block];

        if (!there && got)
            break;
        if (!there) {
            r = reach_block(q, block, err);
            if (r >= 0 && q->reftable[block])
                continue; /* the growth of the table has created this block */
            if (r >= 0)
                r = is_free(q, c, err);
            if (r < 0)
                return r;
            r = new_block(q, block, c, err);
            if (r >= 0)
                r = count_new(q, c, err);
            if (r < 0)
                return r;
            c++;
            continue;
        }
        r = is_free(q, c, err);
        if (r < 0)
            return r;
        if (!r && got)
            break;
        got += (uint64_t)r;
        c++;
    }
    *ret_first = c - got;
    *ret_got = got;
    return 0;
}

int gw_qcow2_alloc(struct gw_qcow2 *q, uint64_t want, uint64_t *ret_first, uint64_t *ret_got, struct gw_error *err)
{
    uint64_t first, got;
    int r = search(q, want, &first, &got, err);

    if (r >= 0)
        r = gw_qcow2_reach(q, (first + got) << q->h.cluster_bits, err);
    for (uint64_t i = 0; i < got && r >= 0; i++)
        r = count_new(q, first + i, err);
    if (r < 0)
        return r;
    q->hint = first + got;
    used_up_to(q, first + got);
    *ret_first = first;
    *ret_got = got;
    return 0;
}

int gw_qcow2_alloc_table(struct gw_qcow2 *q, uint64_t clusters, uint64_t *ret_offset, struct gw_error *err)
{
    uint64_t first, got;
    int r = clusters == 1 ? gw_qcow2_alloc(q, 1, &first, &got, err) : run_at_end(q, clusters, &first, err);

    for (uint64_t i = 0; i < clusters && r >= 0; i++)
        r = gw_qcow2_set_add(&q->owned, first + i, err);
    if (r < 0)
        return r;
    *ret_offset = first << q->h.cluster_bits;
    for (uint64_t i = 0; i < clusters; i++) {
        gw_qcow2_cache_forget(q, &q->l2, (first + i) << q->h.cluster_bits);
        gw_qcow2_cache_forget(q, &q->refs, (first + i) << q->h.cluster_bits);
    }
    return 0;
}
