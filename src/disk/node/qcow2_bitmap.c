/* SPDX-License-Identifier: MIT
 *
 * The directory of stored bitmaps: read, marked, and walked through. qcow2_bitmap_store.c writes a new one.
 */
#include "disk/node/qcow2_bitmaps.h"

#define BITS_MAX (1ull << 33) /* limit for all bitmaps together: 1 GiB of memory */

struct gw_qcow2_extension *gw_qcow2_bitmaps_extension(struct gw_qcow2 *q)
{
    for (unsigned i = 0; i < q->h.extension_count; i++)
        if (q->h.extensions[i].type == GW_QCOW2_EXT_BITMAPS)
            return &q->h.extensions[i];
    return NULL;
}

bool gw_qcow2_can_bitmaps(struct gw_node *n)
{
    return gw_qcow2_of(n)->h.version >= 3;
}

bool gw_qcow2_has_bitmaps(struct gw_node *n)
{
    struct gw_qcow2 *q = gw_qcow2_of(n);
    const struct gw_qcow2_extension *e = gw_qcow2_bitmaps_extension(q);

    return q->h.autoclear & GW_QCOW2_BITMAPS_OK && e && e->bytes >= 4 && gw_load_be32(e->data);
}

void gw_qcow2_directory_free(struct gw_qcow2_directory *d)
{
    free(d->data);
    free(d->entries);
}

static int parse(struct gw_qcow2 *q, struct gw_qcow2_directory *d, struct gw_error *err)
{
    size_t at = 0;

    for (unsigned i = 0; i < d->count; i++) {
        struct gw_qcow2_directory_entry *e = &d->entries[i];
        const uint8_t *p = d->data + at;
        size_t left = d->bytes - at;

        if (left < 24)
            return gw_qcow2_bad(q, err, "the directory of bitmaps ends within bitmap %u", i);
        *e = (struct gw_qcow2_directory_entry){.table = gw_load_be64(p),
                                               .table_entries = gw_load_be32(p + 8),
                                               .flags = gw_load_be32(p + 12),
                                               .type = p[16],
                                               .granularity_bits = p[17],
                                               .at = at};
        e->name_bytes = gw_load_be16(p + 18);
        e->extra_bytes = gw_load_be32(p + 20);
        e->bytes = (24 + (uint64_t)e->extra_bytes + e->name_bytes + 7) & ~7ull;
        if (!e->name_bytes || e->name_bytes > 1023 || e->bytes > left)
            return gw_qcow2_bad(q, err,
                                "bitmap %u has %u bytes of extra data and %u of a name, which are not in the directory",
                                i, e->extra_bytes, e->name_bytes);
        e->name = (const char *)p + 24 + e->extra_bytes;
        if ((e->table & (q->cluster_bytes - 1)) || e->table > q->file->bytes ||
            e->table_entries * 8ull > q->file->bytes - e->table)
            return gw_qcow2_bad(q, err,
                                "the table of bitmap %u, of %u entries at offset %" PRIu64 ", is not in the file", i,
                                e->table_entries, e->table);
        at += e->bytes;
    }
    return 0;
}

/* *ret_there false: the image has none, or they are stale. */
int gw_qcow2_directory_read(struct gw_qcow2 *q, struct gw_qcow2_directory *d, struct gw_error *err)
{
    const struct gw_qcow2_extension *e = gw_qcow2_bitmaps_extension(q);
    uint64_t bytes;
    int r;

    *d = (struct gw_qcow2_directory){0};
    if (!(q->h.autoclear & GW_QCOW2_BITMAPS_OK))
        return 0;
    if (!e || e->bytes < 24)
        return gw_qcow2_bad(q, err, "the header says that there are bitmaps, but not where");
    d->count = gw_load_be32(e->data);
    bytes = gw_load_be64(e->data + 8);
    d->offset = gw_load_be64(e->data + 16);
    if (d->count > GW_QCOW2_BITMAPS_MAX || bytes > GW_QCOW2_TABLE_MAX || bytes < d->count * 24ull ||
        (d->offset & (q->cluster_bytes - 1)) || d->offset > q->file->bytes || bytes > q->file->bytes - d->offset)
        return gw_qcow2_bad(
            q, err, "the directory of %u bitmaps, of %" PRIu64 " bytes at offset %" PRIu64 ", is not in the file",
            d->count, bytes, d->offset);
    d->bytes = bytes;
    d->data = malloc(bytes + 1);
    d->entries = calloc(d->count + 1, sizeof *d->entries);
    r = d->data && d->entries ? gw_qcow2_get(q, d->data, bytes, d->offset, err) : gw_nomem(err, "directory of bitmaps");
    if (r >= 0)
        r = parse(q, d, err);
    if (r < 0) {
        gw_qcow2_directory_free(d);
        *d = (struct gw_qcow2_directory){0};
    }
    return r;
}

