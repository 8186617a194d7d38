/* SPDX-License-Identifier: MIT
 *
 * Where the clusters of the disk lie in the file: L1 and L2 tables.
 */
#include "disk/node/qcow2_inner.h"

static unsigned packed_shift(const struct gw_qcow2 *q)
{
    return 62 - (q->h.cluster_bits - 8);
}

void gw_qcow2_entry_span(const struct gw_qcow2 *q, uint64_t entry, uint64_t *ret_first, uint64_t *ret_count)
{
    unsigned bits = q->h.cluster_bits;

    *ret_first = *ret_count = 0;
    if (entry & GW_QCOW2_PACKED) {
        uint64_t x = packed_shift(q), from = entry & ((1ull << x) - 1) & ((1ull << 56) - 1);
        uint64_t sectors = ((entry & (GW_QCOW2_PACKED - 1)) >> x) + 1, last = (from & ~511ull) + sectors * 512 - 1;

        *ret_first = from >> bits;
        *ret_count = (last >> bits) - *ret_first + 1;
    } else if (entry & GW_QCOW2_OFFSET) {
        *ret_first = (entry & GW_QCOW2_OFFSET) >> bits;
        *ret_count = 1;
    }
}

int gw_qcow2_l1_check(const struct gw_qcow2 *q, uint64_t entry, uint64_t index, struct gw_error *err)
{
    uint64_t at = entry & GW_QCOW2_OFFSET;

    if ((at & (q->cluster_bytes - 1)) || at >= q->file->bytes)
        return gw_qcow2_bad(q, err,
                            "entry %" PRIu64 " of the L1 table has an L2 table at offset %" PRIu64
                            ", which is no cluster of the file",
                            index, at);
    return 0;
}

int gw_qcow2_entry_check(const struct gw_qcow2 *q, uint64_t entry, uint64_t cluster, struct gw_error *err)
{
    uint64_t first, count, at = entry & GW_QCOW2_OFFSET;

    gw_qcow2_entry_span(q, entry, &first, &count);
    if (!count)
        return 0;
    if (!(entry & GW_QCOW2_PACKED) && (at & (q->cluster_bytes - 1)))
        return gw_qcow2_bad(
            q, err, "cluster %" PRIu64 " of the disk is said to be at offset %" PRIu64 ", where no cluster begins",
            cluster, at);
    if (first >= gw_qcow2_file_clusters(q))
        return gw_qcow2_bad(
            q, err, "cluster %" PRIu64 " of the disk is said to be at offset %" PRIu64 ", behind the end of the file",
            cluster, first << q->h.cluster_bits);
    return 0;
}

/* The active L1 table's entry for the cluster; 0: none. */
static uint64_t l1_of(const struct gw_qcow2 *q, uint64_t cluster)
{
    uint64_t index = cluster / q->l2_entries;

    return index < q->h.l1_entries ? q->l1[index] : 0;
}

/* File offset of the cluster's L2 entry; 0: no table. l1: the L1 entry. */
static int entry_place(struct gw_qcow2 *q, uint64_t l1, uint64_t cluster, uint64_t *ret, struct gw_error *err)
{
    uint64_t table = l1 & GW_QCOW2_OFFSET;
    int r;

    *ret = 0;
    if (!table)
        return 0;
    r = gw_qcow2_l1_check(q, l1, cluster / q->l2_entries, err);
    if (r >= 0)
        *ret = table + cluster % q->l2_entries * q->entry_bytes;
    return r;
}

static int entry_in(struct gw_qcow2 *q, uint64_t l1, uint64_t cluster, uint64_t *ret, uint64_t *ret_parts,
                    struct gw_error *err)
{
    struct gw_qcow2_slice *s;
    uint64_t place;
    uint8_t *at;
    int r = entry_place(q, l1, cluster, &place, err);

