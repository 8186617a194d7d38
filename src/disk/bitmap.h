/* SPDX-License-Identifier: MIT
 *
 * bitmap: dirty bitmaps inside the library (godwit/bitmap.h is what the embedder sees).
 *
 * Where a write goes:   enabled, no successor       bits
 *                       successor that records      successor
 *                       else                        nowhere
 *
 *     split    bits stand still, the successor records if the bitmap was enabled; busy
 *     join     done: the successor replaces the bits; not done: it is merged into them
 *
 * A bitmap that arrives with a migration (gw_disk_bitmap_arrive) is busy and records nothing until the machine belongs
 * here. Then (gw_disk_bitmaps_begin) one that has come whole is enabled; for the others their successor records until
 * they are complete. Both happen under disk->lock: each bitmap is enabled exactly once and no write falls in between.
 *
 * Threads: as disk.h.
 */
#ifndef GW_DISK_BITMAP_H
#define GW_DISK_BITMAP_H

#include "disk/bits.h"
#include "disk/disk.h"
#include "godwit/bitmap.h"

enum gw_bitmap_arrival {
    GW_BITMAP_HERE,   /* it did not come with a migration, or its migration is over */
    GW_BITMAP_COMING, /* some of its bits may still be missing */
    GW_BITMAP_WHOLE,  /* all bits have arrived; this host does not own the machine yet */
};

struct gw_disk_bitmap {
    struct gw_disk_listener listener;
    struct gw_disk_bitmap *next;
    char *name;
    uint64_t granularity;
    struct gw_bits *bits, *successor;
    bool enabled;
    bool split_records; /* whether the successor records writes */
    bool persistent, inconsistent, read_only;
    bool not_stored;  /* another host stores it at the end */
    const char *busy; /* the operation that uses it, a constant text; NULL: none */
    enum gw_bitmap_arrival arrival;
};

#define GW_BITMAP_BY_MIGRATION "a migration"

/* Under disk->lock. NULL: the disk has no bitmap of this name. */
struct gw_disk_bitmap *gw_disk_bitmap_find(struct gw_disk *d, const char *name);
void gw_disk_bitmaps_free(struct gw_disk *d);

/* Source. Makes the bitmap busy; it goes on recording. -ENOENT, -EBUSY, -EROFS, -ESTALE. */
int gw_disk_bitmap_select(struct gw_disk *d, const char *name, struct gw_bitmap_info *ret, struct gw_error *err);
/* gw_bits_get of a selected bitmap. false: no bit is set. */
bool gw_disk_bitmap_get(struct gw_disk *d, const char *name, uint64_t first_bit, uint64_t bits, uint8_t *to);
/* The number of chunks of GW_BITMAP_CHUNK_BITS, from this bit on, that have set bits. */
uint64_t gw_disk_bitmap_chunks(struct gw_disk *d, const char *name, uint64_t first_bit, uint64_t chunk_bits);
/* No longer busy. */
void gw_disk_bitmap_release(struct gw_disk *d, const char *name);
void gw_disk_bitmap_set_stored(struct gw_disk *d, const char *name, bool stored);

/* Destination. enabled: it records writes once it is complete. -EEXIST and the errors of creation. */
int gw_disk_bitmap_arrive(struct gw_disk *d, const struct gw_bitmap_config *config, struct gw_error *err);
/* gw_bits_put; the caller has checked the range. from NULL: no bit is set. */
int gw_disk_bitmap_put(struct gw_disk *d, const char *name, uint64_t first_bit, uint64_t bits, const uint8_t *from,
                       struct gw_error *err);
/* All bits have arrived. */
void gw_disk_bitmap_complete(struct gw_disk *d, const char *name);
/* Removes a bitmap that did not arrive completely. */
void gw_disk_bitmap_abandon(struct gw_disk *d, const char *name);
/* begin: this host owns the machine from now on. stand: the arrival was undone before the machine ran. */
void gw_disk_bitmaps_begin(struct gw_disk *d);
void gw_disk_bitmaps_stand(struct gw_disk *d);

#endif
