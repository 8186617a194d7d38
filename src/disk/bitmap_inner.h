/* SPDX-License-Identifier: MIT
 *
 * bitmap_inner: what the files about dirty bitmaps share: bitmap.c (one bitmap), bitmap_moved.c (migration), bitmap_group.c (several
 * changes at one moment).
 *
 * Threads: all under disk->lock of each disk that is named, but for gw_dirty_add.
 */
#ifndef GW_DISK_BITMAP_INNER_H
#define GW_DISK_BITMAP_INNER_H

#include "disk/bitmap.h"

/* What an operation requires of a bitmap. */
enum { GW_BITMAP_IDLE = 1, GW_BITMAP_WRITABLE = 2, GW_BITMAP_CONSISTENT = 4 };

/* what: the operation for messages, e.g. "cleared". -ENOENT, -EBUSY, -EROFS, -ESTALE. */
int gw_dirty_find(struct gw_disk *d, const char *name, unsigned needs, const char *what, struct gw_disk_bitmap **ret,
                   struct gw_error *err);
/* The same, with the requirements of a change (no ADD). */
int gw_dirty_find_to(struct gw_disk *d, const char *name, enum gw_bitmap_change what, struct gw_disk_bitmap **ret, struct gw_error *err);
/* The bitmap is not in the disk's list yet. successor: make it with a successor. */
int gw_dirty_make(struct gw_disk *d, const struct gw_bitmap_config *config, bool successor, struct gw_disk_bitmap **ret,
                   struct gw_error *err);
/* Appends it to the list; it records writes from now on. -EEXIST. */
int gw_dirty_insert(struct gw_disk *d, struct gw_disk_bitmap *b, struct gw_error *err);
/* Makes a bitmap and inserts it. arrives: it comes with a migration. Takes disk->lock itself. */
int gw_dirty_add(struct gw_disk *d, const struct gw_bitmap_config *config, bool arrives, struct gw_error *err);
/* Removes it from the list; returns its position there. */
struct gw_disk_bitmap **gw_dirty_take(struct gw_disk *d, struct gw_disk_bitmap *b);
void gw_dirty_free(struct gw_disk_bitmap *b);
/* Both bitmaps of a merge; their disks must have the same length (else -EINVAL). */
int gw_dirty_find_both(struct gw_disk *d, const char *name, struct gw_disk *from_disk, const char *from, struct gw_disk_bitmap **ret_to,
                       struct gw_disk_bitmap **ret_from, struct gw_error *err);
/* Sets in `to` the bits of all ranges that are dirty in `from`. */
void gw_dirty_merge(const struct gw_disk_bitmap *to, const struct gw_disk_bitmap *from, uint64_t length);
void gw_dirty_merge_bits(struct gw_bits *to, const struct gw_bits *from);
/* Ends a split. */
void gw_dirty_join(struct gw_disk_bitmap *b, bool done);
void gw_dirty_tell(const struct gw_disk_bitmap *b, struct gw_bitmap_info *ret);

#endif
