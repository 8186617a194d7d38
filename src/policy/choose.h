/* SPDX-License-Identifier: MIT
 *
 * choose: selects how the next packet of a channel is sent: compressed much, little, or not at all.
 * (x-godwit-adaptive-compression)
 *
 * A way of sending is a number, below the number of ways. The cost of a way is measured: the time for a MiB of pages,
 * which is the CPU time of coding plus the time of writing the result, or, if longer, its time at the rate limit. Each
 * way is tried for BLOCK packets; the first WARM of them do not count, since earlier data is still in the link's
 * buffers. Then the cheapest is used, and its cost is updated. From time to time another one is tried for a block:
 * after FIRST_REST blocks, doubled after each trial without success, up to LAST_REST. Another way is taken when it is
 * cheaper by an eighth. A trial that shows twice the cost ends early. When the cost of the best has doubled or halved,
 * the link or the contents have changed, and all others are tried again.
 *
 * Pure: no clock, no allocation; the same calls give the same answers. One owner.
 */
#ifndef GW_CHOOSE_H
#define GW_CHOOSE_H

#include "base/base.h"

#define GW_CHOOSE_WAYS       4u
#define GW_CHOOSE_BLOCK      8u
#define GW_CHOOSE_WARM       2u
#define GW_CHOOSE_FIRST_REST 4u
#define GW_CHOOSE_LAST_REST  32u

struct gw_choose_sample {
    uint64_t page_bytes; /* uncompressed size of the pages */
    uint64_t wire_bytes;
    uint64_t cpu_ns;           /* CPU time of coding */
    uint64_t write_ns;         /* time of writing */
    uint64_t link_bytes_per_s; /* share of the rate limit for this channel; 0: no limit */
};

struct gw_choose {
    unsigned ways, allowed;   /* allowed: one bit for each way */
    unsigned best, now;       /* best: the cheapest; now: the one used in this block */
    unsigned packets;         /* packets in this block */
    unsigned blocks, rest;    /* blocks since the last trial; rest: blocks until the next one */
    unsigned tried;           /* the way tried last */
    struct gw_choose_sample sum;
    uint64_t settled_ns;              /* cost of the best when the others were measured */
    uint64_t cost_ns[GW_CHOOSE_WAYS]; /* per MiB of pages; 0: not tried yet */
};

/* ways: 1 to GW_CHOOSE_WAYS; way 0 is always allowed, and used first. */
void gw_choose_init(struct gw_choose *c, unsigned ways);
/* The way of the next packet. allowed may change between calls. */
unsigned gw_choose_next(struct gw_choose *c, unsigned allowed);
/* Adds the measurement of the last packet. True when the best way changed, or became known: c->best. */
bool gw_choose_sent(struct gw_choose *c, const struct gw_choose_sample *s);

#endif