    *ret = *ret_parts = 0;
    if (r < 0 || !place)
        return r;
    r = gw_qcow2_cache_at(q, &q->l2, place, &s, &at, err);
    if (r < 0)
        return r;
    *ret = gw_load_be64(at);
    if (q->entry_bytes == 16)
        *ret_parts = gw_load_be64(at + 8);
    return *ret ? gw_qcow2_entry_check(q, *ret, cluster, err) : 0;
}

int gw_qcow2_entry(struct gw_qcow2 *q, uint64_t cluster, uint64_t *ret, uint64_t *ret_parts, struct gw_error *err)
{
    return entry_in(q, l1_of(q, cluster), cluster, ret, ret_parts, err);
}

/* The kind of the part of the cluster that begins at `in`, and the number of bytes of that kind. */
static int classify(const struct gw_qcow2 *q, uint64_t entry, uint64_t parts, uint64_t in, struct gw_qcow2_run *ret,
                    struct gw_error *err)
{
    uint64_t host = entry & GW_QCOW2_OFFSET;
    unsigned size = q->cluster_bytes / 32, i = (unsigned)(in / size), k;

    *ret = (struct gw_qcow2_run){
        .kind = GW_QCOW2_K_ABSENT, .bytes = q->cluster_bytes - in, .entry = entry, .copied = entry & GW_QCOW2_COPIED};
    if (entry & GW_QCOW2_PACKED) {
        ret->kind = GW_QCOW2_K_PACKED;
        ret->copied = false;
        return 0;
    }
    if (q->entry_bytes == 8) {
        if (q->h.version >= 3 && (entry & GW_QCOW2_ZERO)) {
            ret->kind = GW_QCOW2_K_ZERO;
            ret->host = host;
        } else if (host) {
            ret->kind = GW_QCOW2_K_DATA;
            ret->host = host + in;
        }
        return 0;
    }
    for (k = i + 1; k < 32 && (parts >> k & 1) == (parts >> i & 1) && (parts >> k >> 32 & 1) == (parts >> i >> 32 & 1);)
        k++;
    ret->bytes = (uint64_t)k * size - in;
    if (parts >> i >> 32 & 1) {
        ret->kind = GW_QCOW2_K_ZERO;
        if (parts >> i & 1)
            return gw_qcow2_bad(q, err, "a part of a cluster is said to have data and to be zeros");
    } else if (parts >> i & 1) {
        if (!host)
            return gw_qcow2_bad(q, err, "a part of a cluster is said to have data, and its place is not told");
        ret->kind = GW_QCOW2_K_DATA;
        ret->host = host + in;
    }
    return 0;
}

static bool goes_on(const struct gw_qcow2_run *run, const struct gw_qcow2_run *next)
{
    if (run->kind != next->kind || run->copied != next->copied || run->kind == GW_QCOW2_K_PACKED)
        return false;
    if (run->kind == GW_QCOW2_K_DATA)
        return run->host + run->bytes == next->host;
    return run->kind == GW_QCOW2_K_ABSENT ||
           (!run->host == !next->host && (!run->host || run->host + run->bytes == next->host));
}

int gw_qcow2_lookup_in(struct gw_qcow2 *q, uint64_t l1, uint64_t offset, uint64_t bytes, struct gw_qcow2_run *ret,
                       struct gw_error *err)
{
    uint64_t table_bytes = (uint64_t)q->l2_entries << q->h.cluster_bits, end = offset + bytes;
    struct gw_qcow2_run run = {.bytes = 0};

    if (!(l1 & GW_QCOW2_OFFSET)) {
        *ret = (struct gw_qcow2_run){.kind = GW_QCOW2_K_ABSENT,
                                     .bytes = GW_MIN(bytes, table_bytes - offset % table_bytes)};
        return 0;
    }
    while (offset < end) {
        uint64_t in = offset & (q->cluster_bytes - 1), entry, parts;
        struct gw_qcow2_run next;
        int r;

        if (run.bytes && offset % table_bytes == 0)
            break;
        r = entry_in(q, l1, offset >> q->h.cluster_bits, &entry, &parts, err);
        if (r >= 0)
            r = classify(q, entry, parts, in, &next, err);
        if (r < 0 && !run.bytes)
            return r;
        if (r < 0 || (run.bytes && !goes_on(&run, &next)))
            break; /* the caller for whose offset it is gets the error */
        next.bytes = GW_MIN(next.bytes, end - offset);
        offset += next.bytes;
        if (run.bytes)
            run.bytes += next.bytes;
        else
            run = next;
    }
    *ret = run;
    return 0;
}

