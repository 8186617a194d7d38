/* SPDX-License-Identifier: MIT
 *
 * lanes: all the lanes by which pages go out in one session, and their pool of batches (pool.h). flight.h follows a
 * batch on one lane.
 *
 *                        .--> lane 0 (thread) --> writer --> channel PAGES 0
 *     source --> batch --+--> lane 1 (thread) --> writer --> channel PAGES 1
 *                        '--> ...
 *     or                 ---> the one lane, on the caller's thread --> the writer of the main stream
 *     or both: a lane of the second kind in front of those of the first
 *
 * Life of a batch:  gw_lanes_batch --> source->next --> gw_lanes_submit --> source->sent --> the pool
 *
 * Order: batches of different lanes may arrive in any order. When gw_lanes_barrier returns, all batches that were
 * submitted before it have been written, and so have the marks that tell the receiver of the barrier. After the barrier
 * POSTCOPY no page is sent again, and lanes with channels do not stop at the end of a step. A batch with `goes_on`
 * travels on the same lane as the batch before it.
 *
 * Invariants
 *   1. Every batch that was submitted goes back to its source exactly once, also when its lane fails or never starts.
 *   2. A batch goes back only after the writer has passed its bytes on, or has failed for good. A zero-copy writer has
 * passed them on when the kernel does not use them any more; a lane without work waits for that.
 *   3. A lane that failed accepts batches and drops them; the next submit or barrier returns its error.
 *
 * Threads: batch, submit, barrier, begin and end by the session's thread. bytes and pages by any. A cancel is not
 * reported to the lanes: it shuts the channels down, and the lanes fail.
 */
#ifndef GW_LANES_H
#define GW_LANES_H

#include "ram/lane/lane.h"

#define GW_LANES_MAX 64

struct gw_lanes_config {
    /* Lanes with a channel and a thread of their own open the channel when they begin: lane i gets channel i, which
     * stays open until end. NULL: there is one lane, and it writes to the main stream. */
    int (*open)(void *opaque, unsigned i, struct gw_channel **ret, struct gw_error *err);
    void *opaque;
    struct gw_account *account; /* counts what they write; may be NULL */
    bool zerocopy;              /* when sending with `open`: bodies are not copied (channel/zerocopy.h) */
    /* When receiving: a lane has read something invalid, or could not place it. On the lane's thread. May be NULL */
    void (*failed)(void *opaque, const struct gw_error *why);
    /* When receiving, after gw_lanes_in_follow, instead of `failed`: a lane has ended, for whatever reason. May be
     * NULL */
    void (*lost)(void *opaque, const struct gw_error *why);
};

struct gw_lanes;

int gw_lanes_new(const struct gw_lanes_config *config, struct gw_lanes **ret, struct gw_error *err);
/* Takes NULL, returns NULL. Calls end first. */
struct gw_lanes *gw_lanes_free(struct gw_lanes *l);
/* Call before begin. Takes the lane, also on failure; NULL stands for a lane whose creation failed. */
int gw_lanes_add(struct gw_lanes *l, struct gw_lane *take_lane, struct gw_error *err);

/* Sets a lane in front of those with channels: each batch goes through it first, on the caller's thread, and its
 * records go to the main stream. The other lanes do not write the pages that it claims. It reaches a barrier after all
 * other lanes have. Takes the lane, also on failure; NULL stands for a failed creation. */
void gw_lanes_set_front(struct gw_lanes *l, struct gw_lane *take_lane);

/* Sets a lane for urgent batches, instead of those with channels: on the caller's thread; it writes to the main stream,
 * and flushes. Takes the lane, also on failure; NULL stands for a failed creation. */
void gw_lanes_set_urgent(struct gw_lanes *l, struct gw_lane *take_lane);

/* Size of the bodies of all batches of so many lanes: with zero copy, this memory may be locked at the same time. */
uint64_t gw_lanes_body_bytes(unsigned count, uint32_t page_bytes);

/* Call end even after a failure. */
int gw_lanes_begin(struct gw_lanes *l, struct gw_error *err);
/* Call when the entry of this block was written to the list. One layout adds to it for all lanes. */
int gw_lanes_list(struct gw_lanes *l, struct gw_ram_block *b, struct gw_writer *w, struct gw_error *err);
/* An empty batch for this source, which must be submitted. Waits until one is free; w is the writer of the main stream,
 * which is flushed if that helps. */
int gw_lanes_batch(struct gw_lanes *l, struct gw_source *source, struct gw_writer *w, struct gw_batch **ret,
                   struct gw_error *err);
/* Takes the batch, also on failure. A batch without pages goes back at once. */
int gw_lanes_submit(struct gw_lanes *l, struct gw_batch *take_batch, struct gw_writer *w, struct gw_error *err);
int gw_lanes_barrier(struct gw_lanes *l, enum gw_barrier kind, struct gw_writer *w, struct gw_error *err);
void gw_lanes_end(struct gw_lanes *l);

/* Bytes written on channels other than the main stream. */
uint64_t gw_lanes_bytes(const struct gw_lanes *l);
void gw_lanes_progress(const struct gw_lanes *l, struct gw_progress *sum);

#endif
