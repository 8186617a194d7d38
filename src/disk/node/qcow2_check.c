/* SPDX-License-Identifier: MIT
 *
 * Counts all uses of clusters and compares them with the refcounts, or makes new refcounts from them (repair). Memory
 * holds the counts of a window of clusters: a larger image is walked through several times.
 */
#include "disk/node/qcow2_inner.h"

#include <stdio.h>

#define WINDOW (1ull << 24) /* clusters; a multiple of the number that a refcount block counts */

struct tally {
    uint32_t *uses;
    uint64_t first, count;
    struct gw_qcow2_report *report;
    bool tell_bad; /* set in the first window, so that each bad entry is reported once */
    bool strict;   /* a bad entry is an error */
};

static void note(struct gw_qcow2_report *r, uint64_t *counter, const char *text)
{
    (*counter)++;
    if (!r->first[0] || (counter == &r->corruptions && r->corruptions == 1))
        gw_strcopy(r->first, sizeof r->first, text);
}

static int use(struct gw_qcow2 *q, void *opaque, uint64_t first, uint64_t count, struct gw_error *err)
{
    struct tally *t = opaque;

    if (!count && t->strict)
        return -EPROTO;
    if (!count && t->tell_bad)
        note(t->report, &t->report->corruptions, err ? err->text : "an entry is bad");
    for (uint64_t c = first; c < first + count; c++)
        if (c >= t->first && c - t->first < t->count && t->uses[c - t->first] < UINT32_MAX)
            t->uses[c - t->first]++;
    return 0;
}

static int use_bytes(struct gw_qcow2 *q, struct tally *t, uint64_t offset, uint64_t bytes)
{
    return bytes ? use(q, t, offset >> q->h.cluster_bits, gw_qcow2_clusters(q, bytes), NULL) : 0;
}

static int use_snapshots(struct gw_qcow2 *q, struct tally *t, struct gw_error *err)
{
    int r = 0;

    if (q->h.snapshots)
        use_bytes(q, t, q->h.snapshots_offset, gw_qcow2_snapshots_bytes(q));
    for (unsigned i = 0; i < q->h.snapshots && r >= 0; i++) {
        GW_AUTOFREE uint64_t *l1 = NULL;

        r = gw_qcow2_table_read(q, q->shots[i].l1_offset, q->shots[i].l1_entries, "L1 table of a snapshot", &l1, err);
        if (r < 0)
            return use(q, t, 0, 0, err);
        use_bytes(q, t, q->shots[i].l1_offset, q->shots[i].l1_entries * 8ull);
        r = gw_qcow2_walk(q, l1, q->shots[i].l1_entries, use, t, err);
    }
    return r;
}

/* Visits everything except the refcount tables themselves. */
static int use_all(struct gw_qcow2 *q, struct tally *t, struct gw_error *err)
{
    int r;

    use_bytes(q, t, 0, q->cluster_bytes);
    use_bytes(q, t, q->h.l1_offset, q->h.l1_entries * 8ull);
    r = gw_qcow2_walk(q, q->l1, q->h.l1_entries, use, t, err);
    if (r >= 0)
        r = use_snapshots(q, t, err);
    return r < 0 ? r : gw_qcow2_bitmaps_visit(q, use, t, err);
}

static void use_refcounts(struct gw_qcow2 *q, struct tally *t)
{
    use_bytes(q, t, q->h.reftable_offset, q->reftable_entries * 8);
    for (uint64_t i = 0; i < q->reftable_entries; i++)
        if (q->reftable[i])
            use_bytes(q, t, q->reftable[i], q->cluster_bytes);
}

static int compare(struct gw_qcow2 *q, struct tally *t, struct gw_error *err)
{
    for (uint64_t i = 0; i < t->count; i++) {
        uint64_t n = 0;
        char text[160];
        int r = gw_qcow2_ref_get(q, t->first + i, &n, err);

        if (r < 0)
            return r;
        t->report->clusters += t->uses[i] != 0;
        if (n == t->uses[i])
            continue;
        snprintf(text, sizeof text, "the cluster at offset %" PRIu64 " is used %u times, and its refcount is %" PRIu64,
                 (t->first + i) << q->h.cluster_bits, t->uses[i], n);
        note(t->report, n > t->uses[i] ? &t->report->leaks : &t->report->corruptions, text);
    }
    return 0;
}

static int check_flag(struct gw_qcow2 *q, struct gw_qcow2_report *ret, uint64_t entry, const char *what,
                      struct gw_error *err)
{
    uint64_t n = 0, at = entry & GW_QCOW2_OFFSET;
    bool copied = entry & GW_QCOW2_COPIED;
    char text[160];
    int r = gw_qcow2_ref_get(q, at >> q->h.cluster_bits, &n, err);

    if (r < 0 || copied == (n == 1))
        return r;
    snprintf(text, sizeof text, "the refcount of the %s at offset %" PRIu64 " is %" PRIu64 ", and its entry says %s",
             what, at, n, copied ? "that it is used once" : "that it is shared");
    note(ret, copied ? &ret->corruptions : &ret->missing_copied, text);
    return 0;
}

