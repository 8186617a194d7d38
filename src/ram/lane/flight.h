/* SPDX-License-Identifier: MIT
 *
 * flight: the batches that one lane has in flight: from the moment that it gets them until the writer no longer needs
 * their bodies.
 *
 *     put --> held (started: the codecs' threads work on it) --> flying (its records reference the bodies) --> the pool
 *
 * A lane whose codecs have no threads holds nothing. A batch whose records reference no bodies goes back at once.
 *
 * Invariant: every batch that was given to gw_flight_put goes back to the pool exactly once, also on failure.
 *
 * Threads: one owner at a time, the lane's.
 */
#ifndef GW_FLIGHT_H
#define GW_FLIGHT_H

#include "ram/lane/lane.h"
#include "ram/lane/pool.h"

struct gw_flight {
    struct gw_lane *lane; /* both borrowed */
    struct gw_pool *pool;
    struct gw_batch *held;                 /* started, and not written yet */
    struct gw_batch *flying, **flying_end; /* written, oldest first; their bodies may still be referenced */
};

/* Writes the batch; if the lane holds batches, starts it and writes the one that was held. Takes the batch, also on
 * failure. */
int gw_flight_put(struct gw_flight *f, struct gw_batch *take_batch, struct gw_writer *w, struct gw_error *err);
/* Writes the batch that is held. */
int gw_flight_finish(struct gw_flight *f, struct gw_writer *w, struct gw_error *err);
/* Writes the batch that is held, then the barrier. */
int gw_flight_barrier(struct gw_flight *f, enum gw_barrier kind, struct gw_writer *w, struct gw_error *err);
/* Gives back the batches whose bytes the writer has passed on; all of them after an error of the writer, which is
 * permanent. */
void gw_flight_land(struct gw_flight *f, const struct gw_writer *w);
/* Flushes the writer, then calls gw_flight_land. */
int gw_flight_flush(struct gw_flight *f, struct gw_writer *w, struct gw_error *err);
/* Waits for the oldest batch in flight, then calls gw_flight_land. There must be one. */
int gw_flight_await(struct gw_flight *f, struct gw_writer *w, struct gw_error *err);
/* Ends the lane, and gives all batches back. The writer references no bodies any more. */
void gw_flight_end(struct gw_flight *f);

#endif
