/* SPDX-License-Identifier: MIT
 *
 * stuck: whether a migration will come to its end as things are, told from what query-migrate says, round after round.
 * The rule is the same for QEMU and for godwit; a godwit's own answer (`converges`) is not used.
 *
 * The downtime that is expected is what was dirty at the last sync by what the link carries. While it is over the limit
 * the migration goes on; when it has not shrunk for GW_STUCK_ROUNDS rounds, more rounds will not make it shrink.
 *
 * Pure. Any thread.
 */
#ifndef GODWIT_CLI_STUCK_H
#define GODWIT_CLI_STUCK_H

#include <stdbool.h>

#define GW_STUCK_ROUNDS 5
#define GW_STUCK_SHRUNK 0.95 /* of what it was: it has shrunk */

struct gw_stuck {
    double least_ms; /* that was expected; 0: nothing over the limit yet */
    double since;    /* the round in which it was */
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
