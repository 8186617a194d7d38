/* SPDX-License-Identifier: MIT
 *
 * Writes. Clusters that belong to the disk alone are written in place. Others get a new place: they are claimed,
 * allocated, written as a whole, and then entered in the L2 table; other writers of them wait meanwhile.
 */
#include "disk/node/qcow2_inner.h"

#define MOVE_MAX 64u /* clusters moved at once */

int gw_qcow2_before_write(struct gw_qcow2 *q, struct gw_error *err)
{
    if (q->broken)
        return gw_fail(err, -EROFS, GW_BLAME_LOCAL,
                       "%s: the image was found to be damaged, nothing is written to it any more", q->node.name);
    return q->told_bitmaps ? 0 : gw_qcow2_bitmaps_untracked(q, err);
}

int gw_qcow2_before_data(struct gw_qcow2 *q, uint64_t host, struct gw_error *err)
{
    if (!gw_qcow2_set_has(&q->owned, host >> q->h.cluster_bits))
        return 0;
    return gw_qcow2_corrupt(
        q, err, "data of the disk is said to be at offset %" PRIu64 ", where a table of the image is", host);
}

bool gw_qcow2_claimed(const struct gw_qcow2 *q, uint64_t first, uint64_t count)
{
    for (const struct gw_qcow2_claim *c = q->claims; c; c = c->next)
        if (c->first < first + count && first < c->first + c->count)
            return true;
    return false;
}

void gw_qcow2_await(struct gw_qcow2 *q, uint64_t first, uint64_t count)
{
    while (q->reaping || gw_qcow2_claimed(q, first, count))
        pthread_cond_wait(&q->changed, &q->lock);
}

int gw_qcow2_ready(struct gw_qcow2 *q, uint64_t cluster, struct gw_error *err)
{
    for (;;) {
        int r = gw_qcow2_make_room(q, 8, err);

        if (r < 0)
            return r;
        if (!q->reaping && !gw_qcow2_claimed(q, cluster, 1))
            return gw_qcow2_before_write(q, err);
        gw_qcow2_await(q, cluster, 1);
    }
}

static void claim(struct gw_qcow2 *q, struct gw_qcow2_claim *c)
{
    c->next = q->claims;
    q->claims = c;
}

static void unclaim(struct gw_qcow2 *q, struct gw_qcow2_claim *c)
{
    struct gw_qcow2_claim **at = &q->claims;

    while (*at != c)
        at = &(*at)->next;
    *at = c->next;
    pthread_cond_broadcast(&q->changed);
}

/* ---- in place ---------------------------------------------------------------------------------------------------- */

/* Under the lock, which is released. */
static int write_in_place(struct gw_qcow2 *q, const void *from, const struct gw_qcow2_run *run, struct gw_error *err)
{
    uint64_t end = run->host + run->bytes;
    unsigned epoch;
    int r = 0;

    for (uint64_t at = run->host; at < end && r >= 0; at = (at | (q->cluster_bytes - 1)) + 1)
        r = gw_qcow2_before_data(q, at, err);
    if (r >= 0)
        r = gw_qcow2_reach(q, end, err);
    if (r < 0) {
        pthread_mutex_unlock(&q->lock);
        return r;
    }
    epoch = gw_qcow2_enter(q);
    pthread_mutex_unlock(&q->lock);
    r = gw_qcow2_put(q, from, run->bytes, run->host, err);
    gw_qcow2_leave(q, epoch);
    return r;
}

/* ---- with a new place -------------------------------------------------------------------------------------------- */

struct move {
    struct gw_qcow2_claim claim;
    uint64_t host;  /* the new place of the clusters */
    bool kept_room; /* the room was reserved before: nothing is allocated */
    bool fresh;     /* the file reads as zeros there */
};

/* Finds room for the first of these clusters, as many as are of one kind. */
static int find_room(struct gw_qcow2 *q, const struct gw_qcow2_run *run, uint64_t clusters, struct move *m,
                     struct gw_error *err)
{
    uint64_t first, virgin = q->virgin;
    int r;

    m->kept_room = run->kind == GW_QCOW2_K_ZERO && run->host && run->copied;
    if (m->kept_room) {
        m->host = run->host;
        m->fresh = false;
        m->claim.count = clusters;
        for (uint64_t i = 0; i < clusters; i++) {
            r = gw_qcow2_before_data(q, m->host + (i << q->h.cluster_bits), err);
            if (r < 0)
                return r;
        }
        return gw_qcow2_reach(q, m->host + (clusters << q->h.cluster_bits), err);
    }
    r = gw_qcow2_alloc(q, clusters, &first, &m->claim.count, err);
    if (r < 0)
        return r;
    m->host = first << q->h.cluster_bits;
    m->fresh = m->host >= virgin;
    return 0;
}

/* Copies the old contents of a part of the clusters before or after the written part. */
static int fill(struct gw_qcow2 *q, const struct move *m, const struct gw_qcow2_run *old, uint64_t from, uint64_t to,
                struct gw_error *err)
{
    uint64_t start = m->claim.first << q->h.cluster_bits, host = m->host + (from - start);
    bool zeros = old->kind == GW_QCOW2_K_ZERO || (old->kind == GW_QCOW2_K_ABSENT && !q->node.backing);
    GW_AUTOFREE char *room = NULL;
    int r;