static int check_flags(struct gw_qcow2 *q, struct gw_qcow2_report *ret, struct gw_error *err)
{
    int r = 0;

    for (uint64_t i = 0; i < q->h.l1_entries && r >= 0; i++) {
        if (!(q->l1[i] & GW_QCOW2_OFFSET) || gw_qcow2_l1_check(q, q->l1[i], i, NULL) < 0)
            continue;
        r = check_flag(q, ret, q->l1[i], "L2 table", err);
        for (uint64_t k = 0; k < q->l2_entries && r >= 0; k++) {
            uint64_t entry, parts;

            if (gw_qcow2_entry(q, i * q->l2_entries + k, &entry, &parts, NULL) < 0)
                continue;
            if (!(entry & GW_QCOW2_PACKED) && (entry & GW_QCOW2_OFFSET))
                r = check_flag(q, ret, entry, "cluster", err);
            else if ((entry & GW_QCOW2_PACKED) && (entry & GW_QCOW2_COPIED))
                note(ret, &ret->corruptions, "a compressed cluster is said to be used once");
        }
    }
    return r;
}

static int check(struct gw_qcow2 *q, struct gw_qcow2_report *ret, struct gw_error *err)
{
    uint64_t all = gw_qcow2_file_clusters(q);
    GW_AUTOFREE uint32_t *uses = calloc(GW_MAX(GW_MIN(all, WINDOW), 1), sizeof *uses);
    int r = 0;

    if (!uses)
        return gw_nomem(err, "uses of clusters");
    for (uint64_t first = 0; first < all && r >= 0; first += WINDOW) {
        struct tally t = {uses, first, GW_MIN(WINDOW, all - first), ret, !first, false};

        memset(uses, 0, t.count * sizeof *uses);
        r = use_all(q, &t, err);
        use_refcounts(q, &t);
        if (r >= 0)
            r = compare(q, &t, err);
    }
    return r < 0 ? r : check_flags(q, ret, err);
}

int gw_qcow2_check(struct gw_node *n, struct gw_qcow2_report *ret, struct gw_error *err)
{
    struct gw_qcow2 *q = gw_qcow2_of(n);
    struct gw_qcow2_report report = {0};
    struct gw_error own = GW_ERROR_INIT;
    int r = 0;

    pthread_mutex_lock(&q->lock);
    if (!n->read_only && !q->broken)
        r = gw_qcow2_settle(q, &own);
    if (r >= 0)
        r = check(q, &report, &own);
    pthread_mutex_unlock(&q->lock);
    if (r < 0) {
        if (err)
            *err = own;
        return r;
    }
    *ret = report;
    return 0;
}

/* ---- repair ------------------------------------------------------------------------------------------------------ */

/* New refcount blocks and their table, after the end of the file: no existing cluster is assumed to be free. */
struct fresh {
    uint64_t end, blocks, table; /* in clusters */
};

static void plan(const struct gw_qcow2 *q, struct fresh *f)
{
    f->end = gw_qcow2_file_clusters(q);
    f->blocks = f->table = 1;
    for (;;) {
        uint64_t blocks = gw_div_up(f->end + f->table + f->blocks, q->block_refs);
        uint64_t table = gw_qcow2_clusters(q, blocks * 8);

        if (blocks <= f->blocks && table <= f->table)
            return;
        f->blocks = GW_MAX(blocks, f->blocks);
        f->table = GW_MAX(table, f->table);
    }
}

static int put_blocks(struct gw_qcow2 *q, const struct fresh *f, const struct tally *t, struct gw_error *err)
{
    GW_AUTOFREE uint8_t *room = malloc(q->cluster_bytes);
    uint64_t block = t->first / q->block_refs;
    int r = 0;

    if (!room)
        return gw_nomem(err, "refcount block");
    for (uint64_t i = 0; i < t->count && r >= 0; i += q->block_refs, block++) {
        memset(room, 0, q->cluster_bytes);
        for (uint64_t k = 0; k < GW_MIN(q->block_refs, t->count - i); k++) {
            if (t->uses[i + k] > q->ref_max)
                return gw_qcow2_bad(q, err,
                                    "the cluster at offset %" PRIu64 " is used %u times, more than a refcount holds",
                                    (t->first + i + k) << q->h.cluster_bits, t->uses[i + k]);
            gw_qcow2_bits_set(room, q->h.refcount_order, k, t->uses[i + k]);
        }
        r = gw_qcow2_put(q, room, q->cluster_bytes, (f->end + f->table + block) << q->h.cluster_bits, err);
    }
    return r;
}

