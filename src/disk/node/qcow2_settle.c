/* SPDX-License-Identifier: MIT
 *
 * The order in which metadata is written to the disk:
 *
 *   1. counts (refcount blocks)
 *   2. the refcount table's entries for new blocks; the header, when the table has moved
 *   3. L2 tables, which show the data and the tables of step 1
 *   4. L1 entries, which show new L2 tables
 *   5. counts again: lower, for what nothing points to any more
 *
 * with a flush of the file between them where there was something to do. Data and new tables were written before.
 * Between steps each count is at least what the disk needs, so a writer may be killed anywhere.
 */
#include "disk/node/qcow2_inner.h"

static int put_entries(struct gw_qcow2 *q, const uint64_t *table, uint64_t from, uint64_t to, uint64_t offset,
                       struct gw_error *err)
{
    return gw_qcow2_table_write(q, table + from, to - from, offset + from * 8, err);
}

int gw_qcow2_table_write(struct gw_qcow2 *q, const uint64_t *table, uint64_t entries, uint64_t offset,
                         struct gw_error *err)
{
    uint8_t room[4096];
    int r = 0;

    for (uint64_t i = 0; i < entries && r >= 0;) {
        uint64_t n = GW_MIN(entries - i, sizeof room / 8);

        for (uint64_t k = 0; k < n; k++)
            gw_store_be64(room + 8 * k, table[i + k]);
        r = gw_qcow2_put(q, room, 8 * n, offset + 8 * i, err);
        i += n;
    }
    return r;
}

int gw_qcow2_table_read(struct gw_qcow2 *q, uint64_t offset, uint64_t entries, const char *what, uint64_t **ret,
                        struct gw_error *err)
{
    uint64_t *table;
    int r;

    if ((offset & (q->cluster_bytes - 1)) || offset > q->file->bytes || entries * 8 > q->file->bytes - offset)
        return gw_qcow2_bad(q, err, "the %s of %" PRIu64 " entries at offset %" PRIu64 " is not in the file", what,
                            entries, offset);
    table = malloc(GW_MAX(entries, 1) * 8);
    if (!table)
        return gw_nomem(err, what);
    r = gw_qcow2_get(q, table, entries * 8, offset, err);
    if (r < 0) {
        free(table);
        return r;
    }
    for (uint64_t i = 0; i < entries; i++)
        table[i] = be64toh(table[i]);
    *ret = table;
    return 0;
}

/* The table is written completely at its new place before the header points to it. */
static int move_reftable(struct gw_qcow2 *q, struct gw_error *err)
{
    uint64_t old = q->h.reftable_offset, old_clusters = q->h.reftable_clusters;
    int r = gw_qcow2_table_write(q, q->reftable, q->reftable_entries, q->reftable_next, err);

    if (r >= 0)
        r = gw_qcow2_barrier(q, err);
    if (r < 0)
        return r;
    q->h.reftable_offset = q->reftable_next;
    q->h.reftable_clusters = (uint32_t)(q->reftable_entries * 8 / q->cluster_bytes);
    r = gw_qcow2_header_write(q, err);
    if (r >= 0)
        r = gw_qcow2_barrier(q, err);
    if (r < 0) { /* the next attempt writes both again */
        q->h.reftable_offset = old;
        q->h.reftable_clusters = (uint32_t)old_clusters;
        return r;
    }
    q->reftable_next = 0;
    gw_qcow2_free_later(q, old >> q->h.cluster_bits, old_clusters, false);
    return 0;
}

static int write_counts(struct gw_qcow2 *q, struct gw_error *err)
{
    int r = gw_qcow2_cache_write(q, &q->refs, err);

    if (r < 0 || (q->reftable_from >= q->reftable_to && !q->reftable_next))
        return r;
    r = gw_qcow2_barrier(q, err);
    if (r < 0)
        return r;
    r = q->reftable_next ? move_reftable(q, err)
                         : put_entries(q, q->reftable, q->reftable_from, q->reftable_to, q->h.reftable_offset, err);
    if (r < 0)
        return r;
    q->reftable_from = UINT64_MAX;
    q->reftable_to = 0;
    return 0;
}

