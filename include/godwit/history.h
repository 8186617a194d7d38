/* SPDX-License-Identifier: MIT
 *
 * history: how a migration went, from its start on: what was sent when, and what each round came to. It has a fixed size: the
 * longer the migration, the coarser it gets. What is left out is in the figures of what is kept.
 *
 * Times are nanoseconds since the start of the session.
 */
#ifndef GODWIT_HISTORY_H
#define GODWIT_HISTORY_H

#include "godwit/send.h"

#ifdef __cplusplus
extern "C" {
#endif

#define GW_HISTORY_SAMPLES 512
#define GW_HISTORY_ROUNDS  256

struct gw_sample {
    uint64_t at_ns;
    uint64_t transferred_bytes; /* since the start */
    uint64_t remaining_bytes;
    uint32_t round;    /* that ran then, from 1 */
    uint32_t throttle; /* percent of the vCPUs' time */
};

/* A round, or some that follow each other. */
struct gw_past_round {
    uint64_t first, count; /* the number of the first one; how many */
    uint64_t began_ns, duration_ns; /* duration 0: it still runs */
    uint64_t bytes, pages, zero_pages;
    uint64_t remaining_bytes; /* when the first one began */
    uint64_t limit_bytes;     /* what might have remained then to be sent within the downtime limit; 0: not known */
    uint64_t dirty_bytes;     /* that the guest dirtied meanwhile; 0 of a round that still runs */
};

struct gw_history {
    uint64_t stopped_ns; /* from then on the machine stood still; 0: it has not come to that */
    uint32_t samples, rounds;
    struct gw_sample sample[GW_HISTORY_SAMPLES];
    struct gw_past_round round[GW_HISTORY_ROUNDS]; /* the last one is the one in which the machine stood, if it came so far */
};

/* Fills the history_bytes that the program knows. Any thread, until gw_send_free. */
GW_API void gw_send_history_sized(struct gw_send *s, struct gw_history *ret_history, size_t history_bytes);
static inline void gw_send_history(struct gw_send *s, struct gw_history *ret_history)
{
    gw_send_history_sized(s, ret_history, sizeof *ret_history);
}

#ifdef __cplusplus
}
#endif
#endif
