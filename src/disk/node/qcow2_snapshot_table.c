/* SPDX-License-Identifier: MIT
 *
 * The table of internal snapshots. Unknown extra data is kept.
 */
#include "disk/node/qcow2_inner.h"

#define FIXED      40u
#define EXTRA_MAX  1024u
#define EXTRA_OURS 16u /* size of the machine's state, length of the disk */

void gw_qcow2_snapshots_free(struct gw_qcow2 *q)
{
    for (unsigned i = 0; q->snapshots && i < q->h.snapshots; i++) {
        free(q->snapshots[i].id);
        free(q->snapshots[i].name);
        free(q->shots[i].extra);
    }
    free(q->snapshots);
    free(q->shots);
    q->snapshots = NULL;
    q->shots = NULL;
}

static uint64_t entry_bytes(const struct gw_qcow2_snapshot *s, const struct gw_qcow2_shot *shot)
{
    return (FIXED + shot->extra_bytes + strlen(s->id) + strlen(s->name) + 7) & ~7ull;
}

static uint64_t table_bytes(const struct gw_qcow2_snapshot *list, const struct gw_qcow2_shot *shots, unsigned count)
{
    uint64_t bytes = 0;

    for (unsigned i = 0; i < count; i++)
        bytes += entry_bytes(&list[i], &shots[i]);
    return bytes;
}

uint64_t gw_qcow2_snapshots_bytes(const struct gw_qcow2 *q)
{
    return table_bytes(q->snapshots, q->shots, q->h.snapshots);
}

/* ---- reading ----------------------------------------------------------------------------------------------------- */

static int text(struct gw_qcow2 *q, uint64_t offset, size_t bytes, char **ret, struct gw_error *err)
{
    int r;

    *ret = calloc(1, bytes + 1);
    if (!*ret)
        return gw_nomem(err, "name of a snapshot");
    r = gw_qcow2_get(q, *ret, bytes, offset, err);
    if (r >= 0 && strlen(*ret) != bytes)
        return gw_qcow2_bad(q, err, "the ID or name of a snapshot, at offset %" PRIu64 ", has a zero in it", offset);
    return r;
}

static int check(struct gw_qcow2 *q, const struct gw_qcow2_shot *shot, unsigned i, struct gw_error *err)
{
    uint64_t bytes = shot->l1_entries * 8ull;

    if (bytes > GW_QCOW2_L1_MAX || (shot->l1_offset & (q->cluster_bytes - 1)) || shot->l1_offset > q->file->bytes ||
        bytes > q->file->bytes - shot->l1_offset)
        return gw_qcow2_bad(
            q, err, "snapshot %u has an L1 table of %" PRIu64 " bytes at offset %" PRIu64 ", which is not in the file",
            i, bytes, shot->l1_offset);
    return 0;
}

static int load_one(struct gw_qcow2 *q, unsigned i, uint64_t *at, struct gw_error *err)
{
    struct gw_qcow2_snapshot *s = &q->snapshots[i];
    struct gw_qcow2_shot *shot = &q->shots[i];
    size_t id_bytes, name_bytes;
    uint8_t p[FIXED];
    int r = gw_qcow2_get(q, p, sizeof p, *at, err);

    if (r < 0)
        return r;
    shot->l1_offset = gw_load_be64(p);
    shot->l1_entries = gw_load_be32(p + 8);
    id_bytes = gw_load_be16(p + 12);
    name_bytes = gw_load_be16(p + 14);
    s->seconds = gw_load_be32(p + 16);
    s->nanoseconds = gw_load_be32(p + 20);
    s->ran_ns = gw_load_be64(p + 24);
    s->state_bytes = gw_load_be32(p + 32);
    s->disk_bytes = q->h.bytes;
    shot->extra_bytes = gw_load_be32(p + 36);
    if (shot->extra_bytes > EXTRA_MAX)
        return gw_qcow2_bad(q, err, "snapshot %u has %u bytes of extra data", i, shot->extra_bytes);
    shot->extra = malloc(shot->extra_bytes + 1);
    if (!shot->extra)
        return gw_nomem(err, "snapshot");
    r = gw_qcow2_get(q, shot->extra, shot->extra_bytes, *at + FIXED, err);
    if (r >= 0)
        r = text(q, *at + FIXED + shot->extra_bytes, id_bytes, &s->id, err);
    if (r >= 0)
        r = text(q, *at + FIXED + shot->extra_bytes + id_bytes, name_bytes, &s->name, err);
    if (r < 0)
        return r;
    if (shot->extra_bytes >= 8)
        s->state_bytes = gw_load_be64(shot->extra);
    if (shot->extra_bytes >= 16)
        s->disk_bytes = gw_load_be64(shot->extra + 8);
    *at += entry_bytes(s, shot);
    return check(q, shot, i, err);
}

