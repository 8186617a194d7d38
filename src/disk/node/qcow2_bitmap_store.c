/* SPDX-License-Identifier: MIT
 *
 * Stores bitmaps: clusters, tables and directory are written at new places, then the header points to them. In between
 * the header says that there are none, because its extension may lie in two sectors.
 */
#include "disk/node/qcow2_bitmaps.h"

#include "base/cursor.h"

struct store {
    uint64_t *clusters; /* the allocated clusters */
    size_t count, room;
    struct gw_out directory;
};

static int keep_track(struct gw_qcow2 *q, struct store *s, uint64_t first, uint64_t count, struct gw_error *err)
{
    if (s->count + count > s->room) {
        size_t room = GW_MAX(s->room * 2, s->count + count + 64);
        uint64_t *more = realloc(s->clusters, room * 8);

        if (!more) {
            gw_qcow2_ref_add(q, first, count, -1, NULL);
            return gw_nomem(err, "bitmaps");
        }
        s->clusters = more;
        s->room = room;
    }
    for (uint64_t i = 0; i < count; i++)
        s->clusters[s->count++] = first + i;
    return 0;
}

static int new_table(struct gw_qcow2 *q, struct store *s, uint64_t bytes, uint64_t *ret, struct gw_error *err)
{
    uint64_t clusters = gw_qcow2_clusters(q, bytes);
    int r = gw_qcow2_alloc_table(q, clusters, ret, err);

    return r < 0 ? r : keep_track(q, s, *ret >> q->h.cluster_bits, clusters, err);
}

static int put_data(struct gw_qcow2 *q, struct store *s, const uint8_t *bytes, uint64_t *ret, struct gw_error *err)
{
    uint64_t first, got;
    int r = gw_qcow2_alloc(q, 1, &first, &got, err);

    if (r >= 0)
        r = keep_track(q, s, first, 1, err);
    if (r < 0)
        return r;
    *ret = first << q->h.cluster_bits;
    return gw_qcow2_put(q, bytes, q->cluster_bytes, *ret, err);
}

/* The table entry for some bits: all zeros and all ones need no cluster. */
static int put_bits(struct gw_qcow2 *q, struct store *s, const struct gw_qcow2_bitmap *b, uint64_t from, uint8_t *room,
                    uint64_t *ret, struct gw_error *err)
{
    uint64_t per = (uint64_t)q->cluster_bytes * 8, bits = GW_MIN(per, b->bit_count - from);
    uint64_t set = gw_bitmap_count_range(b->bits, from, bits);

    *ret = set == bits;
    if (!set || set == bits)
        return 0;
    memset(room, 0, q->cluster_bytes);
    for (uint64_t i = 0; i < gw_div_up(bits, 8); i++)
        room[i] = (uint8_t)(b->bits[(from / 8 + i) / 8] >> i % 8 * 8);
    return put_data(q, s, room, ret, err);
}

static void put_entry(struct gw_out *out, uint64_t table, uint64_t entries, const struct gw_qcow2_bitmap *b)
{
    static const uint8_t padding[8];
    size_t name = strlen(b->name), extra = b->kept ? gw_load_be32((const uint8_t *)b->kept + 20) : 0;

    gw_put_u64(out, table);
    gw_put_u32(out, (uint32_t)entries);
    gw_put_u32(out, b->flags);
    gw_put_u8(out, 1);
    gw_put_u8(out, (uint8_t)b->granularity_bits);
    gw_put_u16(out, (uint16_t)name);
    gw_put_u32(out, (uint32_t)extra);
    if (extra)
        gw_put_bytes(out, (const uint8_t *)b->kept + 24, extra);
    gw_put_bytes(out, b->name, name);
    gw_put_bytes(out, padding, -(extra + name) & 7);
}