    if (from >= to)
        return 0;
    if (zeros)
        return m->fresh ? 0 : gw_qcow2_put_zeros(q, to - from, host, err);
    room = malloc(to - from);
    if (!room)
        return gw_nomem(err, "cluster of a qcow2 image");
    r = gw_qcow2_read_at(q, room, to - from, from, err);
    return r < 0 ? r : gw_qcow2_put(q, room, to - from, host, err);
}

static int copy_in(struct gw_qcow2 *q, const void *from, uint64_t bytes, uint64_t offset, const struct move *m,
                   const struct gw_qcow2_run *old, struct gw_error *err)
{
    uint64_t start = m->claim.first << q->h.cluster_bits, end = start + (m->claim.count << q->h.cluster_bits);
    int r = fill(q, m, old, start, offset, err);

    if (r >= 0)
        r = gw_qcow2_put(q, from, bytes, m->host + (offset - start), err);
    return r < 0 ? r : fill(q, m, old, offset + bytes, end, err);
}

/* Enters the new place in the table; frees the old one. */
static int show(struct gw_qcow2 *q, const struct move *m, struct gw_error *err)
{
    for (uint64_t i = 0; i < m->claim.count; i++) {
        uint64_t old, parts, first, count;
        int r = gw_qcow2_make_room(q, 4, err);

        if (r >= 0)
            r = gw_qcow2_entry(q, m->claim.first + i, &old, &parts, err);
        if (r >= 0)
            r = gw_qcow2_set_entry(q, m->claim.first + i, (m->host + (i << q->h.cluster_bits)) | GW_QCOW2_COPIED, err);
        if (r < 0) {
            if (!m->kept_room)
                gw_qcow2_ref_add(q, (m->host >> q->h.cluster_bits) + i, m->claim.count - i, -1, NULL);
            return r;
        }
        gw_qcow2_entry_span(q, old, &first, &count);
        if (!m->kept_room)
            gw_qcow2_free_later(q, first, count, false);
    }
    return 0;
}

/* Under the lock, which is released. bytes is set to the number written. */
static int write_moved(struct gw_qcow2 *q, const void *from, uint64_t *bytes, uint64_t offset,
                       const struct gw_qcow2_run *run, struct gw_error *err)
{
    unsigned bits = q->h.cluster_bits;
    uint64_t first = offset >> bits, in = offset & (q->cluster_bytes - 1), clusters, room;
    struct move m = {.claim = {.first = first}};
    struct gw_qcow2_run old = *run;
    int r;

    clusters = GW_MIN(gw_qcow2_clusters(q, in + run->bytes), MOVE_MAX);
    old.host -= old.kind == GW_QCOW2_K_DATA ? in : 0;
    r = gw_qcow2_own_table(q, first, err);
    if (r >= 0)
        r = find_room(q, &old, clusters, &m, err);
    if (r < 0) {
        pthread_mutex_unlock(&q->lock);
        return r;
    }
    claim(q, &m.claim);
    pthread_mutex_unlock(&q->lock);
    room = (m.claim.count << bits) - in;
    *bytes = GW_MIN(GW_MIN(*bytes, run->bytes), room);
    r = copy_in(q, from, *bytes, offset, &m, &old, err);
    pthread_mutex_lock(&q->lock);
    if (r >= 0)
        r = show(q, &m, err);
    else if (!m.kept_room)
        gw_qcow2_ref_add(q, m.host >> bits, m.claim.count, -1, NULL);
    unclaim(q, &m.claim);
    pthread_mutex_unlock(&q->lock);
    return r;
}

/* The number of clusters at the start of the range that no thread moves. */
static uint64_t unclaimed(const struct gw_qcow2 *q, uint64_t offset, uint64_t bytes)
{
    uint64_t first = offset >> q->h.cluster_bits,
             end = first + gw_qcow2_clusters(q, (offset & (q->cluster_bytes - 1)) + bytes);

    for (const struct gw_qcow2_claim *c = q->claims; c; c = c->next)
        if (c->first > first && c->first < end)
            end = c->first;
    return GW_MIN(bytes, (end << q->h.cluster_bits) - offset);
}

int gw_qcow2_write_at(struct gw_qcow2 *q, const void *from, uint64_t bytes, uint64_t offset, struct gw_error *err)
{
    const char *at = from;

    while (bytes) {
        struct gw_qcow2_run run;
        uint64_t done;
        int r;

        pthread_mutex_lock(&q->lock);
        r = gw_qcow2_ready(q, offset >> q->h.cluster_bits, err);
        if (r >= 0)
            r = gw_qcow2_lookup(q, offset, bytes, &run, err);
        if (r < 0) {
            pthread_mutex_unlock(&q->lock);
            return r;
        }
        done = run.bytes = unclaimed(q, offset, run.bytes);
        r = run.kind == GW_QCOW2_K_DATA && run.copied ? write_in_place(q, at, &run, err)
                                                      : write_moved(q, at, &done, offset, &run, err);
        if (r < 0)
            return r;
        at += done;
        offset += done;
        bytes -= done;
    }
    return 0;
}
