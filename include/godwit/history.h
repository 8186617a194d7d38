/* SPDX-License-Identifier: MIT
 *
 * history: the course of a migration from its start: samples of progress over time, and figures of each round. It has a fixed
 * size: the longer the migration, the fewer samples per second, and rounds are merged; sums stay exact.
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
    uint32_t round;    /* the current round, from 1 */
    uint32_t throttle; /* percent of the vCPUs' time */
};

/* A round, or several consecutive ones merged. */
struct gw_past_round {
    uint64_t first, count; /* the number of the first round; how many were merged */
    uint64_t began_ns, duration_ns; /* duration 0: it still runs */
    uint64_t bytes, pages, zero_pages;
    uint64_t remaining_bytes; /* when the first one began */
    uint64_t limit_bytes;     /* remaining_bytes that could have been sent within the downtime limit then; 0: not known */
    uint64_t dirty_bytes;     /* dirtied by the guest meanwhile; 0 for a round that still runs */
};

struct gw_history {
    uint64_t stopped_ns; /* when the machine was stopped for the switch-over; 0: not yet */
    uint32_t samples, rounds;
    struct gw_sample sample[GW_HISTORY_SAMPLES];
    struct gw_past_round round[GW_HISTORY_ROUNDS]; /* once stopped_ns is set, the last one is the round with the machine stopped */
};

/* Fills at most history_bytes, the size that the program knows. Any thread, until gw_send_free. */
GW_API void gw_send_history_sized(struct gw_send *s, struct gw_history *ret_history, size_t history_bytes);
static inline void gw_send_history(struct gw_send *s, struct gw_history *ret_history)
{
    gw_send_history_sized(s, ret_history, sizeof *ret_history);
}

#ifdef __cplusplus
}
#endif
#endif
