/* SPDX-License-Identifier: MIT
 *
 * lanes_in: the receiving side of lanes that have channels of their own.
 *
 *     channel PAGES 0 --> reader --> layout 0 (thread) --.
 *     channel PAGES 1 --> reader --> layout 1 (thread) --+--> store
 *     ...                                                --'
 *
 * A lane reads records up to the next mark, which its sender wrote at a barrier (ram/lane/lanes.h), and waits there.
 * The session's thread, when the main stream tells of the same barrier, waits for all lanes and lets them go on: what
 * was put before the barrier is in the store then, and nothing that was put after it.
 *
 * Postcopy: at one of these marks the lanes turn from writing pages into the memory to placing them beside a machine that runs
 * (gw_store.lane). Nothing else changes for them.
 *
 * Threads: all functions by one thread at a time: the session's, or the one that reads the main stream in its place. The store is
 * called by every lane.
 */
#ifndef GW_LANES_IN_H
#define GW_LANES_IN_H

#include "ram/lane/lanes.h"

struct gw_lanes_in;

/* config: as for the sending side, but `open` must not be NULL, and `account` is ignored. */
int gw_lanes_in_new(const struct gw_lanes_config *config, struct gw_lanes_in **ret, struct gw_error *err);
/* Takes NULL, returns NULL. Ends first. */
struct gw_lanes_in *gw_lanes_in_free(struct gw_lanes_in *l);
/* Before begin. The layout is theirs, also on failure. */
int gw_lanes_in_add(struct gw_lanes_in *l, struct gw_layout_in *take_layout, struct gw_error *err);

/* Pages of this block may come from now on. Before begin. */
int gw_lanes_in_add_block(struct gw_lanes_in *l, struct gw_ram_block *b, struct gw_error *err);
/* Opens the channels and reads. touched: as in struct gw_layout_in. After a failure end must come. */
int gw_lanes_in_begin(struct gw_lanes_in *l, struct gw_store *store, atomic_bool *touched, struct gw_error *err);
int gw_lanes_in_barrier(struct gw_lanes_in *l, struct gw_error *err);
/* The same, once, behind `listen` of the store: what comes behind this mark is for a machine that runs. A lane that ends from now on
 * is told as lost (gw_lanes_config.lost). */
int gw_lanes_in_follow(struct gw_lanes_in *l, struct gw_error *err);
/* Shuts the channels down and joins the threads; the layouts are as they were made. */
void gw_lanes_in_end(struct gw_lanes_in *l);

/* Adds the pages read. Any thread. */
void gw_lanes_in_progress(const struct gw_lanes_in *l, struct gw_progress *sum);

#endif