static int count_again(struct gw_qcow2 *q, const struct fresh *f, struct gw_error *err)
{
    uint64_t all = f->end + f->table + f->blocks;
    GW_AUTOFREE uint32_t *uses = calloc(GW_MIN(all, WINDOW), sizeof *uses);
    struct gw_qcow2_report report = {0};
    struct gw_error own = GW_ERROR_INIT;
    int r = 0;

    if (!uses)
        return gw_nomem(err, "uses of clusters");
    for (uint64_t first = 0; first < all && r >= 0; first += WINDOW) {
        struct tally t = {uses, first, GW_MIN(WINDOW, all - first), &report, !first, true};

        memset(uses, 0, t.count * sizeof *uses);
        r = use_all(q, &t, &own);
        use(q, &t, f->end, f->table + f->blocks, NULL);
        if (r >= 0)
            r = put_blocks(q, f, &t, &own);
    }
    if (r < 0 && err)
        *err = own;
    return r;
}

static int switch_refcounts(struct gw_qcow2 *q, const struct fresh *f, struct gw_error *err)
{
    uint64_t entries = f->table * q->cluster_bytes / 8, *table = calloc(entries, 8);
    int r;

    if (!table)
        return gw_nomem(err, "refcount table");
    for (uint64_t b = 0; b < f->blocks; b++)
        table[b] = (f->end + f->table + b) << q->h.cluster_bits;
    r = gw_qcow2_table_write(q, table, entries, f->end << q->h.cluster_bits, err);
    if (r >= 0)
        r = gw_qcow2_barrier(q, err);
    if (r < 0) {
        free(table);
        return r;
    }
    for (uint64_t b = 0; b < q->reftable_entries; b++)
        if (q->reftable[b]) {
            gw_qcow2_cache_forget(q, &q->refs, q->reftable[b]);
            gw_qcow2_set_remove(&q->owned, q->reftable[b] >> q->h.cluster_bits);
        }
    for (uint64_t c = 0; c < q->h.reftable_clusters; c++)
        gw_qcow2_set_remove(&q->owned, (q->h.reftable_offset >> q->h.cluster_bits) + c);
    free(q->reftable);
    q->reftable = table;
    q->reftable_entries = entries;
    q->h.reftable_offset = f->end << q->h.cluster_bits;
    q->h.reftable_clusters = (uint32_t)f->table;
    q->reftable_from = UINT64_MAX;
    q->reftable_to = 0;
    q->hint = 0;
    q->high = f->end + f->table + f->blocks;
    q->virgin = q->high << q->h.cluster_bits;
    r = gw_qcow2_header_write(q, err);
    if (r >= 0)
        r = gw_qcow2_barrier(q, err);
    for (uint64_t c = f->end; c < q->high && r >= 0; c++)
        r = gw_qcow2_set_add(&q->owned, c, err);
    return r;
}

static int repair(struct gw_qcow2 *q, struct gw_error *err)
{
    struct fresh f;
    int r;

    plan(q, &f);
    if (f.table * q->cluster_bytes > GW_QCOW2_REFTABLE_MAX)
        return gw_fail(err, -EFBIG, GW_BLAME_LOCAL, "%s: the file is too large for a new refcount table", q->node.name);
    r = gw_qcow2_reach(q, (f.end + f.table + f.blocks) << q->h.cluster_bits, err);
    if (r >= 0)
        r = count_again(q, &f, err);
    if (r >= 0)
        r = switch_refcounts(q, &f, err);
    if (r >= 0)
        r = gw_qcow2_fix_copied(q, q->l1, q->h.l1_entries, false, err);
    if (r >= 0)
        r = gw_qcow2_settle(q, err);
    return r < 0 ? r : gw_qcow2_set_dirty(q, false, err);
}

/* The caller holds the lock, or is opening the image. */
int gw_qcow2_repair_locked(struct gw_qcow2 *q, struct gw_error *err)
{
    int r = repair(q, err);

    if (r < 0)
        gw_context(err, "%s: its clusters could not be counted again", q->node.name);
    return r;
}

int gw_qcow2_repair(struct gw_node *n, struct gw_error *err)
{
    struct gw_qcow2 *q = gw_qcow2_of(n);
    int r;

    if (n->read_only)
        return gw_fail(err, -EROFS, GW_BLAME_CALLER, "%s: it was opened read-only", n->name);
    pthread_mutex_lock(&q->lock);
    r = q->broken ? gw_qcow2_before_write(q, err) : gw_qcow2_settle(q, err);
    if (r >= 0)
        r = gw_qcow2_repair_locked(q, err);
    pthread_mutex_unlock(&q->lock);
    return r;
}

int gw_qcow2_set_dirty(struct gw_qcow2 *q, bool on, struct gw_error *err)
{
    uint64_t with = on ? q->h.incompatible | GW_QCOW2_DIRTY : q->h.incompatible & ~(uint64_t)GW_QCOW2_DIRTY;
    int r;

    if (q->h.version < 3 || with == q->h.incompatible)
        return 0;
    r = gw_qcow2_barrier(q, err);
    if (r < 0)
        return r;
    q->h.incompatible = with;
    r = gw_qcow2_header_write(q, err);
    return r < 0 ? r : gw_qcow2_barrier(q, err);
}
