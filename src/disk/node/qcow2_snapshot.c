/* SPDX-License-Identifier: MIT
 *
 * Internal snapshots: taken, applied, deleted.
 *
 * An L1 table counts each cluster that it leads to, through shared L2 tables too. Refcounts and flags in the tables
 * cannot change atomically, so the dirty bit is set meanwhile. Flags are cleared before counts rise and set after they
 * fall, so that a crash in version 2, which has no dirty bit, costs an unnecessary copy at most.
 */
#include "disk/node/qcow2_inner.h"

#include <limits.h>
#include <stdio.h>

unsigned gw_qcow2_snapshots(struct gw_node *n, const struct gw_qcow2_snapshot **ret)
{
    struct gw_qcow2 *q = gw_qcow2_of(n);

    *ret = q->snapshots;
    return q->h.snapshots;
}

int gw_qcow2_snapshot_look(struct gw_node *n, unsigned i, void (*f)(void *opaque, const struct gw_qcow2_snapshot *s), void *opaque)
{
    struct gw_qcow2 *q = gw_qcow2_of(n);
    bool there;

    pthread_mutex_lock(&q->lock);
    there = i < q->h.snapshots;
    if (there)
        f(opaque, &q->snapshots[i]);
    pthread_mutex_unlock(&q->lock);
    return there ? 0 : -ENOENT;
}

int gw_qcow2_snapshot_find(struct gw_node *n, const char *what, unsigned *ret, struct gw_error *err)
{
    const struct gw_qcow2 *q = gw_qcow2_of(n);

    for (unsigned by_name = 0; by_name < 2; by_name++)
        for (unsigned i = 0; i < q->h.snapshots; i++)
            if (!strcmp(by_name ? q->snapshots[i].name : q->snapshots[i].id, what)) {
                *ret = i;
                return 0;
            }
    return gw_fail(err, -ENOENT, GW_BLAME_CALLER, "%s: there is no snapshot %s", n->name, what);
}

/* ---- counts ------------------------------------------------------------------------------------------------------ */

static int can_rise(struct gw_qcow2 *q, void *opaque, uint64_t first, uint64_t count, struct gw_error *err)
{
    if (!count)
        return -EPROTO;
    for (uint64_t i = 0; i < count; i++) {
        uint64_t n = 0;
        int r = gw_qcow2_ref_get(q, first + i, &n, err);

        if (r < 0)
            return r;
        /* Twice is not more than once for those that are not packed; packed ones share clusters. */
        if (n + 1 > q->ref_max || n == UINT64_MAX)
            return gw_fail(err, -EOVERFLOW, GW_BLAME_LOCAL,
                           "%s: the refcounts of %u bits are too narrow for another snapshot", q->node.name,
                           1u << q->h.refcount_order);
    }
    return 0;
}

/* Checks before any change that all tables can be read. */
static int readable(struct gw_qcow2 *q, void *opaque, uint64_t first, uint64_t count, struct gw_error *err)
{
    return count ? 0 : -EPROTO;
}

static int rise(struct gw_qcow2 *q, void *opaque, uint64_t first, uint64_t count, struct gw_error *err)
{
    return count ? gw_qcow2_ref_add(q, first, count, 1, err) : -EPROTO;
}

static int fall(struct gw_qcow2 *q, void *opaque, uint64_t first, uint64_t count, struct gw_error *err)
{
    return count ? gw_qcow2_ref_add(q, first, count, -1, err) : -EPROTO;
}

/* Under the lock: writes all metadata to the disk; then it may be changed. */
static int begin(struct gw_qcow2 *q, struct gw_error *err)
{
    int r = gw_qcow2_before_write(q, err);

    if (r >= 0)
        r = gw_qcow2_settle(q, err);
    return r < 0 ? r : gw_qcow2_barrier(q, err);
}

static int changing(struct gw_node *n, struct gw_error *err)
{
    if (n->read_only)
        return gw_fail(err, -EROFS, GW_BLAME_CALLER, "%s: it was opened read-only", n->name);
    return 0;
}

/* ---- taking ------------------------------------------------------------------------------------------------------ */