int gw_qcow2_lookup(struct gw_qcow2 *q, uint64_t offset, uint64_t bytes, struct gw_qcow2_run *ret, struct gw_error *err)
{
    return gw_qcow2_lookup_in(q, l1_of(q, offset >> q->h.cluster_bits), offset, bytes, ret, err);
}

/* ---- changing ---------------------------------------------------------------------------------------------------- */

void gw_qcow2_l1_dirty(struct gw_qcow2 *q, uint64_t index)
{
    q->l1_from = GW_MIN(q->l1_from, (uint32_t)index);
    q->l1_to = GW_MAX(q->l1_to, (uint32_t)index + 1);
}

/* Makes a copy of a shared table. Its clusters are counted for each table already. */
static int copy_table(struct gw_qcow2 *q, uint64_t from, uint64_t *ret, struct gw_error *err)
{
    GW_AUTOFREE uint8_t *room = calloc(1, q->cluster_bytes);
    uint64_t to;
    int r = 0;

    if (!room)
        return gw_nomem(err, "L2 table");
    for (uint32_t at = 0; from && at < q->cluster_bytes && r >= 0; at += q->l2.slice_bytes) {
        struct gw_qcow2_slice *s;
        uint8_t *data;

        r = gw_qcow2_cache_at(q, &q->l2, from + at, &s, &data, err);
        if (r >= 0)
            memcpy(room + at, data, q->l2.slice_bytes);
    }
    if (r >= 0)
        r = gw_qcow2_alloc_table(q, 1, &to, err);
    if (r < 0)
        return r;
    r = gw_qcow2_put(q, room, q->cluster_bytes, to, err);
    if (r < 0) {
        gw_qcow2_ref_add(q, to >> q->h.cluster_bits, 1, -1, NULL);
        return r;
    }
    *ret = to;
    return 0;
}

int gw_qcow2_own_table(struct gw_qcow2 *q, uint64_t cluster, struct gw_error *err)
{
    uint64_t index = cluster / q->l2_entries, old, to = 0;
    int r;

    if (index >= q->h.l1_entries)
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "%s: cluster %" PRIu64 " is behind the end of the disk",
                       q->node.name, cluster);
    old = q->l1[index] & GW_QCOW2_OFFSET;
    if (old) {
        r = gw_qcow2_l1_check(q, q->l1[index], index, err);
        if (r < 0 || (q->l1[index] & GW_QCOW2_COPIED))
            return r;
    }
    r = copy_table(q, old, &to, err);
    if (r < 0)
        return r;
    q->l1[index] = to | GW_QCOW2_COPIED;
    gw_qcow2_l1_dirty(q, index);
    if (old)
        gw_qcow2_free_later(q, old >> q->h.cluster_bits, 1, false);
    return 0;
}

int gw_qcow2_set_entry(struct gw_qcow2 *q, uint64_t cluster, uint64_t entry, struct gw_error *err)
{
    struct gw_qcow2_slice *s;
    uint64_t place;
    uint8_t *at;
    int r = entry_place(q, l1_of(q, cluster), cluster, &place, err);

    if (r >= 0 && !place)
        return gw_qcow2_bad(q, err, "cluster %" PRIu64 " of the disk has no L2 table", cluster);
    if (r >= 0)
        r = gw_qcow2_cache_at(q, &q->l2, place, &s, &at, err);
    if (r < 0)
        return r;
    gw_store_be64(at, entry);
    gw_qcow2_cache_dirty(&q->l2, s, at, 8);
    return 0;
}
