/* SPDX-License-Identifier: MIT
 *
 * Opens an image as a node, and closes it.
 */
#include "disk/node/qcow2_inner.h"

#define L2_CACHE_BYTES  (4u << 20)
#define REF_CACHE_BYTES (1u << 20)

static int node_read(struct gw_node *n, void *to, uint64_t bytes, uint64_t offset, struct gw_error *err)
{
    return gw_qcow2_read_at(gw_qcow2_of(n), to, bytes, offset, err);
}

static int node_flush(struct gw_node *n, struct gw_error *err)
{
    struct gw_qcow2 *q = gw_qcow2_of(n);
    int r;

    pthread_mutex_lock(&q->lock);
    r = q->broken ? 0 : gw_qcow2_settle(q, err);
    pthread_mutex_unlock(&q->lock);
    if (atomic_load(&q->lent))
        atomic_store(&q->unflushed, true);
    return r < 0 ? r : gw_qcow2_barrier(q, err);
}

static int durable(struct gw_node *n, int r, unsigned flags, struct gw_error *err)
{
    return r < 0 || !(flags & GW_NODE_DURABLE) ? r : node_flush(n, err);
}

static int node_write(struct gw_node *n, const void *from, uint64_t bytes, uint64_t offset, unsigned flags,
                      struct gw_error *err)
{
    return durable(n, gw_qcow2_write_at(gw_qcow2_of(n), from, bytes, offset, err), flags, err);
}

static int node_zero(struct gw_node *n, uint64_t bytes, uint64_t offset, unsigned flags, struct gw_error *err)
{
    return durable(n, gw_qcow2_zero_at(gw_qcow2_of(n), bytes, offset, flags, err), flags, err);
}

/* ---- closing ----------------------------------------------------------------------------------------------------- */

/* Frees everything that was read from the file. */
static void unload(struct gw_qcow2 *q)
{
    gw_qcow2_snapshots_free(q);
    gw_qcow2_header_free(&q->h);
    gw_qcow2_cache_done(&q->l2);
    gw_qcow2_cache_done(&q->refs);
    free(q->l1);
    free(q->reftable);
    free(q->owned.keys);
    free(q->packed);
    free(q->packed_from);
    q->l1 = q->reftable = NULL;
    q->owned = (struct gw_qcow2_set){0};
    q->packed = q->packed_from = NULL;
    q->packed_entry = q->hint = q->reftable_next = 0;
    q->l1_to = 0;
    q->reftable_to = 0;
    q->freed_count = 0;
    q->broken = q->told_bitmaps = false;
}

static void drop(struct gw_qcow2 *q)
{
    unload(q);
    pthread_mutex_destroy(&q->packed_lock);
    pthread_mutex_destroy(&q->lock);
    pthread_cond_destroy(&q->changed);
    pthread_rwlock_destroy(&q->growth);
}

/* Cuts off the unused growth of the file. Freed clusters at the end stay. */
static void trim(struct gw_qcow2 *q)
{
    uint64_t end = q->high << q->h.cluster_bits;

    if (end < q->file->bytes)
        gw_node_resize(q->file, end, NULL);
}

static int node_free(struct gw_node *n, struct gw_error *err)
{
    struct gw_qcow2 *q = gw_qcow2_of(n);
    struct gw_node *file = q->file;
    int r = 0, f;

    if (!n->read_only && !n->inactive && q->l1) {
        r = node_flush(n, err);
        if (r >= 0 && !q->broken)
            trim(q);
    }
    drop(q);
    f = gw_node_free(file, r < 0 ? NULL : err);
    r = r < 0 ? r : f;
    f = gw_node_done(n, r < 0 ? NULL : err);
    r = r < 0 ? r : f;
    free(q);
    return r;
}

static int node_activate(struct gw_node *n, bool active, struct gw_error *err);

static const struct gw_node_ops ops = {
    .format = "qcow2",
    .read = node_read,
    .write = node_write,
    .zero = node_zero,
    .discard = gw_qcow2_discard,
    .find = gw_qcow2_find,
    .flush = node_flush,
    .resize = gw_qcow2_resize,
    .activate = node_activate,
    .free = node_free,
};

/* ---- opening ----------------------------------------------------------------------------------------------------- */

