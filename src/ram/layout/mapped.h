/* SPDX-License-Identifier: MIT
 *
 * mapped layout: each page has a fixed place in a file (docs/wire-format.md 9).
 *
 *     the list of blocks    each entry is followed by a head, and by room for its map and its pages
 *     a page                is written to its place, each time it comes; its bit of the map is set. Zeros clear it
 *     END                   the maps are written
 *
 * So the size of the file depends only on the list, not on how long the guest runs. Consecutive pages of a batch are
 * written at once.
 *
 * Put: one gw_mapped for all lanes of a session, which write to one file; the lane that reaches END last writes the
 * maps.
 * Get: the list only contains positions. The pages are read with the first section after it, when the whole list was
 * checked: in chunks, by threads, directly to their places.
 *
 * Threads: a layout has one owner, its lane. `list` is called before the lanes write anything.
 * Hostile: see wire/mapped.h; a map or page that is not in the file is an error with block, page and byte.
 */
#ifndef GW_LAYOUT_MAPPED_H
#define GW_LAYOUT_MAPPED_H

#include "ram/page/ops.h"

struct gw_mapped;

int gw_mapped_new(const struct gw_ram *ram, struct gw_mapped **ret, struct gw_error *err);
/* The layout of one lane. Create all of them before the first barrier. */
int gw_layout_mapped_new(struct gw_mapped *m, struct gw_layout **ret, struct gw_error *err);
/* Drops the creator's reference; the layouts keep theirs as long as they need it. Takes NULL. */
void gw_mapped_unref(struct gw_mapped *m);

/* threads: number of threads that read pages. direct: read past the page cache, if the file supports it. */
int gw_layout_mapped_in_new(const struct gw_ram *ram, unsigned threads, bool direct, struct gw_layout_in **ret,
                            struct gw_error *err);

#endif
