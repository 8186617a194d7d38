/* SPDX-License-Identifier: MIT
 *
 * lanes: all the ways that pages go out by in one session, and the pool of batches that travel on them (pool.h). What
 * becomes of a batch on one way: flight.h.
 *
 *                        .--> lane 0 (thread) --> writer --> channel PAGES 0
 *     source --> batch --+--> lane 1 (thread) --> writer --> channel PAGES 1
 *                        '--> ...
 *     or                 ---> the one lane, on the caller's thread --> the writer of the main stream
 *     or both: a lane of the second kind in front of those of the first
 *
 * Life of a batch:  gw_lanes_batch --> source->next --> gw_lanes_submit --> source->sent --> the pool
 *
 * Order: batches of different lanes may arrive in any order. What was submitted before a barrier has been written, and
 * the layouts have told the receiver of the barrier, when gw_lanes_barrier returns. Behind the barrier POSTCOPY nothing comes again,
 * and lanes with channels do not stop at a step's end. A batch that goes on where the one before it ended goes by the same lane.
 *
 * Invariants
 *   1. Every batch that was submitted goes back to its source exactly once, also when its lane fails or never starts.
 *   2. A batch goes back only after the writer has passed its bytes on, or has failed for good. A writer that does not copy
 *      bodies has passed them on when the kernel has let go of them; a lane without work waits for that.
 *   3. A lane that failed accepts batches and drops them; its error is told by the next submit or barrier.
 *
 * Threads: batch, submit, barrier, begin and end by the session's thread. bytes and pages by any. A cancel is not told
 * here: it shuts the channels down, and the lanes fail.
 */
#ifndef GW_LANES_H
#define GW_LANES_H

#include "ram/lane/lane.h"

#define GW_LANES_MAX 64

struct gw_lanes_config {
    /* Lanes that have a channel and a thread of their own open it when they begin: lane i gets channel i, which stays
     * open until end. NULL: there is one lane, and it writes to the main stream. */
    int (*open)(void *opaque, unsigned i, struct gw_channel **ret, struct gw_error *err);
    void *opaque;
    struct gw_account *account; /* what they put is booked there; may be NULL */
    bool zerocopy;              /* sending, with `open`: bodies are not copied (channel/zerocopy.h) */
    /* Receiving: a lane found what it reads to be wrong, or could not place it. On the lane's thread. May be NULL */
    void (*failed)(void *opaque, const struct gw_error *why);
    /* Receiving, behind gw_lanes_in_follow, in place of it: a lane has ended, for whatever reason. May be NULL */
    void (*lost)(void *opaque, const struct gw_error *why);
};

struct gw_lanes;

int gw_lanes_new(const struct gw_lanes_config *config, struct gw_lanes **ret, struct gw_error *err);
/* Takes NULL, returns NULL. Ends first. */
struct gw_lanes *gw_lanes_free(struct gw_lanes *l);
/* Before begin. The lane is theirs, also on failure; NULL is passed on as the failure that made it. */
int gw_lanes_add(struct gw_lanes *l, struct gw_lane *take_lane, struct gw_error *err);

/* A lane in front of those that have channels: each batch goes through it first, on the caller's thread, and what it puts
 * goes to the main stream. What it claims is nobody else's to put. When all lanes have reached a barrier, so does it. The
 * lane is theirs, also on failure; NULL is passed on. */
void gw_lanes_set_front(struct gw_lanes *l, struct gw_lane *take_lane);

/* A lane for urgent batches, in place of those that have channels: on the caller's thread, and what it puts goes to the main stream
 * and is flushed. The lane is theirs, also on failure; NULL is passed on. */
void gw_lanes_set_urgent(struct gw_lanes *l, struct gw_lane *take_lane);

/* Bodies of the batches of so many lanes: the memory that may be locked at a time where they are not copied. */
uint64_t gw_lanes_body_bytes(unsigned count, uint32_t page_bytes);

/* After a failure end must come. */
int gw_lanes_begin(struct gw_lanes *l, struct gw_error *err);
/* The entry of this block was put into the list. One layout speaks for all. */
int gw_lanes_list(struct gw_lanes *l, struct gw_ram_block *b, struct gw_writer *w, struct gw_error *err);
/* An empty batch for this source. Waits until one comes back; w is the writer of the main stream, which is flushed when
 * that helps. It has to be submitted. */
int gw_lanes_batch(struct gw_lanes *l, struct gw_source *source, struct gw_writer *w, struct gw_batch **ret,
                   struct gw_error *err);
/* Takes the batch, also on failure. One without pages goes back at once. */
int gw_lanes_submit(struct gw_lanes *l, struct gw_batch *take_batch, struct gw_writer *w, struct gw_error *err);
int gw_lanes_barrier(struct gw_lanes *l, enum gw_barrier kind, struct gw_writer *w, struct gw_error *err);
void gw_lanes_end(struct gw_lanes *l);

/* Put on channels other than the main stream's. */
uint64_t gw_lanes_bytes(const struct gw_lanes *l);
void gw_lanes_progress(const struct gw_lanes *l, struct gw_progress *sum);

#endif
