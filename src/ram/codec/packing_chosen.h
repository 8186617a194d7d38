/* SPDX-License-Identifier: MIT
 *
 * packing_chosen: a packing in front of another one. It chooses for each packet the compression level, or none, by the
 * measured costs (policy/choose.h).
 *
 * Ways: the level of the options; level 1, if that is different; uncompressed. A packet is sent uncompressed if the
 * peer supports that (docs/formats/extensions.md); with zlib it can otherwise be stored, with level 0. zlib changes its
 * level within its stream, which any peer can read; zstd has to begin another frame, which is only done if the peer is
 * a godwit too.
 *
 * Threads: one owner, the lane's layout; `agreed` may be set by any thread.
 */
#ifndef GW_CODEC_PACKING_CHOSEN_H
#define GW_CODEC_PACKING_CHOSEN_H

#include "godwit/clock.h"
#include "ram/page/packing.h"
#include "trace/trace.h"

struct gw_packing_choice {
    const atomic_bool *agreed;           /* the peer accepts uncompressed packets, and frames that end */
    uint64_t (*link)(const void *opaque); /* bytes a second that the rate limit leaves for this channel; 0: no limit. Any thread */
    const void *opaque;
    int level;
    unsigned channel;
    const struct gw_clock *clock; /* for the time of writing; the cost of compression is the thread's CPU time */
    const struct gw_trace *trace;
};

/* take_inner: a packer; taken, also on failure. */
int gw_packing_chosen_new(const struct gw_packing_choice *choice, struct gw_packing *take_inner, struct gw_packing **ret,
                          struct gw_error *err);

#endif
