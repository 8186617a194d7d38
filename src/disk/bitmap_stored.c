/* SPDX-License-Identifier: MIT */
#include "disk/bitmap_stored.h"

#include "base/bitmap.h"
#include "base/endian.h"
#include "disk/bitmap.h"
#include "disk/node/qcow2.h"

#define FLAGS_AT 12 /* of an entry that is kept */

static bool is_qcow2(const struct gw_disk *d)
{
    return d->image && !strcmp(gw_node_format(d->image), "qcow2");
}

static bool has_room(const struct gw_disk *d)
{
    return is_qcow2(d) && !d->image->read_only && !d->image->inactive && gw_qcow2_can_bitmaps(d->image);
}

int gw_disk_bitmaps_check_image(const struct gw_disk *d, struct gw_error *err)
{
    if (!d->image || (is_qcow2(d) && (d->image->inactive || gw_qcow2_can_bitmaps(d->image))))
        return 0;
    return gw_fail(err, -ENOTSUP, GW_BLAME_CALLER, "disk %s can have no persistent bitmaps: it is %s%s", gw_disk_name(d),
                   gw_node_format(d->image), is_qcow2(d) ? " of version 2" : "");
}

/* ---- loading ------------------------------------------------------------------------------------------------------ */

static bool understood(const struct gw_qcow2_bitmap *b)
{
    return b->bits || b->flags & GW_QCOW2_BITMAP_IN_USE;
}

/* Words of the image's become little-endian ones. */
static int put_bits(struct gw_disk *d, const struct gw_qcow2_bitmap *from, struct gw_error *err)
{
    uint64_t words = gw_div_up(from->bit_count, 64);
    GW_AUTOFREE uint8_t *room = calloc(words + 1, 8);

    if (!room)
        return gw_nomem(err, "dirty bitmap");
    for (uint64_t i = 0; i < words; i++)
        gw_store_be64(room + i * 8, __builtin_bswap64(from->bits[i]));
    return gw_disk_bitmap_put(d, from->name, 0, from->bit_count, room, err);
}

static int load_one(struct gw_disk *d, const struct gw_qcow2_bitmap *b, struct gw_error *err)
{
    struct gw_bitmap_config config = {
        .name = b->name, .granularity = 1ull << b->granularity_bits, .persistent = true, .disabled = !(b->flags & GW_QCOW2_BITMAP_AUTO)};
    int r;

    if (!b->bits && (b->granularity_bits < 9 || b->granularity_bits > 31))
        config.granularity = 0; /* it says nothing, and can be removed */
    r = gw_disk_bitmap_add(d, &config, err);
    if (r == -EEXIST)
        return 0;
    if (r >= 0 && b->bits)
        r = put_bits(d, b, err);
    else if (r >= 0)
        r = gw_disk_bitmap_mark(d, b->name, true, false, err);
    return r;
}

/* The image may be longer than the disk, which is whole sectors: one that does not fit is not understood. */
static void check_fit(const struct gw_disk *d, struct gw_qcow2_bitmap *b)
{
    if (!b->bits || b->bit_count == gw_div_up(d->bytes, 1ull << b->granularity_bits))
        return;
    gw_bitmap_free(b->bits, b->bit_count);
    b->bits = NULL;
}

int gw_disk_bitmaps_load(struct gw_disk *d, struct gw_error *err)
{
    int r = 0;

    if (!has_room(d))
        return 0;
    gw_disk_bitmaps_forget(d);
    r = gw_qcow2_bitmaps_load(d->image, &d->stored, &d->stored_count, err);
    for (unsigned i = 0; r >= 0 && i < d->stored_count; i++) {
        check_fit(d, &d->stored[i]);
        if (understood(&d->stored[i]))
            r = load_one(d, &d->stored[i], err);
    }
    if (r < 0)
        gw_context(err, "disk %s: the dirty bitmaps in its image", gw_disk_name(d));
    return r;
}

void gw_disk_bitmaps_forget(struct gw_disk *d)
{
    gw_qcow2_bitmaps_free(d->stored, d->stored_count);
    d->stored = NULL;
    d->stored_count = 0;
}

/* ---- storing ------------------------------------------------------------------------------------------------------ */

struct list {
    struct gw_qcow2_bitmap *b;
    unsigned count;
};

static struct gw_qcow2_bitmap *stored_as(const struct gw_disk *d, const char *name)
{
    for (unsigned i = 0; i < d->stored_count; i++)
        if (!strcmp(d->stored[i].name, name))
            return &d->stored[i];
    return NULL;
}

static int copy_kept(struct gw_qcow2_bitmap *to, const struct gw_qcow2_bitmap *from, struct gw_error *err)
{
    to->kept = malloc(from->kept_bytes + 1ull);
    if (!to->kept)
        return gw_nomem(err, "dirty bitmaps");
    memcpy(to->kept, from->kept, from->kept_bytes);
    to->kept_bytes = from->kept_bytes;
    to->flags |= from->flags & GW_QCOW2_BITMAP_EXTRA_OK;
    return 0;
}

