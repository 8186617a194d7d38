/* SPDX-License-Identifier: MIT
 *
 * announce: how long to wait between the rounds of an announcement. The first round is at once.
 */
#ifndef GW_POLICY_ANNOUNCE_H
#define GW_POLICY_ANNOUNCE_H

#include <stdint.h>

struct gw_announce_timing {
    uint64_t initial_ms, max_ms, step_ms;
    uint64_t rounds;
};

/* The wait after round n, counted from 1: min(initial + (n - 1) * step, max). */
uint64_t gw_announce_wait_ns(const struct gw_announce_timing *t, uint64_t round);

#endif