static int new_id(const struct gw_qcow2 *q, const char *wanted, char **ret, struct gw_error *err)
{
    unsigned long long highest = 0;
    char number[24];

    for (unsigned i = 0; i < q->h.snapshots; i++) {
        unsigned long long id = strtoull(q->snapshots[i].id, NULL, 10);

        highest = id < ULLONG_MAX ? GW_MAX(highest, id) : highest;
        if (wanted && !strcmp(q->snapshots[i].id, wanted))
            return gw_fail(err, -EEXIST, GW_BLAME_CALLER, "%s: there is a snapshot %s already", q->node.name, wanted);
    }
    snprintf(number, sizeof number, "%llu", highest + 1);
    *ret = strdup(wanted ? wanted : number);
    return *ret ? 0 : gw_nomem(err, "snapshot");
}

static int describe(struct gw_qcow2 *q, const struct gw_qcow2_snapshot *from, struct gw_qcow2_snapshot *s,
                    struct gw_qcow2_shot *shot, struct gw_error *err)
{
    int r;

    if ((from->id && strlen(from->id) > UINT16_MAX) || strlen(from->name) > UINT16_MAX)
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "%s: the name of the snapshot is too long", q->node.name);
    *s = *from;
    s->id = s->name = NULL;
    s->disk_bytes = q->h.bytes;
    r = new_id(q, from->id, &s->id, err);
    if (r < 0)
        return r;
    s->name = strdup(from->name);
    shot->extra = calloc(1, 16);
    if (!s->name || !shot->extra)
        return gw_nomem(err, "snapshot");
    shot->extra_bytes = 16;
    shot->l1_entries = q->h.l1_entries;
    gw_store_be64(shot->extra, s->state_bytes);
    gw_store_be64(shot->extra + 8, s->disk_bytes);
    return 0;
}

/* The snapshot's own L1 table: a copy of the active one without COPIED flags. */
static int copy_l1(struct gw_qcow2 *q, struct gw_qcow2_shot *shot, struct gw_error *err)
{
    int r = gw_qcow2_alloc_table(q, GW_MAX(gw_qcow2_clusters(q, q->h.l1_entries * 8ull), 1), &shot->l1_offset, err);

    return r < 0 ? r : gw_qcow2_table_write(q, q->l1, q->h.l1_entries, shot->l1_offset, err);
}

static int take(struct gw_qcow2 *q, struct gw_qcow2_shot *shot, struct gw_error *err)
{
    int r = gw_qcow2_walk(q, q->l1, q->h.l1_entries, can_rise, NULL, err);

    if (r >= 0)
        r = gw_qcow2_set_dirty(q, true, err);
    if (r >= 0)
        r = gw_qcow2_fix_copied(q, q->l1, q->h.l1_entries, true, err);
    if (r >= 0)
        r = gw_qcow2_write_through(q, err);
    if (r >= 0)
        r = gw_qcow2_walk(q, q->l1, q->h.l1_entries, rise, NULL, err);
    return r < 0 ? r : copy_l1(q, shot, err);
}

/* Adds a snapshot to the lists in memory and on the disk. */
static int append(struct gw_qcow2 *q, const struct gw_qcow2_snapshot *s, const struct gw_qcow2_shot *shot,
                  struct gw_error *err)
{
    unsigned n = q->h.snapshots;
    struct gw_qcow2_snapshot *list = realloc(q->snapshots, (n + 1) * sizeof *list);
    struct gw_qcow2_shot *shots;
    int r;

    if (list)
        q->snapshots = list;
    shots = realloc(q->shots, (n + 1) * sizeof *shots);
    if (shots)
        q->shots = shots;
    if (!list || !shots)
        return gw_nomem(err, "snapshots");
    list[n] = *s;
    shots[n] = *shot;
    r = gw_qcow2_snapshots_store(q, list, shots, n + 1, err);
    if (r >= 0)
        q->h.snapshots = n + 1;
    return r;
}