static int store_one(struct gw_qcow2 *q, struct store *s, const struct gw_qcow2_bitmap *b, struct gw_error *err)
{
    uint64_t entries = gw_qcow2_clusters(q, gw_div_up(b->bit_count, 8)), offset = 0;
    GW_AUTOFREE uint8_t *room = malloc(q->cluster_bytes);
    GW_AUTOFREE uint64_t *table = NULL;
    int r = 0;

    if (!b->bits) { /* unchanged: its table and data stay where they are */
        gw_put_bytes(&s->directory, b->kept, b->kept_bytes);
        return gw_out_error(&s->directory, err);
    }
    if (b->bit_count != gw_div_up(q->h.bytes, 1ull << b->granularity_bits))
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "%s: bitmap %s has %" PRIu64 " bits, which do not fit the disk",
                       q->node.name, b->name, b->bit_count);
    table = calloc(GW_MAX(entries, 1), 8);
    if (!room || !table)
        return gw_nomem(err, "bitmap");
    for (uint64_t i = 0; i < entries && r >= 0; i++)
        r = put_bits(q, s, b, i * q->cluster_bytes * 8, room, &table[i], err);
    if (r >= 0 && entries)
        r = new_table(q, s, entries * 8, &offset, err);
    if (r >= 0 && entries)
        r = gw_qcow2_table_write(q, table, entries, offset, err);
    if (r < 0)
        return r;
    put_entry(&s->directory, offset, entries, b);
    return gw_out_error(&s->directory, err);
}

static int check(struct gw_qcow2 *q, const struct gw_qcow2_bitmap *b, unsigned count, struct gw_error *err)
{
    if (q->h.version < 3)
        return gw_fail(err, -ENOTSUP, GW_BLAME_CALLER, "%s: a qcow2 image of version 2 has no bitmaps", q->node.name);
    if (count > GW_QCOW2_BITMAPS_MAX)
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "%s: %u bitmaps are too many", q->node.name, count);
    for (unsigned i = 0; i < count; i++) {
        if (!b[i].name[0] || strlen(b[i].name) > 1023 || (!b[i].bits && !b[i].kept) ||
            (b[i].bits && (b[i].granularity_bits < 9 || b[i].granularity_bits > 31)))
            return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "%s: bitmap %u cannot be stored: its name or granularity",
                           q->node.name, i);
        for (unsigned k = 0; k < i; k++)
            if (!strcmp(b[i].name, b[k].name))
                return gw_fail(err, -EEXIST, GW_BLAME_CALLER, "%s: two bitmaps are called %s", q->node.name, b[i].name);
    }
    return 0;
}

static int set_valid(struct gw_qcow2 *q, bool on, struct gw_error *err)
{
    int r;

    q->h.autoclear = on ? q->h.autoclear | GW_QCOW2_BITMAPS_OK : q->h.autoclear & ~(uint64_t)GW_QCOW2_BITMAPS_OK;
    r = gw_qcow2_header_write(q, err);
    return r < 0 ? r : gw_qcow2_barrier(q, err);
}

static void drop_extension(struct gw_qcow2 *q)
{
    struct gw_qcow2_extension *e = gw_qcow2_bitmaps_extension(q);

    if (!e)
        return;
    free(e->data);
    *e = q->h.extensions[--q->h.extension_count];
}

static int add_extension(struct gw_qcow2 *q, unsigned count, uint64_t offset, uint64_t bytes, struct gw_error *err)
{
    struct gw_qcow2_extension *more = realloc(q->h.extensions, (q->h.extension_count + 1) * sizeof *more);
    uint8_t *data = calloc(1, 24);

    if (more)
        q->h.extensions = more;
    if (!more || !data) {
        free(data);
        return gw_nomem(err, "qcow2 header");
    }
    gw_store_be32(data, count);
    gw_store_be64(data + 8, bytes);
    gw_store_be64(data + 16, offset);
    more[q->h.extension_count++] = (struct gw_qcow2_extension){GW_QCOW2_EXT_BITMAPS, 24, data};
    return 0;
}

/* *ret_shown: the header may point to the new directory. */
static int switch_header(struct gw_qcow2 *q, unsigned count, uint64_t offset, uint64_t bytes, bool *ret_shown,
                         struct gw_error *err)
{
    int r = set_valid(q, false, err);