static void set_sizes(struct gw_qcow2 *q)
{
    q->cluster_bytes = 1u << q->h.cluster_bits;
    q->entry_bytes = q->h.incompatible & GW_QCOW2_EXTENDED_L2 ? 16 : 8;
    q->l2_entries = q->cluster_bytes / q->entry_bytes;
    q->block_refs = q->cluster_bytes * 8ull >> q->h.refcount_order;
    q->ref_max = q->h.refcount_order == 6 ? UINT64_MAX : (1ull << (1u << q->h.refcount_order)) - 1;
    q->node.bytes = q->h.bytes;
    q->node.cluster_bytes = q->cluster_bytes;
    q->high = gw_qcow2_file_clusters(q);
    q->virgin = q->high << q->h.cluster_bits;
    q->l1_from = UINT32_MAX;
    q->reftable_from = UINT64_MAX;
}

static int may_write(const struct gw_qcow2 *q, struct gw_error *err)
{
    if (q->h.incompatible & GW_QCOW2_CORRUPT)
        return gw_fail(
            err, -EROFS, GW_BLAME_LOCAL,
            "%s: the image is marked as corrupt: open it read-only, or repair it with `qemu-img check -r all`",
            q->node.name);
    if (q->entry_bytes == 16)
        return gw_fail(err, -ENOTSUP, GW_BLAME_LOCAL,
                       "%s: the image has subclusters (extended L2 entries), and can only be opened read-only",
                       q->node.name);
    if (q->file->read_only)
        return gw_fail(err, -EROFS, GW_BLAME_CALLER, "%s: its file was opened read-only", q->node.name);
    return 0;
}

static int load_tables(struct gw_qcow2 *q, struct gw_error *err)
{
    int r = gw_qcow2_cache_init(&q->l2, q->cluster_bytes, L2_CACHE_BYTES, err);

    if (r >= 0)
        r = gw_qcow2_cache_init(&q->refs, q->cluster_bytes, REF_CACHE_BYTES, err);
    if (r >= 0)
        r = gw_qcow2_table_read(q, q->h.l1_offset, q->h.l1_entries, "L1 table", &q->l1, err);
    q->reftable_entries = q->h.reftable_clusters * (uint64_t)q->cluster_bytes / 8;
    if (r >= 0)
        r = gw_qcow2_table_read(q, q->h.reftable_offset, q->reftable_entries, "refcount table", &q->reftable, err);
    return r < 0 ? r : gw_qcow2_snapshots_load(q, err);
}

int gw_qcow2_own(struct gw_qcow2 *q, uint64_t offset, uint64_t bytes, const char *what, struct gw_error *err)
{
    uint64_t first = offset >> q->h.cluster_bits, count = gw_qcow2_clusters(q, bytes);

    if ((offset & (q->cluster_bytes - 1)) || first > gw_qcow2_file_clusters(q) ||
        count > gw_qcow2_file_clusters(q) - first)
        return gw_qcow2_corrupt(q, err, "the %s at offset %" PRIu64 " is not in the file", what, offset);
    for (uint64_t i = 0; i < count; i++) {
        int r = gw_qcow2_set_add(&q->owned, first + i, err);

        if (r < 0)
            return r;
        if (r)
            return gw_qcow2_corrupt(q, err, "the %s lies over another table of the image at offset %" PRIu64, what,
                                    (first + i) << q->h.cluster_bits);
    }
    return 0;
}

/* Registers all metadata that data must not overwrite. Overlapping tables are refused. */
static int own_tables(struct gw_qcow2 *q, struct gw_error *err)
{
    int r = gw_qcow2_own(q, 0, q->cluster_bytes, "header", err);

    if (r >= 0)
        r = gw_qcow2_own(q, q->h.reftable_offset, q->reftable_entries * 8, "refcount table", err);
    for (uint64_t i = 0; i < q->reftable_entries && r >= 0; i++)
        if (q->reftable[i])
            r = gw_qcow2_own(q, q->reftable[i], q->cluster_bytes, "refcount block", err);
    if (r >= 0)
        r = gw_qcow2_own(q, q->h.l1_offset, q->h.l1_entries * 8ull, "L1 table", err);
    for (uint64_t i = 0; i < q->h.l1_entries && r >= 0; i++)
        if (q->l1[i] & GW_QCOW2_OFFSET)
            r = gw_qcow2_own(q, q->l1[i] & GW_QCOW2_OFFSET, q->cluster_bytes, "L2 table", err);
    if (r >= 0 && q->h.snapshots)
        r = gw_qcow2_own(q, q->h.snapshots_offset, gw_qcow2_snapshots_bytes(q), "snapshot table", err);
    for (unsigned i = 0; i < q->h.snapshots && r >= 0; i++)
        if (q->shots[i].l1_entries)
            r = gw_qcow2_own(q, q->shots[i].l1_offset, q->shots[i].l1_entries * 8ull, "L1 table of a snapshot", err);
    return r < 0 ? r : gw_qcow2_bitmaps_own(q, err);
}