/* Sets flags from refcounts, and ends the change. */
static int finish(struct gw_qcow2 *q, struct gw_error *err)
{
    int r = gw_qcow2_settle(q, err);

    if (r >= 0)
        r = gw_qcow2_barrier(q, err);
    if (r >= 0)
        r = gw_qcow2_fix_copied(q, q->l1, q->h.l1_entries, false, err);
    if (r >= 0)
        r = gw_qcow2_settle(q, err);
    return r < 0 ? r : gw_qcow2_set_dirty(q, false, err);
}

int gw_qcow2_snapshot_create(struct gw_node *n, const struct gw_qcow2_snapshot *snapshot, struct gw_error *err)
{
    struct gw_qcow2 *q = gw_qcow2_of(n);
    struct gw_qcow2_snapshot s = {0};
    struct gw_qcow2_shot shot = {0};
    int r = changing(n, err);

    if (r < 0)
        return r;
    pthread_mutex_lock(&q->lock);
    r = begin(q, err);
    if (r >= 0)
        r = describe(q, snapshot, &s, &shot, err);
    if (r >= 0)
        r = take(q, &shot, err);
    if (r >= 0)
        r = append(q, &s, &shot, err);
    pthread_mutex_unlock(&q->lock);
    if (r < 0) {
        free(s.id);
        free(s.name);
        free(shot.extra);
        return r;
    }
    r = gw_qcow2_state_drop(n, err); /* the state belongs to the snapshot now */
    pthread_mutex_lock(&q->lock);
    if (r >= 0)
        r = finish(q, err);
    pthread_mutex_unlock(&q->lock);
    return r;
}

/* ---- applying and deleting --------------------------------------------------------------------------------------- */

static int index_ok(const struct gw_qcow2 *q, unsigned index, struct gw_error *err)
{
    if (index < q->h.snapshots)
        return 0;
    return gw_fail(err, -ENOENT, GW_BLAME_CALLER, "%s: there is no snapshot %u, it has %u", q->node.name, index,
                   q->h.snapshots);
}

/* Loads the snapshot's L1 table for use as the active one: at least as long as the disk needs. */
static int load_l1(struct gw_qcow2 *q, unsigned index, uint64_t **ret, uint32_t *ret_entries, struct gw_error *err)
{
    const struct gw_qcow2_shot *shot = &q->shots[index];
    uint64_t bytes = q->snapshots[index].disk_bytes, table_bytes = (uint64_t)q->l2_entries << q->h.cluster_bits;
    uint64_t needed = GW_MAX(GW_MAX(gw_div_up(bytes, table_bytes), shot->l1_entries), 1), *more;
    int r;

    if (bytes > 1ull << 62 || needed > GW_QCOW2_L1_MAX / 8)
        return gw_qcow2_bad(q, err, "snapshot %s has a disk of %" PRIu64 " bytes", q->snapshots[index].id, bytes);
    r = gw_qcow2_table_read(q, shot->l1_offset, shot->l1_entries, "L1 table of a snapshot", ret, err);
    if (r < 0)
        return r;
    more = realloc(*ret, needed * 8);
    if (!more) {
        free(*ret);
        return gw_nomem(err, "L1 table");
    }
    memset(more + shot->l1_entries, 0, (needed - shot->l1_entries) * 8);
    *ret = more;
    *ret_entries = (uint32_t)needed;
    return 0;
}

/* l1 becomes the active table; old_l1 is the previous one. */
static int apply(struct gw_qcow2 *q, uint64_t *take_l1, uint32_t entries, uint64_t bytes, struct gw_error *err)
{
    uint32_t old_entries = q->h.l1_entries;
    GW_AUTOFREE uint64_t *old_l1 = malloc(GW_MAX(old_entries, 1) * 8);
    int r = old_l1 ? 0 : gw_nomem(err, "L1 table");

    if (r >= 0) {
        memcpy(old_l1, q->l1, old_entries * 8ull);
        r = gw_qcow2_walk(q, take_l1, entries, can_rise, NULL, err);
    }
    if (r >= 0)
        r = gw_qcow2_walk(q, old_l1, old_entries, readable, NULL, err);
    if (r >= 0)
        r = gw_qcow2_set_dirty(q, true, err);
    if (r >= 0)
        r = gw_qcow2_fix_copied(q, take_l1, entries, true, err);
    if (r >= 0)
        r = gw_qcow2_write_through(q, err);
    if (r >= 0)
        r = gw_qcow2_walk(q, take_l1, entries, rise, NULL, err);
    if (r < 0) {
        free(take_l1);
        return r;
    }
    r = gw_qcow2_l1_switch(q, take_l1, entries, bytes, err);
    if (r >= 0)
        r = gw_qcow2_walk(q, old_l1, old_entries, fall, NULL, err);
    return r < 0 ? r : finish(q, err);
}