/* ---- what they use ----------------------------------------------------------------------------------------------- */

int gw_qcow2_bitmap_visit(struct gw_qcow2 *q, uint64_t table, uint64_t entries, gw_qcow2_visit *visit, void *opaque,
                          struct gw_error *err)
{
    GW_AUTOFREE uint64_t *t = NULL;
    int r = gw_qcow2_table_read(q, table, entries, "table of a bitmap", &t, err);

    if (r >= 0 && entries)
        r = visit(q, opaque, table >> q->h.cluster_bits, gw_qcow2_clusters(q, entries * 8), err);
    for (uint64_t i = 0; i < entries && r >= 0; i++) {
        uint64_t at = t[i] & GW_QCOW2_OFFSET;

        if (!at)
            continue;
        if ((at & (q->cluster_bytes - 1)) || at >= q->file->bytes) {
            gw_qcow2_bad(q, err, "a cluster of a bitmap is said to be at offset %" PRIu64, at);
            r = visit(q, opaque, 0, 0, err);
        } else {
            r = visit(q, opaque, at >> q->h.cluster_bits, 1, err);
        }
    }
    return r;
}

int gw_qcow2_bitmaps_visit(struct gw_qcow2 *q, gw_qcow2_visit *visit, void *opaque, struct gw_error *err)
{
    GW_CLEANUP(gw_qcow2_directory_free) struct gw_qcow2_directory d;
    int r = gw_qcow2_directory_read(q, &d, err);

    if (r == -EPROTO)
        return visit(q, opaque, 0, 0, err);
    if (r >= 0 && d.bytes)
        r = visit(q, opaque, d.offset >> q->h.cluster_bits, gw_qcow2_clusters(q, d.bytes), err);
    for (unsigned i = 0; i < d.count && r >= 0; i++)
        r = gw_qcow2_bitmap_visit(q, d.entries[i].table, d.entries[i].table_entries, visit, opaque, err);
    return r;
}

int gw_qcow2_bitmaps_own(struct gw_qcow2 *q, struct gw_error *err)
{
    GW_CLEANUP(gw_qcow2_directory_free) struct gw_qcow2_directory d;
    int r = gw_qcow2_directory_read(q, &d, err);

    if (r >= 0)
        r = gw_qcow2_own(q, d.offset, d.bytes, "directory of bitmaps", err);
    for (unsigned i = 0; i < d.count && r >= 0; i++)
        r = gw_qcow2_own(q, d.entries[i].table, d.entries[i].table_entries * 8ull, "table of a bitmap", err);
    return r;
}

/* ---- marks ------------------------------------------------------------------------------------------------------- */

/* Marks the bitmaps with `which` among their flags, or all. */
static int mark(struct gw_qcow2 *q, const struct gw_qcow2_directory *d, uint32_t which, struct gw_error *err)
{
    int r = 0;

    for (unsigned i = 0; i < d->count && r >= 0; i++) {
        const struct gw_qcow2_directory_entry *e = &d->entries[i];
        uint8_t flags[4];

        if ((which && !(e->flags & which)) || (e->flags & GW_QCOW2_BITMAP_IN_USE))
            continue;
        gw_store_be32(flags, e->flags | GW_QCOW2_BITMAP_IN_USE);
        r = gw_qcow2_put(q, flags, 4, d->offset + e->at + 12, err);
    }
    return r < 0 ? r : gw_qcow2_barrier(q, err);
}

int gw_qcow2_bitmaps_untracked(struct gw_qcow2 *q, struct gw_error *err)
{
    GW_CLEANUP(gw_qcow2_directory_free) struct gw_qcow2_directory d;
    int r = gw_qcow2_directory_read(q, &d, err);

    if (r >= 0)
        r = mark(q, &d, GW_QCOW2_BITMAP_AUTO, err);
    if (r >= 0)
        q->told_bitmaps = true;
    return r;
}

/* ---- loading ----------------------------------------------------------------------------------------------------- */

static void take_bytes(uint64_t *bits, uint64_t bit_count, uint64_t first_byte, const uint8_t *p, uint64_t bytes)
{
    uint64_t all = gw_div_up(bit_count, 8);

    for (uint64_t i = 0; i < bytes && first_byte + i < all; i++)
        bits[(first_byte + i) / 8] |= (uint64_t)p[i] << (first_byte + i) % 8 * 8;
    if (bit_count % 64)
        bits[bit_count / 64] &= (1ull << bit_count % 64) - 1;
}

static int load_bits(struct gw_qcow2 *q, const struct gw_qcow2_directory_entry *e, struct gw_qcow2_bitmap *b,
                     struct gw_error *err)
{
    GW_AUTOFREE uint8_t *room = malloc(q->cluster_bytes);
    GW_AUTOFREE uint64_t *table = NULL;
    int r = gw_qcow2_table_read(q, e->table, e->table_entries, "table of a bitmap", &table, err);

