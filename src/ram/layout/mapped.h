/* SPDX-License-Identifier: MIT
 *
 * mapped layout: each page has a fixed place in a file (docs/wire-format.md 9).
 *
 *     the list of blocks    each entry has a head behind it, and room for its map and its pages
 *     a page                goes to its place, again when it comes again; its bit of the map is set. Zeros only clear the bit
 *     END                   the maps are written
 *
 * So the file never grows beyond the list, however long the guest runs. Pages of a batch that follow each other go out in
 * one write.
 *
 * Put: one gw_mapped for all lanes of a session, which put into one file; the lane that reaches END last writes the maps.
 * Get: the list only tells where things are. The pages are read with the first section behind it, when the whole list has
 * been found good: chunk by chunk by threads, straight to where they belong.
 *
 * Threads: a layout has one owner, its lane. The list is told before the lanes put anything.
 * Hostile: see wire/mapped.h; a map or page that is not in the file is an error with block, page and byte.
 */
#ifndef GW_LAYOUT_MAPPED_H
#define GW_LAYOUT_MAPPED_H

#include "ram/page/ops.h"

struct gw_mapped;

int gw_mapped_new(const struct gw_ram *ram, struct gw_mapped **ret, struct gw_error *err);
/* One lane's layout. All of them are made before the first barrier. */
int gw_layout_mapped_new(struct gw_mapped *m, struct gw_layout **ret, struct gw_error *err);
/* The maker's hold on it; the layouts keep it as long as they need it. Takes NULL. */
void gw_mapped_unref(struct gw_mapped *m);

/* threads: that read pages. direct: past the page cache, where the file can do that. */
int gw_layout_mapped_in_new(const struct gw_ram *ram, unsigned threads, bool direct, struct gw_layout_in **ret,
                            struct gw_error *err);

#endif
