/* SPDX-License-Identifier: MIT
 *
 * flight: the batches that one lane has in flight, from the moment it gets them until the writer no longer needs their bodies.
 *
 *     put --> held (started: the codecs' threads work on it) --> flying (its records reference the bodies) --> the pool
 *
 * A lane whose codecs have no threads holds nothing. A batch whose records reference nothing goes back at once.
 *
 * Invariant: every batch that was put goes back to the pool exactly once, also on failure.
 *
 * Threads: one owner at a time, the lane's.
 */
#ifndef GW_FLIGHT_H
#define GW_FLIGHT_H

#include "ram/lane/lane.h"
#include "ram/lane/pool.h"

struct gw_flight {
    struct gw_lane *lane; /* borrowed, and the pool */
    struct gw_pool *pool;
    struct gw_batch *held;                 /* started, and not put yet */
    struct gw_batch *flying, **flying_end; /* put, oldest first; bodies may still be referenced */
};

/* Puts the batch, or begins with it and puts the one that was held. Takes the batch, also on failure. */
int gw_flight_put(struct gw_flight *f, struct gw_batch *take_batch, struct gw_writer *w, struct gw_error *err);
/* Puts the batch that is held. */
int gw_flight_finish(struct gw_flight *f, struct gw_writer *w, struct gw_error *err);
/* The barrier, behind all that was begun. */
int gw_flight_barrier(struct gw_flight *f, enum gw_barrier kind, struct gw_writer *w, struct gw_error *err);
/* Batches whose bytes the writer has passed on go back; all of them after an error of the writer, which is for good. */
void gw_flight_land(struct gw_flight *f, const struct gw_writer *w);
/* Flushes the writer, and lands. */
int gw_flight_flush(struct gw_flight *f, struct gw_writer *w, struct gw_error *err);
/* Waits for the oldest batch that flies, and lands. There must be one. */
int gw_flight_await(struct gw_flight *f, struct gw_writer *w, struct gw_error *err);
/* Ends the lane, and gives all batches back. The writer references nothing any more. */
void gw_flight_end(struct gw_flight *f);

#endif