int gw_qcow2_snapshots_load(struct gw_qcow2 *q, struct gw_error *err)
{
    uint64_t at = q->h.snapshots_offset;
    int r = 0;

    q->snapshots = calloc(GW_MAX(q->h.snapshots, 1), sizeof *q->snapshots);
    q->shots = calloc(GW_MAX(q->h.snapshots, 1), sizeof *q->shots);
    if (!q->snapshots || !q->shots) {
        free(q->snapshots); /* both lists or neither */
        q->snapshots = NULL;
        return gw_nomem(err, "snapshots");
    }
    for (unsigned i = 0; i < q->h.snapshots && r >= 0; i++) {
        if (at - q->h.snapshots_offset > GW_QCOW2_TABLE_MAX || at > q->file->bytes)
            return gw_qcow2_bad(q, err, "the snapshot table is too long");
        r = load_one(q, i, &at, err);
    }
    return r;
}

/* ---- writing ----------------------------------------------------------------------------------------------------- */

static size_t put_one(uint8_t *p, const struct gw_qcow2_snapshot *s, const struct gw_qcow2_shot *shot)
{
    size_t id = strlen(s->id), name = strlen(s->name);

    gw_store_be64(p, shot->l1_offset);
    gw_store_be32(p + 8, shot->l1_entries);
    gw_store_be16(p + 12, (uint16_t)id);
    gw_store_be16(p + 14, (uint16_t)name);
    gw_store_be32(p + 16, s->seconds);
    gw_store_be32(p + 20, s->nanoseconds);
    gw_store_be64(p + 24, s->ran_ns);
    gw_store_be32(p + 32, s->state_bytes > UINT32_MAX ? 0 : (uint32_t)s->state_bytes);
    gw_store_be32(p + 36, shot->extra_bytes);
    memcpy(p + FIXED, shot->extra, shot->extra_bytes);
    memcpy(p + FIXED + shot->extra_bytes, s->id, id);
    memcpy(p + FIXED + shot->extra_bytes + id, s->name, name);
    return entry_bytes(s, shot);
}

/* One write of the header switches to the new list; the caller keeps the lists in memory. */
int gw_qcow2_snapshots_store(struct gw_qcow2 *q, const struct gw_qcow2_snapshot *list,
                             const struct gw_qcow2_shot *shots, unsigned count, struct gw_error *err)
{
    uint64_t bytes = table_bytes(list, shots, count), offset = 0, old = q->h.snapshots_offset;
    uint64_t old_clusters = q->h.snapshots ? gw_qcow2_clusters(q, gw_qcow2_snapshots_bytes(q)) : 0;
    GW_AUTOFREE uint8_t *room = calloc(1, bytes + 1);
    unsigned old_count = q->h.snapshots;
    size_t at = 0;
    int r = 0;

    if (bytes > GW_QCOW2_TABLE_MAX || count > GW_QCOW2_SNAPSHOTS_MAX)
        return gw_fail(err, -EFBIG, GW_BLAME_CALLER, "%s: %u snapshots are too many", q->node.name, count);
    if (!room)
        return gw_nomem(err, "snapshot table");
    for (unsigned i = 0; i < count; i++)
        at += put_one(room + at, &list[i], &shots[i]);
    if (count)
        r = gw_qcow2_alloc_table(q, gw_qcow2_clusters(q, bytes), &offset, err);
    if (r >= 0 && count)
        r = gw_qcow2_put(q, room, bytes, offset, err);
    if (r >= 0)
        r = gw_qcow2_write_through(q, err);
    if (r >= 0) {
        q->h.snapshots = count;
        q->h.snapshots_offset = offset;
        r = gw_qcow2_header_write(q, err);
        q->h.snapshots = old_count; /* matches the lists in memory; the caller replaces both */
    }
    if (r >= 0)
        r = gw_qcow2_barrier(q, err);
    if (r < 0) {
        q->h.snapshots_offset = old;
        if (offset)
            gw_qcow2_ref_add(q, offset >> q->h.cluster_bits, gw_qcow2_clusters(q, bytes), -1, NULL);
        return r;
    }
    gw_qcow2_free_later(q, old >> q->h.cluster_bits, old_clusters, false);
    return 0;
}