int gw_qcow2_snapshot_apply(struct gw_node *n, unsigned index, struct gw_error *err)
{
    struct gw_qcow2 *q = gw_qcow2_of(n);
    uint32_t entries = 0;
    uint64_t *l1 = NULL;
    int r = changing(n, err);

    if (r >= 0)
        r = index_ok(q, index, err);
    if (r < 0)
        return r;
    pthread_mutex_lock(&q->lock);
    r = begin(q, err);
    if (r >= 0 && q->snapshots[index].disk_bytes != n->bytes && (q->h.autoclear & GW_QCOW2_BITMAPS_OK))
        r = gw_fail(err, -ENOTSUP, GW_BLAME_CALLER,
                    "%s: the disk was %" PRIu64
                    " bytes long in snapshot %s, and the image has bitmaps of its length now",
                    n->name, q->snapshots[index].disk_bytes, q->snapshots[index].id);
    if (r >= 0)
        r = load_l1(q, index, &l1, &entries, err);
    if (r >= 0)
        r = apply(q, l1, entries, q->snapshots[index].disk_bytes, err);
    pthread_mutex_unlock(&q->lock);
    return r;
}

static int forget(struct gw_qcow2 *q, unsigned index, struct gw_error *err)
{
    unsigned left = q->h.snapshots - 1;
    struct gw_qcow2_snapshot *list = malloc(GW_MAX(left, 1) * sizeof *list), gone = q->snapshots[index];
    struct gw_qcow2_shot *shots = malloc(GW_MAX(left, 1) * sizeof *shots), gone_shot = q->shots[index];
    int r = list && shots ? 0 : gw_nomem(err, "snapshots");

    for (unsigned i = 0; i < left && r >= 0; i++) {
        list[i] = q->snapshots[i + (i >= index)];
        shots[i] = q->shots[i + (i >= index)];
    }
    if (r >= 0)
        r = gw_qcow2_snapshots_store(q, list, shots, left, err);
    if (r < 0) {
        free(list);
        free(shots);
        return r;
    }
    free(gone.id);
    free(gone.name);
    free(gone_shot.extra);
    free(q->snapshots);
    free(q->shots);
    q->snapshots = list;
    q->shots = shots;
    q->h.snapshots = left;
    return 0;
}

int gw_qcow2_snapshot_delete(struct gw_node *n, unsigned index, struct gw_error *err)
{
    struct gw_qcow2 *q = gw_qcow2_of(n);
    GW_AUTOFREE uint64_t *l1 = NULL;
    struct gw_qcow2_shot shot;
    int r = changing(n, err);

    if (r >= 0)
        r = index_ok(q, index, err);
    if (r < 0)
        return r;
    pthread_mutex_lock(&q->lock);
    shot = q->shots[index];
    r = begin(q, err);
    if (r >= 0)
        r = gw_qcow2_table_read(q, shot.l1_offset, shot.l1_entries, "L1 table of a snapshot", &l1, err);
    if (r >= 0)
        r = gw_qcow2_walk(q, l1, shot.l1_entries, readable, NULL, err);
    if (r >= 0)
        r = gw_qcow2_set_dirty(q, true, err);
    if (r >= 0)
        r = forget(q, index, err);
    if (r >= 0)
        r = gw_qcow2_walk(q, l1, shot.l1_entries, fall, NULL, err);
    if (r >= 0)
        r = gw_qcow2_ref_add(q, shot.l1_offset >> q->h.cluster_bits, gw_qcow2_clusters(q, shot.l1_entries * 8ull), -1,
                             err);
    if (r >= 0)
        r = finish(q, err);
    pthread_mutex_unlock(&q->lock);
    return r;
}
