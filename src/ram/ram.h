/* SPDX-License-Identifier: MIT
 *
 * ram: the live section "ram" (docs/wire-format.md 7).
 *
 * Source: set-up lists the blocks, each step sends dirty pages until the budget is spent, complete sends the rest after a
 * last sync. Destination: set-up checks the list against the machine's blocks before a single page is taken.
 *
 * Threads: the session's; the counters may be read from any.
 */
#ifndef GW_RAM_H
#define GW_RAM_H

#include "godwit/stats.h"
#include "live/live.h"
#include "ram/lane/lane.h"
#include "ram/source/dirty.h"

struct gw_ram_config {
    struct gw_ram *ram;
    struct gw_tracker *tracker; /* source only; borrowed */
    bool ignore_shared;         /* x-ignore-shared: shared blocks with a name stay where they are */
    struct gw_lane *take_lane;   /* source: what pages go through */
    struct gw_store *take_store; /* destination: where they go to */
    /* Destination: a block that is not known; it is there when this returns 0. NULL: unknown blocks are refused. */
    int (*adopt)(void *opaque, const char *name, uint64_t used_bytes, struct gw_error *err);
    const struct gw_clock *clock;
    int (*notify)(void *opaque, enum gw_notify what, struct gw_error *err); /* around syncs */
    void (*synced)(void *opaque, uint64_t sync_count, uint64_t fresh_pages); /* a new pass begins */
    void *opaque;
};

/* For the source or the destination of one session. What it takes is its own from here on, also on failure. */
int gw_ram_live_new(const struct gw_ram_config *config, struct gw_live **ret_live, struct gw_error *err);

/* For the session's statistics; any thread. */
struct gw_ram_counts {
    uint64_t total_bytes, remaining_pages;
    uint64_t zero_pages, plain_pages, skipped_pages;
    uint64_t sync_count, dirty_pages_last_sync;
    uint64_t guessed_pages, missed_pages;
};
void gw_ram_live_counts(struct gw_live *live, struct gw_ram_counts *ret);
/* Destination: pages that never came, in all blocks; *ret_first (may be NULL) is the first block with some, or NULL. By the
 * session's thread, while it loads. */
uint64_t gw_ram_live_missing(struct gw_live *live, const struct gw_ram_block **ret_first);
/* So many pages will not be sent, because they were discarded meanwhile. Any thread. */
void gw_ram_live_skipped(struct gw_live *live, uint64_t pages);
/* R12. Any thread, while the session sends. */
uint64_t gw_ram_live_forget(struct gw_live *live, struct gw_ram_block *b, uint64_t first, uint64_t count);

#endif