    if (r >= 0 && !room)
        r = gw_nomem(err, "bitmap");
    for (uint64_t i = 0; i < e->table_entries && r >= 0; i++) {
        uint64_t at = table[i] & GW_QCOW2_OFFSET, per = (uint64_t)q->cluster_bytes * 8, from = i * per;

        if (!at && (table[i] & 1))
            gw_bitmap_set_range(b->bits, from, GW_MIN(per, b->bit_count - from));
        if (!at)
            continue;
        if ((at & (q->cluster_bytes - 1)) || at >= q->file->bytes)
            return gw_qcow2_bad(q, err, "a cluster of bitmap %s is said to be at offset %" PRIu64, b->name, at);
        r = gw_qcow2_get(q, room, q->cluster_bytes, at, err);
        if (r >= 0)
            take_bytes(b->bits, b->bit_count, i * q->cluster_bytes, room, q->cluster_bytes);
    }
    return r;
}

static bool understood(const struct gw_qcow2_directory_entry *e)
{
    return !(e->flags & GW_QCOW2_BITMAP_IN_USE) && !(e->flags & ~7u) && e->type == 1 && e->granularity_bits >= 9 &&
           e->granularity_bits <= 31 && (!e->extra_bytes || (e->flags & GW_QCOW2_BITMAP_EXTRA_OK));
}

static int load_one(struct gw_qcow2 *q, const struct gw_qcow2_directory *d, unsigned i, struct gw_qcow2_bitmap *b,
                    uint64_t *bits_left, struct gw_error *err)
{
    const struct gw_qcow2_directory_entry *e = &d->entries[i];

    b->name = strndup(e->name, e->name_bytes);
    b->kept = malloc(e->bytes);
    if (!b->name || !b->kept)
        return gw_nomem(err, "bitmap");
    memcpy(b->kept, d->data + e->at, e->bytes);
    b->kept_bytes = (uint32_t)e->bytes;
    b->flags = e->flags;
    b->granularity_bits = e->granularity_bits;
    if (!understood(e))
        return 0;
    b->bit_count = gw_div_up(q->h.bytes, 1ull << e->granularity_bits);
    if (gw_qcow2_clusters(q, gw_div_up(b->bit_count, 8)) != e->table_entries)
        return gw_qcow2_bad(q, err,
                            "bitmap %s has a table of %u entries, which does not fit a disk of %" PRIu64 " bytes",
                            b->name, e->table_entries, q->h.bytes);
    if (b->bit_count > *bits_left)
        return gw_fail(err, -EFBIG, GW_BLAME_LOCAL, "%s: the bitmaps are too large to be in memory", q->node.name);
    *bits_left -= b->bit_count;
    b->bits = gw_bitmap_new(b->bit_count);
    return b->bits ? load_bits(q, e, b, err) : gw_nomem(err, "bitmap");
}

void gw_qcow2_bitmaps_free(struct gw_qcow2_bitmap *bitmaps, unsigned count)
{
    for (unsigned i = 0; bitmaps && i < count; i++) {
        free(bitmaps[i].name);
        free(bitmaps[i].kept);
        if (bitmaps[i].bits)
            gw_bitmap_free(bitmaps[i].bits, bitmaps[i].bit_count);
    }
    free(bitmaps);
}

static int load(struct gw_qcow2 *q, struct gw_qcow2_bitmap **ret, unsigned *ret_count, struct gw_error *err)
{
    GW_CLEANUP(gw_qcow2_directory_free) struct gw_qcow2_directory d;
    struct gw_qcow2_bitmap *list;
    uint64_t left = BITS_MAX;
    int r = gw_qcow2_directory_read(q, &d, err);

    if (r < 0)
        return r;
    list = calloc(GW_MAX(d.count, 1), sizeof *list);
    if (!list)
        return gw_nomem(err, "bitmaps");
    for (unsigned i = 0; i < d.count && r >= 0; i++)
        r = load_one(q, &d, i, &list[i], &left, err);
    if (r >= 0 && !q->node.read_only)
        r = q->broken ? gw_qcow2_before_write(q, err) : mark(q, &d, 0, err);
    if (r < 0) {
        gw_qcow2_bitmaps_free(list, d.count);
        return r;
    }
    q->told_bitmaps = true;
    *ret = list;
    *ret_count = d.count;
    return 0;
}

int gw_qcow2_bitmaps_load(struct gw_node *n, struct gw_qcow2_bitmap **ret, unsigned *ret_count, struct gw_error *err)
{
    struct gw_qcow2 *q = gw_qcow2_of(n);
    int r;

    pthread_mutex_lock(&q->lock);
    r = load(q, ret, ret_count, err);
    pthread_mutex_unlock(&q->lock);
    return r;
}
