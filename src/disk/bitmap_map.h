/* SPDX-License-Identifier: MIT
 *
 * bitmap_map: which names disks and dirty bitmaps have on the wire (godwit/bitmap.h, gw_vm_map_bitmaps).
 *
 * Threads: constant once it is made.
 */
#ifndef GW_DISK_BITMAP_MAP_H
#define GW_DISK_BITMAP_MAP_H

#include "base/base.h"
#include "godwit/bitmap.h"

struct gw_bitmap_map;

/* A copy of the list. -EINVAL: a name or an alias has a wrong length, or occurs twice; -ENOMEM. */
int gw_bitmap_map_new(const struct gw_bitmap_alias *aliases, size_t count, struct gw_bitmap_map **ret,
                      struct gw_error *err);
/* Another reference to the same. Takes NULL, returns it. */
struct gw_bitmap_map *gw_bitmap_map_share(struct gw_bitmap_map *m);
/* Takes NULL, returns NULL. */
struct gw_bitmap_map *gw_bitmap_map_free(struct gw_bitmap_map *m);

/* The entry of a bitmap, by local names; device or node may be "". NULL: it does not migrate. */
const struct gw_bitmap_alias *gw_bitmap_map_here(const struct gw_bitmap_map *m, const char *device, const char *node,
                                                 const char *bitmap);
/* By the names on the wire. bitmap NULL: any of this disk. NULL: there is none. */
const struct gw_bitmap_alias *gw_bitmap_map_there(const struct gw_bitmap_map *m, const char *disk, const char *bitmap);
/* The i-th, NULL behind the last. */
const struct gw_bitmap_alias *gw_bitmap_map_at(const struct gw_bitmap_map *m, size_t i);

#endif
