/* SPDX-License-Identifier: MIT
 *
 * Dirty bitmaps that migrate: what both sides do with them, bit by bit. Names and records: bitmap_live.c, bitmap_load.c.
 */
#include "disk/bitmap_inner.h"

/* ---- migration: source -------------------------------------------------------------------------------------------- */

int gw_disk_bitmap_select(struct gw_disk *d, const char *name, struct gw_bitmap_info *ret, struct gw_error *err)
{
    struct gw_disk_bitmap *b;
    int r;

    pthread_mutex_lock(&d->lock);
    r = gw_dirty_find(d, name, GW_BITMAP_IDLE | GW_BITMAP_WRITABLE | GW_BITMAP_CONSISTENT, "sent", &b, err);
    if (r >= 0) {
        b->busy = GW_BITMAP_BY_MIGRATION;
        gw_dirty_tell(b, ret);
    }
    pthread_mutex_unlock(&d->lock);
    return r;
}

bool gw_disk_bitmap_get(struct gw_disk *d, const char *name, uint64_t first_bit, uint64_t bits, uint8_t *to)
{
    struct gw_disk_bitmap *b;
    bool any;

    pthread_mutex_lock(&d->lock);
    b = gw_disk_bitmap_find(d, name);
    any = b && gw_bits_next_set(b->bits, first_bit) < first_bit + bits;
    if (any)
        gw_bits_get(b->bits, first_bit, bits, to);
    pthread_mutex_unlock(&d->lock);
    return any;
}

uint64_t gw_disk_bitmap_chunks(struct gw_disk *d, const char *name, uint64_t first_bit, uint64_t chunk_bits)
{
    struct gw_disk_bitmap *b;
    uint64_t n = 0;

    pthread_mutex_lock(&d->lock);
    b = gw_disk_bitmap_find(d, name);
    for (uint64_t at = first_bit; b && (at = gw_bits_next_set(b->bits, at)) < gw_bits_size(b->bits); n++)
        at = (at / chunk_bits + 1) * chunk_bits;
    pthread_mutex_unlock(&d->lock);
    return n;
}

void gw_disk_bitmap_release(struct gw_disk *d, const char *name)
{
    struct gw_disk_bitmap *b;

    pthread_mutex_lock(&d->lock);
    b = gw_disk_bitmap_find(d, name);
    if (b)
        b->busy = NULL;
    pthread_mutex_unlock(&d->lock);
}

void gw_disk_bitmap_set_stored(struct gw_disk *d, const char *name, bool stored)
{
    struct gw_disk_bitmap *b;

    pthread_mutex_lock(&d->lock);
    b = gw_disk_bitmap_find(d, name);
    if (b)
        b->not_stored = b->persistent && !stored;
    pthread_mutex_unlock(&d->lock);
}

/* ---- migration: destination --------------------------------------------------------------------------------------- */

int gw_disk_bitmap_arrive(struct gw_disk *d, const struct gw_bitmap_config *config, struct gw_error *err)
{
    return gw_dirty_add(d, config, true, err);
}

int gw_disk_bitmap_put(struct gw_disk *d, const char *name, uint64_t first_bit, uint64_t bits, const uint8_t *from,
                       struct gw_error *err)
{
    struct gw_disk_bitmap *b;
    int r;

    pthread_mutex_lock(&d->lock);
    r = gw_dirty_find(d, name, 0, "filled", &b, err);
    if (r >= 0)
        r = from ? gw_bits_put(b->bits, first_bit, bits, from, err) : gw_bits_clear(b->bits, first_bit, bits);
    pthread_mutex_unlock(&d->lock);
    return r;
}

/* It is a bitmap like all others from now on. One with a successor was enabled at the source. */
static void settle(struct gw_disk_bitmap *b)
{
    b->arrival = GW_BITMAP_HERE;
    b->busy = NULL;
    if (!b->successor)
        return;
    gw_dirty_join(b, false);
    b->enabled = true;
}

void gw_disk_bitmap_complete(struct gw_disk *d, const char *name)
{
    struct gw_disk_bitmap *b;

    pthread_mutex_lock(&d->lock);
    b = gw_disk_bitmap_find(d, name);
    if (b && b->arrival == GW_BITMAP_COMING) {
        b->arrival = GW_BITMAP_WHOLE;
        if (d->begun)
            settle(b);
    }
    pthread_mutex_unlock(&d->lock);
}

void gw_disk_bitmap_abandon(struct gw_disk *d, const char *name)
{
    struct gw_disk_bitmap *b;

    pthread_mutex_lock(&d->lock);
    b = gw_disk_bitmap_find(d, name);
    if (b && b->arrival != GW_BITMAP_HERE) {
        gw_dirty_take(d, b);
        gw_dirty_free(b);
    }
    pthread_mutex_unlock(&d->lock);
}

void gw_disk_bitmaps_begin(struct gw_disk *d)
{
    pthread_mutex_lock(&d->lock);
    d->begun = true;
    for (struct gw_disk_bitmap *b = d->bitmaps; b; b = b->next) {
        if (b->arrival == GW_BITMAP_WHOLE)
            settle(b);
        else if (b->arrival == GW_BITMAP_COMING)
            b->split_records = b->successor != NULL;
    }
    pthread_mutex_unlock(&d->lock);
}

void gw_disk_bitmaps_stand(struct gw_disk *d)
{
    pthread_mutex_lock(&d->lock);
    d->begun = false;
    pthread_mutex_unlock(&d->lock);
}
