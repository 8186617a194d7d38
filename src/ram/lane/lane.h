/* SPDX-License-Identifier: MIT
 *
 * lane: one codec chain and one layout. Batches go in, records come out.
 *
 *     batch --> [ codec chain --> layout --bytes--> writer ]
 *
 * A lane does not know what its codecs do: engine/plan.c has chosen them. The last codec of a chain claims every page
 * that is left. Threads of lanes, and the batches that they process, are in ram/lane/lanes.h.
 *
 * Threads: one owner at a time.
 */
#ifndef GW_LANE_H
#define GW_LANE_H

#include "ram/page/ops.h"

#define GW_LANE_CODECS 8

struct gw_lane;

/* Takes the layout, also on failure; NULL makes a lane that fails with -ENOMEM, so that constructors can be nested. */
int gw_lane_new(struct gw_layout *take_layout, struct gw_lane **ret, struct gw_error *err);
/* Takes NULL, returns NULL. */
struct gw_lane *gw_lane_free(struct gw_lane *l);
/* Adds the codec at the end of the chain. Takes it, also on failure. */
int gw_lane_add(struct gw_lane *l, struct gw_codec *take_codec, struct gw_error *err);

int gw_lane_begin(struct gw_lane *l, struct gw_error *err);
/* One of the codecs has threads: each batch must be started, if possible some time before it is put. */
bool gw_lane_holds(const struct gw_lane *l);
/* Batches are put in the order in which they were started, and belong to the lane meanwhile. After the lane's end the
 * caller owns those that were not put. Does nothing if no codec has threads. */
int gw_lane_start(struct gw_lane *l, struct gw_batch *batch, struct gw_error *err);
/* Writes what the layout adds to the entry of a block in the list, on the main stream. */
int gw_lane_list(struct gw_lane *l, struct gw_ram_block *b, struct gw_writer *w, struct gw_error *err);
/* Writes records of the whole batch. The writer references the bodies until its next flush. */
int gw_lane_put(struct gw_lane *l, struct gw_batch *batch, struct gw_writer *w, struct gw_error *err);
/* Codecs first, in the order of the chain, then the layout. Does not flush. */
int gw_lane_barrier(struct gw_lane *l, enum gw_barrier kind, struct gw_writer *w, struct gw_error *err);
void gw_lane_end(struct gw_lane *l);
/* Adds the pages put, and the figures of the codecs. Any thread. */
void gw_lane_progress(const struct gw_lane *l, struct gw_progress *sum);

#endif
