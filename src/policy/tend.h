/* SPDX-License-Identifier: MIT
 *
 * tend: decides what to do about a guest that does not fit its downtime limit (x-godwit-tended-convergence).
 *
 * From each round's rest it detects a stall: over ROUNDS rounds and STALL_NS the rest did not shrink by a sixteenth,
 * and the link has not changed. Then it acts in this order; each step needs another stall after the one before it:
 *
 *   1. The limit is raised to the shortest downtime that one of these rounds would have cost, and a sixteenth more. So
 *   the machine is stopped after the next round with as small a rest: a local minimum. No limit is over the ceiling.
 *   2. No round was within the ceiling: the guest is throttled, step by step, while the rest does not shrink
 *   (throttle.h), and a rest that fits the ceiling is accepted.
 *   3. The guest cannot be throttled: this is reported once. The rounds go on, and step 1 follows when a rest is within
 *   the ceiling.
 *
 * A rest that fits a raised limit may be skipped once, as one that fits the requested limit may be (switchover.h): if
 * the guest has become idle, the next rest is much smaller. The second one is accepted.
 *
 * A link whose rate changed by a quarter begins the count again, at most LINK_CHANGES times, so that a link that
 * changes all the time cannot delay the decision for ever. Raised limits stay; a rest that fits the requested limit
 * does not need them.
 *
 * Pure: no clock, no allocation; the same calls give the same answers. One owner.
 */
#ifndef GW_TEND_H
#define GW_TEND_H

#include "base/base.h"

#define GW_TEND_ROUNDS   4u
#define GW_TEND_STALL_NS (5 * GW_NS_PER_S)

struct gw_tend_in {
    uint64_t now_ns;        /* monotonic */
    uint64_t pending_bytes; /* found by a dirty sync made just now */
    uint64_t predicted_ns;  /* the downtime if the machine were stopped now (gw_switch_out); UINT64_MAX: unknown */
    uint64_t bytes_per_s;   /* typical bandwidth; 0: unknown */
    uint64_t limit_ns;      /* downtime-limit */
    uint64_t ceiling_ns;    /* the highest value to which it may be raised */
    bool can_throttle;      /* whether the machine can be throttled */
};

enum gw_tend_move {
    GW_TEND_WATCH,    /* no change */
    GW_TEND_RAISE,    /* the limit was raised */
    GW_TEND_THROTTLE, /* from now on the guest may be throttled */
    GW_TEND_HELPLESS, /* no round is within the ceiling, and the guest cannot be throttled */
    GW_TEND_MOVE_COUNT
};
const char *gw_tend_move_name(enum gw_tend_move m);

struct gw_tend_out {
    enum gw_tend_move move;
    uint64_t limit_ns;     /* the limit in effect */
    bool throttle;         /* throttle the guest by another step if it is too fast */
    uint64_t best_ns;      /* not WATCH: the shortest downtime of the counted rounds, and the rest then */
    uint64_t best_bytes;
    uint64_t rounds, ns;   /* not WATCH: how long there was no progress */
};

struct gw_tend {
    bool begun;
    uint64_t least_bytes;         /* the smallest rest; changes of less than a sixteenth are ignored */
    uint64_t since_ns, rounds;    /* start and number of the counted rounds: since it became smaller, or since the last move */
    uint64_t best_ns, best_bytes; /* the best of these rounds */
    uint64_t bytes_per_s;         /* bandwidth when they began */
    unsigned link_changes;
    uint64_t last_bytes; /* the last round's rest */
    uint64_t raised_ns;  /* 0: the requested limit is in effect */
    bool throttling, told;
    bool passed; /* a rest that fitted was skipped */
};

void gw_tend_init(struct gw_tend *t);
/* The limit for the next round: the requested one, or the raised one if that is higher. */
uint64_t gw_tend_limit(const struct gw_tend *t, uint64_t limit_ns, uint64_t ceiling_ns);
/* The limit was raised, a rest has fitted it, and another pass did not make it smaller: the next rest that fits is
 * accepted (gw_switch_in). */
bool gw_tend_takes(const struct gw_tend *t);
/* Called after each dirty sync that did not lead to the switchover. */
void gw_tend_round(struct gw_tend *t, const struct gw_tend_in *in, struct gw_tend_out *ret);

#define GW_TEND_WORDS 200u
/* Writes a sentence with the action and its reason; WATCH: an empty one. Always terminated. */
void gw_tend_say(char words[GW_TEND_WORDS], const struct gw_tend_in *in, const struct gw_tend_out *out);

#endif
