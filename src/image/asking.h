/* SPDX-License-Identifier: MIT
 *
 * asking: lets the progress function of a long job cancel it also while the job waits for something, such as a
 * compression program. The function is called again every ASK_NS with the last values.
 *
 *     struct gw_asking asking = {.progress = options->progress, .opaque = options->opaque};
 *
 *     inner.progress = gw_asking_step, inner.opaque = &asking;       what the job calls
 *     gw_asking_channel(&asking, pipe, &channel, err);               what it writes to
 *     filter.stop = gw_asking_again, filter.opaque = &asking;        what it waits for at the end
 *
 * Threads: the job's own.
 */
#ifndef GW_IMAGE_ASKING_H
#define GW_IMAGE_ASKING_H

#include "base/base.h"
#include "godwit/channel.h"

struct gw_asking {
    bool (*progress)(void *opaque, uint64_t done_bytes, uint64_t total_bytes); /* returns true: stop. NULL: the job cannot be
                                                                                * cancelled */
    void *opaque;
    uint64_t done_bytes, total_bytes; /* the last values */
};

/* This is a progress function; asking: the struct. */
bool gw_asking_step(void *asking, uint64_t done_bytes, uint64_t total_bytes);
bool gw_asking_again(void *asking);

/* Wraps a channel for writing; takes take_inner, also on failure. A waiting write fails with -ECANCELED when the job is
 * cancelled. Borrows the struct. */
int gw_asking_channel(struct gw_asking *asking, struct gw_channel *take_inner, struct gw_channel **ret_channel, struct gw_error *err);

#endif
