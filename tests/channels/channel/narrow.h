/* SPDX-License-Identifier: MIT
 *
 * narrow: a channel over another that is as narrow and as far away as wanted.
 *
 * Bandwidth: reads and writes go on at the rate set, cut into small pieces (pace.h). Latency: what is written is handed
 * on so much later, by a thread of the filter, while up to buffer_bytes are under way; an error of the channel behind
 * then shows in a later call. One of them on each end of a pair makes a link with a round-trip time.
 *
 * The wait for the rate is not "nothing moved": it never counts for the time-out.
 *
 * Features, name and all the rest are those of the channel behind. Threads: as in channel.h.
 */
#ifndef GW_CHANNEL_NARROW_H
#define GW_CHANNEL_NARROW_H

#include "base/base.h"
#include "godwit/channel.h"

struct gw_narrow_config {
    uint64_t write_bytes_per_s; /* 0: unlimited */
    uint64_t read_bytes_per_s;
    uint64_t latency_ns; /* 0: no thread, no buffer */
    size_t buffer_bytes; /* under way at most; 0: what the rate and the latency need */
};

/* Takes the channel whatever happens. */
int gw_narrow_new(struct gw_channel *take_next, const struct gw_narrow_config *config,
                    struct gw_channel **ret_channel, struct gw_error *err);
/* Any thread; ch is one that gw_narrow_new made. */
void gw_narrow_set(struct gw_channel *ch, uint64_t write_bytes_per_s, uint64_t read_bytes_per_s);

#endif