int gw_qcow2_write_back(struct gw_qcow2 *q, struct gw_error *err)
{
    int r = write_counts(q, err);

    if (r < 0 || (!q->l2.dirty && q->l1_from >= q->l1_to))
        return r;
    r = gw_qcow2_barrier(q, err);
    if (r >= 0)
        r = gw_qcow2_cache_write(q, &q->l2, err);
    if (r < 0 || q->l1_from >= q->l1_to)
        return r;
    r = gw_qcow2_barrier(q, err);
    if (r >= 0)
        r = put_entries(q, q->l1, q->l1_from, q->l1_to, q->h.l1_offset, err);
    if (r < 0)
        return r;
    q->l1_from = UINT32_MAX;
    q->l1_to = 0;
    return 0;
}

int gw_qcow2_write_through(struct gw_qcow2 *q, struct gw_error *err)
{
    int r = gw_qcow2_write_back(q, err);

    return r < 0 ? r : gw_qcow2_barrier(q, err);
}

/* ---- freeing ----------------------------------------------------------------------------------------------------- */

void gw_qcow2_free_later(struct gw_qcow2 *q, uint64_t first, uint64_t count, bool punch)
{
    struct gw_qcow2_freed *last = q->freed_count ? &q->freed[q->freed_count - 1] : NULL;

    if (!count)
        return;
    if (last && last->first + last->count == first && last->punch == punch)
        last->count += count;
    else if (q->freed_count < GW_QCOW2_FREED_MAX)
        q->freed[q->freed_count++] = (struct gw_qcow2_freed){first, count, punch};
    /* not reached: callers reserve room; else the clusters would leak */
}

/* Waits until all threads that looked up a place before now have left. */
static void await_epoch(struct gw_qcow2 *q)
{
    unsigned old = q->epoch;

    q->epoch ^= 1;
    while (q->inside[old])
        pthread_cond_wait(&q->changed, &q->lock);
}

unsigned gw_qcow2_enter(struct gw_qcow2 *q)
{
    q->inside[q->epoch]++;
    return q->epoch;
}

void gw_qcow2_leave(struct gw_qcow2 *q, unsigned epoch)
{
    pthread_mutex_lock(&q->lock);
    if (!--q->inside[epoch])
        pthread_cond_broadcast(&q->changed);
    pthread_mutex_unlock(&q->lock);
}

/* Returns the space of free clusters to the file system, if they are still free. */
static void punch(struct gw_qcow2 *q, const struct gw_qcow2_freed *f)
{
    uint64_t n = 1, from = f->first << q->h.cluster_bits, bytes = f->count << q->h.cluster_bits;

    for (uint64_t i = 0; i < f->count; i++)
        if (gw_qcow2_ref_get(q, f->first + i, &n, NULL) < 0 || n)
            return;
    if (from >= q->file->bytes)
        return;
    pthread_rwlock_rdlock(&q->growth);
    gw_node_discard(q->file, GW_MIN(bytes, q->file->bytes - from), from, NULL);
    pthread_rwlock_unlock(&q->growth);
}

static int reap(struct gw_qcow2 *q, struct gw_error *err)
{
    struct gw_qcow2_freed *list = malloc(sizeof q->freed);
    unsigned count = q->freed_count;
    int r = 0;

    if (!list)
        return gw_nomem(err, "freed clusters");
    memcpy(list, q->freed, count * sizeof *list);
    q->freed_count = 0;
    q->reaping = true;
    await_epoch(q);
    gw_qcow2_unpack_forget(q);
    for (unsigned i = 0; i < count && r >= 0; i++) {
        r = gw_qcow2_ref_add(q, list[i].first, list[i].count, -1, err);
        if (r >= 0 && list[i].punch)
            punch(q, &list[i]);
    }
    q->reaping = false;
    pthread_cond_broadcast(&q->changed);
    free(list);
    return r;
}

int gw_qcow2_settle(struct gw_qcow2 *q, struct gw_error *err)
{
    int r;

    while (q->reaping)
        pthread_cond_wait(&q->changed, &q->lock);
    r = gw_qcow2_write_back(q, err);
    if (r < 0 || !q->freed_count)
        return r;
    r = gw_qcow2_barrier(q, err);
    if (r >= 0)
        r = reap(q, err);
    return r < 0 ? r : gw_qcow2_cache_write(q, &q->refs, err);
}

int gw_qcow2_make_room(struct gw_qcow2 *q, unsigned calls, struct gw_error *err)
{
    while (q->reaping)
        pthread_cond_wait(&q->changed, &q->lock);
    return q->freed_count + calls + 8 > GW_QCOW2_FREED_MAX ? gw_qcow2_settle(q, err) : 0;
}