/* The bits of the bitmap, and those of its successor. */
static int get_bits(const struct gw_disk_bitmap *b, struct gw_qcow2_bitmap *to, struct gw_error *err)
{
    uint64_t words = gw_div_up(to->bit_count, 64);
    GW_AUTOFREE uint8_t *room = calloc(words + 1, 8);

    to->bits = gw_bitmap_new(to->bit_count);
    if (!to->bits || !room)
        return gw_nomem(err, "dirty bitmap");
    for (unsigned k = 0; k < 2; k++) {
        const struct gw_bits *from = k ? b->successor : b->bits;

        if (!from)
            continue;
        gw_bits_get(from, 0, to->bit_count, room);
        for (uint64_t i = 0; i < words; i++)
            to->bits[i] |= __builtin_bswap64(gw_load_be64(room + i * 8));
    }
    return 0;
}

/* Under disk->lock. */
static int put_one(const struct gw_disk *d, const struct gw_disk_bitmap *b, struct gw_qcow2_bitmap *to, struct gw_error *err)
{
    const struct gw_qcow2_bitmap *was = stored_as(d, b->name);
    int r;

    to->name = strdup(b->name);
    to->flags = b->inconsistent ? GW_QCOW2_BITMAP_IN_USE : b->enabled ? GW_QCOW2_BITMAP_AUTO : 0;
    to->granularity_bits = (unsigned)__builtin_ctzll(b->granularity);
    to->bit_count = gw_bits_size(b->bits);
    r = to->name ? 0 : gw_nomem(err, "dirty bitmap");
    if (r >= 0 && was)
        r = copy_kept(to, was, err);
    return r < 0 || (b->inconsistent && was && !was->bits) ? r : get_bits(b, to, err);
}

static int put_own(struct gw_disk *d, struct list *l, struct gw_error *err)
{
    int r = 0;

    pthread_mutex_lock(&d->lock);
    for (const struct gw_disk_bitmap *b = d->bitmaps; b && r >= 0; b = b->next)
        if (b->persistent && !b->not_stored && b->arrival == GW_BITMAP_HERE)
            r = put_one(d, b, &l->b[l->count++], err);
    pthread_mutex_unlock(&d->lock);
    return r;
}

/* Stored bitmaps that are not understood. One with AUTO should have recorded all writes and has not: it is marked. */
static int put_kept(const struct gw_disk *d, struct list *l, struct gw_error *err)
{
    int r = 0;

    for (unsigned i = 0; r >= 0 && i < d->stored_count; i++) {
        const struct gw_qcow2_bitmap *was = &d->stored[i];
        struct gw_qcow2_bitmap *to = &l->b[l->count];

        if (understood(was))
            continue;
        l->count++;
        to->name = strdup(was->name);
        to->granularity_bits = was->granularity_bits;
        r = to->name ? copy_kept(to, was, err) : gw_nomem(err, "dirty bitmap");
        to->flags = was->flags;
        if (r >= 0 && was->flags & GW_QCOW2_BITMAP_AUTO) {
            to->flags |= GW_QCOW2_BITMAP_IN_USE;
            gw_store_be32((uint8_t *)to->kept + FLAGS_AT, to->flags);
        }
    }
    return r;
}

static unsigned most(struct gw_disk *d)
{
    unsigned n = d->stored_count;

    pthread_mutex_lock(&d->lock);
    for (const struct gw_disk_bitmap *b = d->bitmaps; b; b = b->next)
        n++;
    pthread_mutex_unlock(&d->lock);
    return n;
}

int gw_disk_bitmaps_store(struct gw_disk *d, struct gw_error *err)
{
    struct list l = {0};
    int r;

    if (!has_room(d))
        return 0;
    l.b = calloc(most(d) + 1ull, sizeof *l.b);
    r = l.b ? put_kept(d, &l, err) : gw_nomem(err, "dirty bitmaps");
    if (r >= 0)
        r = put_own(d, &l, err);
    if (r >= 0 && (l.count || gw_qcow2_has_bitmaps(d->image)))
        r = gw_qcow2_bitmaps_store(d->image, l.b, l.count, err);
    gw_qcow2_bitmaps_free(l.b, l.count);
    if (r < 0)
        gw_context(err, "disk %s: storing its dirty bitmaps", gw_disk_name(d));
    else
        gw_disk_bitmaps_forget(d);
    return r;
}

/* The name of a bitmap that from now on exists only in the image; NULL: none is left. The caller frees it. */
static char *next_given(struct gw_disk *d)
{
    const struct gw_disk_bitmap *b;
    char *name = NULL;

    pthread_mutex_lock(&d->lock);
    for (b = d->bitmaps; b && (!b->persistent || b->not_stored || b->busy || b->read_only);)
        b = b->next;
    if (b)
        name = strdup(b->name);
    pthread_mutex_unlock(&d->lock);
    return name;
}

void gw_disk_bitmaps_given(struct gw_disk *d)
{
    char *name;

    while (is_qcow2(d) && (name = next_given(d))) {
        gw_disk_bitmap_remove(d, name, NULL);
        free(name);
    }
}
