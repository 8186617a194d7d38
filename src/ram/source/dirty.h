/* SPDX-License-Identifier: MIT
 *
 * dirty source: pages in the order of the dirty bitmaps, block by block; one pass over all blocks ends a round.
 *
 * A page is taken (its bit cleared) only after its chunk was cleaned, so a write that comes later is seen by the next
 * sync: no page is lost between search and send.
 */
#ifndef GW_SOURCE_DIRTY_H
#define GW_SOURCE_DIRTY_H

#include "ram/page/ops.h"
#include "ram/tracker/tracker.h"

struct gw_source_dirty {
    struct gw_source source;
    struct gw_ram *ram;
    struct gw_tracker *tracker;
    unsigned block;
    uint64_t page;        /* where the search goes on */
};

/* The tracker was started. */
void gw_source_dirty_init(struct gw_source_dirty *s, struct gw_ram *ram, struct gw_tracker *tracker);
/* Syncs the tracker and begins a new pass; *ret_new: pages that became dirty. */
int gw_source_dirty_sync(struct gw_source_dirty *s, uint64_t *ret_new, struct gw_error *err);
/* Pages yet to send as far as is known. Any thread. */
uint64_t gw_source_dirty_pages(const struct gw_source_dirty *s);

#endif
