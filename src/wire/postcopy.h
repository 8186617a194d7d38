/* SPDX-License-Identifier: MIT
 *
 * postcopy: the commands that prepare postcopy, as a destination reads them (docs/wire-format.md 5, 10.2, 10.3).
 *
 *     NONE --ADVISE--> ADVISED --RAM_DISCARD--> DISCARDING --LISTEN--> LISTENING --RUN--> RUNNING
 *                         \________________________LISTEN______________^
 *
 * The grammar (grammar.h) defines the order among other elements; this defines which commands must come before each
 * command.
 *
 * Hostile: every length and number is checked; -EPROTO, blame PEER.
 */
#ifndef GW_WIRE_POSTCOPY_H
#define GW_WIRE_POSTCOPY_H

#include "base/cursor.h"

enum gw_postcopy { GW_POSTCOPY_NONE, GW_POSTCOPY_ADVISED, GW_POSTCOPY_DISCARDING, GW_POSTCOPY_LISTENING, GW_POSTCOPY_RUNNING,
                   GW_POSTCOPY_COUNT };

/* Takes one command. false: it is not allowed now; *state is unchanged. A package only needs ADVISE before it. */
bool gw_postcopy_step(enum gw_postcopy *state, uint16_t command);
/* "not advised", "advised", ... for messages. */
const char *gw_postcopy_name(enum gw_postcopy state);

struct gw_wire_advise {
    uint64_t host_pages; /* the source's host page sizes, all in one word */
    uint64_t page_bytes; /* size of a target page */
};
#define GW_ADVISE_BYTES 16u
void gw_advise_put(uint8_t dst[GW_ADVISE_BYTES], const struct gw_wire_advise *advise);
/* bytes: size of the payload. -ENOTSUP: only dirty bitmaps would follow. */
int gw_advise_get(struct gw_in *in, uint16_t bytes, struct gw_wire_advise *ret, struct gw_error *err);

/* Reads the part of RAM_DISCARD before the ranges. bytes: size of the payload; *ret_ranges: number of ranges that
 * follow, at least one. */
int gw_discard_get(struct gw_in *in, uint16_t bytes, char name[256], unsigned *ret_ranges, struct gw_error *err);
/* Reads the next range. The caller checks whether the block contains it. */
int gw_discard_get_range(struct gw_in *in, uint64_t *ret_start, uint64_t *ret_bytes, struct gw_error *err);

#endif