    drop_extension(q);
    if (r >= 0 && count)
        r = add_extension(q, count, offset, bytes, err);
    if (r >= 0)
        r = gw_qcow2_extensions_write(q, err);
    if (r >= 0)
        r = gw_qcow2_barrier(q, err);
    *ret_shown = r >= 0;
    return r < 0 || !count ? r : set_valid(q, true, err);
}

static int fall(struct gw_qcow2 *q, void *opaque, uint64_t first, uint64_t count, struct gw_error *err)
{
    return count ? gw_qcow2_ref_add(q, first, count, -1, err) : 0;
}

static bool is_kept(const struct gw_qcow2_directory_entry *e, const struct gw_qcow2_bitmap *b, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        if (!b[i].bits && b[i].kept_bytes >= 24 && gw_load_be64(b[i].kept) == e->table)
            return true;
    return false;
}

static int free_old(struct gw_qcow2 *q, const struct gw_qcow2_directory *old, const struct gw_qcow2_bitmap *b,
                    unsigned count, struct gw_error *err)
{
    int r = 0;

    if (old->bytes)
        r = fall(q, NULL, old->offset >> q->h.cluster_bits, gw_qcow2_clusters(q, old->bytes), err);
    for (unsigned i = 0; i < old->count && r >= 0; i++)
        if (!is_kept(&old->entries[i], b, count))
            r = gw_qcow2_bitmap_visit(q, old->entries[i].table, old->entries[i].table_entries, fall, NULL, err);
    return r;
}

static int store(struct gw_qcow2 *q, struct store *s, const struct gw_qcow2_bitmap *b, unsigned count,
                 struct gw_error *err)
{
    GW_CLEANUP(gw_qcow2_directory_free) struct gw_qcow2_directory old;
    uint64_t offset = 0;
    const uint8_t *data;
    size_t bytes;
    bool shown = false;
    int r = gw_qcow2_directory_read(q, &old, err);

    for (unsigned i = 0; i < count && r >= 0; i++)
        r = store_one(q, s, &b[i], err);
    data = gw_out_data(&s->directory, &bytes);
    if (r >= 0 && bytes > GW_QCOW2_TABLE_MAX)
        r = gw_fail(err, -EFBIG, GW_BLAME_CALLER, "%s: the directory of bitmaps is too long", q->node.name);
    if (r >= 0 && count)
        r = new_table(q, s, bytes, &offset, err);
    if (r >= 0 && count)
        r = gw_qcow2_put(q, data, bytes, offset, err);
    if (r >= 0)
        r = gw_qcow2_write_through(q, err);
    if (r >= 0)
        r = switch_header(q, count, offset, bytes, &shown, err);
    if (r >= 0)
        return free_old(q, &old, b, count, err);
    for (size_t i = 0; i < s->count && !shown; i++)
        gw_qcow2_ref_add(q, s->clusters[i], 1, -1, NULL);
    return r;
}

int gw_qcow2_bitmaps_store(struct gw_node *n, const struct gw_qcow2_bitmap *bitmaps, unsigned count,
                           struct gw_error *err)
{
    struct gw_qcow2 *q = gw_qcow2_of(n);
    struct store s = {0};
    int r = check(q, bitmaps, count, err);

    if (r >= 0 && n->read_only)
        r = gw_fail(err, -EROFS, GW_BLAME_CALLER, "%s: it was opened read-only", n->name);
    if (r < 0)
        return r;
    gw_out_memory(&s.directory);
    pthread_mutex_lock(&q->lock);
    r = gw_qcow2_before_write(q, err);
    if (r >= 0)
        r = gw_qcow2_settle(q, err);
    if (r >= 0)
        r = store(q, &s, bitmaps, count, err);
    if (r >= 0)
        r = gw_qcow2_settle(q, err);
    if (r >= 0)
        r = gw_qcow2_barrier(q, err);
    pthread_mutex_unlock(&q->lock);
    gw_out_free(&s.directory);
    free(s.clusters);
    return r;
}
