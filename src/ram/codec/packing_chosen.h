/* SPDX-License-Identifier: MIT
 *
 * packing_chosen: a packing in front of another one, which chooses for each packet how much it is compressed, or that it goes as it
 * is, by what that costs here and now (policy/choose.h).
 *
 * Ways: the level that was asked for; level 1 where that is another one; as it is. A packet goes as it is where the peer takes that
 * (docs/formats/extensions.md); with zlib it may else be stored, by level 0. zlib changes its level within its stream, which any
 * peer reads; zstd has to begin another frame, which is done where the peer is a godwit too.
 *
 * Threads: one owner, the lane's layout; `agreed` may be set by any thread.
 */
#ifndef GW_CODEC_PACKING_CHOSEN_H
#define GW_CODEC_PACKING_CHOSEN_H

#include "godwit/clock.h"
#include "ram/page/packing.h"
#include "trace/trace.h"

struct gw_packing_choice {
    const atomic_bool *agreed;           /* the peer takes packets as they are, and frames that end */
    uint64_t (*link)(const void *opaque); /* bytes a second that the rate limit leaves for this channel; 0: no limit. Any thread */
    const void *opaque;
    int level;
    unsigned channel;
    const struct gw_clock *clock; /* of writing; what coding takes is the thread's CPU time */
    const struct gw_trace *trace;
};

/* take_inner: a packer; ours, also on failure. */
int gw_packing_chosen_new(const struct gw_packing_choice *choice, struct gw_packing *take_inner, struct gw_packing **ret,
                          struct gw_error *err);

#endif
