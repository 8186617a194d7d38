/* SPDX-License-Identifier: MIT
 *
 * lane: one codec chain, one layout, and the batch that goes through them.
 *
 *     source --batch--> [ codec chain --> layout --bytes--> writer ]
 *
 * A lane does not know what its codecs do: who made it (engine/plan.c) decided that. The last codec of a chain claims
 * every page that is left.
 *
 * Threads: one owner at a time.
 */
#ifndef GW_LANE_H
#define GW_LANE_H

#include "ram/page/ops.h"

#define GW_LANE_CODECS 8

struct gw_lane;

/* The layout is the lane's from here on, also on failure; NULL makes a lane that fails with -ENOMEM, so that makers can
 * be nested. */
int gw_lane_new(struct gw_layout *take_layout, struct gw_lane **ret, struct gw_error *err);
/* Takes NULL, returns NULL. */
struct gw_lane *gw_lane_free(struct gw_lane *l);
/* The codec comes behind those that are there. One with a `free` is the lane's, also on failure. */
int gw_lane_add(struct gw_lane *l, struct gw_codec *codec, struct gw_error *err);

int gw_lane_begin(struct gw_lane *l, struct gw_error *err);
/* Moves one batch of at most max pages; *ret_count 0: the source has nothing left for now. The writer may still hold
 * bytes, but no error. */
int gw_lane_step(struct gw_lane *l, struct gw_source *source, struct gw_writer *w, unsigned max, unsigned *ret_count,
                 struct gw_error *err);
void gw_lane_end(struct gw_lane *l);
/* Pages put, by form. */
uint64_t gw_lane_pages(const struct gw_lane *l, enum gw_form form);

#endif
