/* SPDX-License-Identifier: MIT
 *
 * stuck: decides from query-migrate's figures, round after round, whether a migration will converge under current
 * conditions. The rule is the same for QEMU and for godwit; a godwit's own answer (`converges`) is not used.
 *
 * The expected downtime is the bytes dirty at the last sync divided by the bandwidth. While it is above the limit the
 * migration goes on; when it has not shrunk for GW_STUCK_ROUNDS rounds, more rounds will not make it shrink.
 *
 * Pure. Any thread.
 */
#ifndef GODWIT_CLI_STUCK_H
#define GODWIT_CLI_STUCK_H

#include <stdbool.h>

#define GW_STUCK_ROUNDS 5
#define GW_STUCK_SHRUNK 0.95 /* below this fraction of its old value it has shrunk */

struct gw_stuck {
    double least_ms; /* the smallest expected downtime; 0: none above the limit yet */
    double since;    /* the round in which it occurred */
};

/* Zeros at first. round: dirty-sync-count; expected_ms: expected-downtime, 0: not told; limit_ms: downtime-limit. */
static inline bool gw_stuck_step(struct gw_stuck *s, double round, double expected_ms, double limit_ms)
{
    if (expected_ms <= limit_ms) {
        s->least_ms = 0;
        return false;
    }
    if (s->least_ms == 0 || expected_ms < s->least_ms * GW_STUCK_SHRUNK) {
        s->least_ms = expected_ms;
        s->since = round;
    }
    return round - s->since >= GW_STUCK_ROUNDS;
}

#endif
