/* SPDX-License-Identifier: MIT
 *
 * choose: how is the next packet of a channel best sent: compressed much, little, or as it is? (x-godwit-adaptive-compression)
 *
 * A way of sending is a number, below the number of ways. What a way costs is measured: the time that a MiB of pages takes, which is
 * the CPU time of coding it and the time of writing what comes of it, or the time that this takes at the rate limit where that
 * is longer. Each way is tried for BLOCK packets; the first WARM of them do not count, for what was written before is still in
 * the buffers of the link. Then the cheapest goes on, its cost being kept up to date, and from time to time another one is tried for a
 * block: after FIRST_REST blocks, and twice as many each time that nothing came of it, LAST_REST at most. Another way is taken when it
 * is cheaper by an eighth. A trial that shows twice the cost ends early. When the cost of the best has doubled or halved, the link or the
 * contents are not what they were, and all others are tried again.
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
    uint64_t page_bytes; /* pages as they are */
    uint64_t wire_bytes;
    uint64_t cpu_ns;           /* of coding */
    uint64_t write_ns;         /* of writing */
    uint64_t link_bytes_per_s; /* what the rate limit leaves for this channel; 0: there is none */
};

struct gw_choose {
    unsigned ways, allowed;   /* allowed: a bit for each */
    unsigned best, now;       /* now: of this block */
    unsigned packets;         /* in this block */
    unsigned blocks, rest;    /* since the last trial; until the next one */
    unsigned tried;           /* the last other way */
    struct gw_choose_sample sum;
    uint64_t settled_ns;              /* what the best cost when the others were measured */
    uint64_t cost_ns[GW_CHOOSE_WAYS]; /* for a MiB of pages; 0: not tried yet */
};

/* ways: 1 to GW_CHOOSE_WAYS; way 0 is always allowed, and the first. */
void gw_choose_init(struct gw_choose *c, unsigned ways);
/* The way of the next packet. allowed may change between calls. */
unsigned gw_choose_next(struct gw_choose *c, unsigned allowed);
/* What came of it. True when from now on another way is the best, or the first best is known: c->best. */
bool gw_choose_sent(struct gw_choose *c, const struct gw_choose_sample *s);

#endif
