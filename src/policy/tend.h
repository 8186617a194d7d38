/* SPDX-License-Identifier: MIT
 *
 * tend: what to do about a guest that will not fit its downtime limit (x-godwit-tended-convergence).
 *
 * Told each round's rest, it sees a stall: over ROUNDS rounds and STALL_NS the rest did not get smaller by a sixteenth, and
 * the link is as it was. Then, in this order, each only when the one before it has had as many rounds and found nothing:
 *
 *   1. The limit is raised to the shortest downtime that one of these rounds would have cost, and a sixteenth more. So the
 *      machine is stopped at the next round that leaves as little: a local minimum. No limit is over the ceiling.
 *   2. No round was within the ceiling: the guest is slowed down, step by step, while the rest does not shrink (throttle.h), and
 *      what fits the ceiling is taken.
 *   3. It cannot be slowed down: said once. The rounds go on, and 1 comes when a rest is within the ceiling.
 *
 * A rest that fits a raised limit may still be let pass once, as one that fits the limit that was asked for may be (switchover.h):
 * where the guest has become quiet, the next is much smaller. The second one is taken.
 *
 * A link whose rate changed by a quarter begins the count again, at most LINK_CHANGES times, so that one that changes all the
 * time is not waited for for ever. Limits that were raised stay; a rest that fits the limit that was asked for needs none.
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
    uint64_t ceiling_ns;    /* the most that it may be raised to */
    bool can_throttle;      /* the machine can be slowed down */
};

enum gw_tend_move {
    GW_TEND_WATCH,    /* nothing changes */
    GW_TEND_RAISE,    /* the limit is higher now */
    GW_TEND_THROTTLE, /* from now on the guest may be slowed down */
    GW_TEND_HELPLESS, /* no round is within the ceiling, and the guest cannot be slowed down */
    GW_TEND_MOVE_COUNT
};
const char *gw_tend_move_name(enum gw_tend_move m);

struct gw_tend_out {
    enum gw_tend_move move;
    uint64_t limit_ns;     /* what holds now */
    bool throttle;         /* slow the guest down by another step if it is too fast */
    uint64_t best_ns;      /* not WATCH: the shortest downtime of the rounds looked at, and what was left then */
    uint64_t best_bytes;
    uint64_t rounds, ns;   /* not WATCH: so long there was no progress */
};

struct gw_tend {
    bool begun;
    uint64_t least_bytes;         /* the smallest rest, less than a sixteenth apart */
    uint64_t since_ns, rounds;    /* what is looked at: since it became less, or since the last move */
    uint64_t best_ns, best_bytes; /* in these rounds */
    uint64_t bytes_per_s;         /* when they began */
    unsigned link_changes;
    uint64_t last_bytes; /* the last round's rest */
    uint64_t raised_ns;  /* 0: the limit is as asked for */
    bool throttling, told;
    bool passed; /* a rest that fitted was let pass */
};

void gw_tend_init(struct gw_tend *t);
/* What holds before the next round: the limit that was asked for, or the raised one where that is higher. */
uint64_t gw_tend_limit(const struct gw_tend *t, uint64_t limit_ns, uint64_t ceiling_ns);
/* The limit was raised, a rest has fitted it, and another pass was made that did not lead to a smaller one: what fits next is
 * taken (gw_switch_in). */
bool gw_tend_takes(const struct gw_tend *t);
/* After each dirty sync that did not lead to the switch-over. */
void gw_tend_round(struct gw_tend *t, const struct gw_tend_in *in, struct gw_tend_out *ret);

#define GW_TEND_WORDS 200u
/* A sentence that says what was done and why; WATCH: an empty one. Always terminated. */
void gw_tend_say(char words[GW_TEND_WORDS], const struct gw_tend_in *in, const struct gw_tend_out *out);

#endif
