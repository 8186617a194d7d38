/* SPDX-License-Identifier: MIT
 *
 * lanes_in: the receiving side of lanes that have channels of their own.
 *
 *     channel PAGES 0 --> reader --> layout 0 (thread) --.
 *     channel PAGES 1 --> reader --> layout 1 (thread) --+--> store
 *     ...                                                --'
 *
 * A lane reads records up to the next mark, which its sender wrote at a barrier (ram/lane/lanes.h), and waits there.
 * When the main stream reports the same barrier, the session's thread waits for all lanes and lets them continue: at
 * that time the store has everything that was written before the barrier, and nothing that was written after it.
 *
 * Postcopy: from one of these marks on the lanes no longer write pages into the memory, but place them while the
 * machine runs (gw_store.lane). Nothing else changes for them.
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
/* Takes NULL, returns NULL. Calls end first. */
struct gw_lanes_in *gw_lanes_in_free(struct gw_lanes_in *l);
/* Call before begin. Takes the layout, also on failure. */
int gw_lanes_in_add(struct gw_lanes_in *l, struct gw_layout_in *take_layout, struct gw_error *err);

/* Pages of this block may come from now on. Call before begin. */
int gw_lanes_in_add_block(struct gw_lanes_in *l, struct gw_ram_block *b, struct gw_error *err);
/* Opens the channels and starts the threads. touched: as in struct gw_layout_in. Call end even after a failure. */
int gw_lanes_in_begin(struct gw_lanes_in *l, struct gw_store *store, atomic_bool *touched, struct gw_error *err);
int gw_lanes_in_barrier(struct gw_lanes_in *l, struct gw_error *err);
/* The machine has arrived. Lanes read on until end, since a source may still send empty packets; pages are refused, and errors and closed
 * channels are ignored. */
void gw_lanes_in_over(struct gw_lanes_in *l);
/* The same, once, after `listen` of the store: pages after this mark are for a machine that runs. A lane that ends from
 * now on is reported with gw_lanes_config.lost. */
int gw_lanes_in_follow(struct gw_lanes_in *l, struct gw_error *err);
/* Shuts the channels down and joins the threads; the layouts are in the state after their creation. */
void gw_lanes_in_end(struct gw_lanes_in *l);

/* Adds the pages read. Any thread. */
void gw_lanes_in_progress(const struct gw_lanes_in *l, struct gw_progress *sum);

#endif