static int start_writing(struct gw_qcow2 *q, struct gw_error *err)
{
    int r = own_tables(q, err);

    if (r >= 0 && (q->h.autoclear & ~(uint64_t)GW_QCOW2_BITMAPS_OK)) {
        q->h.autoclear &= GW_QCOW2_BITMAPS_OK;
        r = gw_qcow2_header_write(q, err);
        if (r >= 0)
            r = gw_qcow2_barrier(q, err);
    }
    if (r >= 0 && (q->h.incompatible & GW_QCOW2_DIRTY))
        r = gw_qcow2_repair_locked(q, err);
    return r;
}

static int check_backing(const struct gw_qcow2 *q, const struct gw_node *backing, unsigned flags, struct gw_error *err)
{
    if (q->h.backing[0] && !backing && !(flags & GW_QCOW2_ALONE))
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "%s: it has a backing, %s, which was not opened", q->node.name,
                       q->h.backing);
    if (!q->h.backing[0] && backing)
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "%s: it has no backing, and %s was given for one", q->node.name,
                       backing->name);
    return 0;
}

static int new_locks(struct gw_qcow2 *q)
{
    pthread_rwlockattr_t attr;

    pthread_rwlockattr_init(&attr);
    pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    pthread_rwlock_init(&q->growth, &attr);
    pthread_rwlockattr_destroy(&attr);
    pthread_mutex_init(&q->lock, NULL);
    pthread_mutex_init(&q->packed_lock, NULL);
    pthread_cond_init(&q->changed, NULL);
    return 0;
}

/* Reads the length of the disk of an image that another program may be writing to. No other code uses the file's node
 * yet. */
static int look(struct gw_qcow2 *q, struct gw_error *err)
{
    bool inactive = q->file->inactive;
    int r;

    q->file->inactive = false; /* reading needs no lock */
    r = gw_qcow2_header_read(q->file, &q->h, err);
    q->file->inactive = inactive;
    if (r >= 0)
        set_sizes(q);
    return r;
}

static int load(struct gw_qcow2 *q, unsigned flags, struct gw_error *err)
{
    int r = check_backing(q, q->node.backing, flags, err);

    if (r >= 0 && !q->node.read_only)
        r = may_write(q, err);
    if (r >= 0)
        r = load_tables(q, err);
    if (r >= 0 && !q->node.read_only) {
        pthread_mutex_lock(&q->lock);
        r = start_writing(q, err);
        pthread_mutex_unlock(&q->lock);
    }
    return r;
}

/* Another owner may have changed the image meanwhile: all cached metadata is dropped. */
static int node_activate(struct gw_node *n, bool active, struct gw_error *err)
{
    struct gw_qcow2 *q = gw_qcow2_of(n);
    int r;

    if (!active) {
        if (!n->read_only && !q->broken)
            trim(q);
        return gw_node_inactivate(q->file, err);
    }
    r = gw_node_activate(q->file, err);
    if (r < 0)
        return r;
    unload(q);
    r = gw_qcow2_header_read(q->file, &q->h, err);
    if (r >= 0) {
        set_sizes(q);
        r = load(q, GW_QCOW2_ALONE, err);
    }
    if (r < 0)
        gw_node_inactivate(q->file, NULL);
    return r;
}

static int open_parts(struct gw_qcow2 *q, unsigned flags, struct gw_error *err)
{
    int r = look(q, err);

    if (r < 0)
        return r;
    q->node.read_only = flags & GW_QCOW2_READ_ONLY;
    q->node.inactive = flags & GW_QCOW2_INACTIVE;
    return q->node.inactive ? check_backing(q, q->node.backing, flags, err) : load(q, flags, err);
}

int gw_qcow2_open(struct gw_node *take_file, struct gw_node *take_backing, unsigned flags, struct gw_node **ret,
                  struct gw_error *err)
{
    struct gw_qcow2 *q = calloc(1, sizeof *q);
    int r;

    if (!q) {
        gw_node_free(take_file, NULL);
        gw_node_free(take_backing, NULL);
        return gw_nomem(err, "qcow2 image");
    }
    new_locks(q);
    q->file = take_file;
    r = gw_node_init(&q->node, &ops, take_file->name, err);
    q->node.backing = take_backing;
    if (r >= 0)
        r = open_parts(q, flags, err);
    if (r < 0) {
        drop(q);
        gw_node_free(take_file, NULL);
        gw_node_done(&q->node, NULL);
        free(q);
        return r;
    }
    *ret = &q->node;
    return 0;
}
