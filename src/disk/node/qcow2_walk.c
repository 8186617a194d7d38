/* SPDX-License-Identifier: MIT
 *
 * Visits everything that an L1 table and its L2 tables point to.
 */
#include "disk/node/qcow2_inner.h"

#define CHUNK 8192u /* bytes of a table read at once */

static int walk_table(struct gw_qcow2 *q, uint64_t table, uint64_t cluster, gw_qcow2_visit *visit, void *opaque,
                      struct gw_error *err)
{
    uint8_t room[CHUNK];
    uint32_t chunk = GW_MIN(q->cluster_bytes, CHUNK);

    for (uint32_t at = 0; at < q->cluster_bytes; at += chunk) {
        int r = gw_qcow2_get(q, room, chunk, table + at, err);

        for (uint32_t i = 0; i < chunk && r >= 0; i += q->entry_bytes, cluster++) {
            uint64_t entry = gw_load_be64(room + i), first = 0, count = 0;

            if (!entry)
                continue;
            if (gw_qcow2_entry_check(q, entry, cluster, err) >= 0)
                gw_qcow2_entry_span(q, entry, &first, &count);
            else
                r = visit(q, opaque, 0, 0, err);
            if (count)
                r = visit(q, opaque, first, count, err);
        }
        if (r < 0)
            return r;
    }
    return 0;
}

/* Each L2 table takes a cluster of the file: a table that claims more would take very long to walk. */
static int check_number(struct gw_qcow2 *q, const uint64_t *l1, uint64_t entries, struct gw_error *err)
{
    uint64_t tables = 0;

    for (uint64_t i = 0; i < entries; i++)
        tables += (l1[i] & GW_QCOW2_OFFSET) != 0;
    if (tables <= gw_qcow2_file_clusters(q))
        return 0;
    return gw_qcow2_bad(q, err, "an L1 table has %" PRIu64 " L2 tables, more than the file has clusters", tables);
}

int gw_qcow2_walk(struct gw_qcow2 *q, const uint64_t *l1, uint64_t entries, gw_qcow2_visit *visit, void *opaque,
                  struct gw_error *err)
{
    int r = check_number(q, l1, entries, err);

    for (uint64_t i = 0; i < entries && r >= 0; i++) {
        uint64_t table = l1[i] & GW_QCOW2_OFFSET;

        if (!table)
            continue;
        if (gw_qcow2_l1_check(q, l1[i], i, err) < 0) {
            r = visit(q, opaque, 0, 0, err);
            continue;
        }
        r = visit(q, opaque, table >> q->h.cluster_bits, 1, err);
        if (r >= 0)
            r = walk_table(q, table, i * q->l2_entries, visit, opaque, err);
    }
    return r;
}

/* ---- COPIED ------------------------------------------------------------------------------------------------------ */

static int right_flag(struct gw_qcow2 *q, uint64_t entry, bool only_clear, uint64_t *ret, struct gw_error *err)
{
    uint64_t n = 0;
    int r = 0;

    if (!only_clear)
        r = gw_qcow2_ref_get(q, (entry & GW_QCOW2_OFFSET) >> q->h.cluster_bits, &n, err);
    *ret = n == 1 ? entry | GW_QCOW2_COPIED : entry & ~GW_QCOW2_COPIED;
    return r;
}

static int fix_table(struct gw_qcow2 *q, uint64_t table, bool only_clear, struct gw_error *err)
{
    for (uint32_t i = 0; i < q->cluster_bytes; i += q->entry_bytes) {
        struct gw_qcow2_slice *s;
        uint64_t entry, right;
        uint8_t *at;
        int r = gw_qcow2_cache_at(q, &q->l2, table + i, &s, &at, err);

        if (r < 0)
            return r;
        entry = gw_load_be64(at);
        if (entry & GW_QCOW2_PACKED)
            right = entry & ~GW_QCOW2_COPIED;
        else if (!(entry & GW_QCOW2_OFFSET))
            continue;
        else
            r = right_flag(q, entry, only_clear, &right, err);
        if (r < 0)
            return r;
        if (right != entry) {
            gw_store_be64(at, right);
            gw_qcow2_cache_dirty(&q->l2, s, at, 8);
        }
    }
    return 0;
}

int gw_qcow2_fix_copied(struct gw_qcow2 *q, uint64_t *l1, uint64_t entries, bool only_clear, struct gw_error *err)
{
    int r = check_number(q, l1, entries, err);

    for (uint64_t i = 0; i < entries && r >= 0; i++) {
        uint64_t table = l1[i] & GW_QCOW2_OFFSET, right;

        if (!table)
            continue;
        r = gw_qcow2_l1_check(q, l1[i], i, err);
        if (r >= 0) /* so that the cache forgets it when it is freed */
            r = gw_qcow2_set_add(&q->owned, table >> q->h.cluster_bits, err);
        if (r >= 0)
            r = fix_table(q, table, only_clear, err);
        if (r >= 0)
            r = right_flag(q, l1[i], only_clear, &right, err);
        if (r >= 0 && right != l1[i]) {
            l1[i] = right;
            if (l1 == q->l1)
                gw_qcow2_l1_dirty(q, i);
        }
    }
    return r;
}
