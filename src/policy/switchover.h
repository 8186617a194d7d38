/* SPDX-License-Identifier: MIT
 *
 * switchover: decides whether to continue, to sync, or to stop the machine now. (R10)
 *
 * Two aims, in this order:
 *   1. The machine is stopped no longer than the downtime limit. The prediction covers everything between the last
 *   instruction on the source and the first on the destination: stop, last sync, pending bytes, writes of the guest
 *   meanwhile, bytes in flight, device state, the answer; at the bandwidth that nine in ten measured spans exceed.
 *   2. The limit is a limit, not a budget. While another pass would shrink the rest materially and costs little, it is
 *      made: an idle machine is stopped for as long as stopping and starting take, not for 200 ms because 300 are
 *      allowed.
 *
 * The calls of one migration:
 *
 *     gw_switchover_init
 *     loop:  decide with exact = false and the estimate of what is pending
 *              CONTINUE   send a step (wait_ns first, when set), again
 *              SYNC       make a dirty sync, decide with exact = true
 *                           CONTINUE   the next pass
 *                           NOW        stop, sync, send the rest
 *
 * NOW is only ever the answer to exact = true. A pass sends all its pages before the next sync: for a guest that writes
 * less than the link carries that leaves less than syncing early, and for one that writes more neither helps.
 *
 * Termination: extra passes are bounded for the whole migration in number and time, and a rest that fits and does not
 * shrink leads to the switchover at once. A rest that fits at the typical bandwidth but never at the low one is
 * accepted after 8 syncs and 10 s (relaxed). If fixed costs exceed the limit, waiting does not help: the part that
 * passes can reduce must then fit an eighth of the limit, and predicted_ns is above the limit. With a limit of 0 the
 * switchover needs nothing pending.
 *
 * Nothing fits until the first window ended, or its 100 ms have passed with too little sent to fill it.
 *
 * Pure: no clock, no allocation; the same calls give the same answers. One owner.
 */
#ifndef GW_SWITCHOVER_H
#define GW_SWITCHOVER_H

#include "policy/window.h"

/* The parts of the downtime other than pending bytes; measured where possible, else 0. */
struct gw_switch_costs {
    uint64_t stop_ns;      /* the embedder's stop */
    uint64_t sync_ns;      /* one dirty sync of all memory */
    uint64_t device_bytes; /* device state on the wire */
    uint64_t device_ns;    /* time to make and to load it */
    uint64_t answer_ns;    /* a round trip, and the destination's start */
};

struct gw_switch_in {
    uint64_t now_ns;            /* monotonic */
    bool exact;                 /* pending_bytes is from a dirty sync made just now */
    bool dry;                   /* !exact: the last step had nothing left to send, regardless of pending_bytes */
    bool take;                  /* accept a rest that fits: no extra pass */
    bool allowed;               /* nothing else (acknowledgement, pause) prevents the switchover */
    uint64_t pending_bytes;     /* all bytes to be sent while the machine is stopped; pages at uncompressed size */
    uint64_t dirty_bytes;       /* exact: the part of them that this sync found */
    uint64_t in_flight_bytes;   /* on the wire: written but not received by the peer; 0: unknown */
    uint64_t limit_ns;          /* downtime-limit */
    uint64_t avail_bytes_per_s; /* avail-switchover-bandwidth; 0: estimate. Used as given: savings of compression are not added */
    struct gw_bandwidth bandwidth;
    struct gw_switch_costs costs;
};

enum gw_switch_verdict { GW_SWITCH_CONTINUE, GW_SWITCH_SYNC, GW_SWITCH_NOW };

enum gw_switch_reason {
    GW_SWITCH_PASS_RUNS,    /* CONTINUE: the pass is not over */
    GW_SWITCH_PASS_OVER,    /* SYNC */
    GW_SWITCH_NO_WINDOW,    /* CONTINUE: the bandwidth is not known */
    GW_SWITCH_TOO_MUCH,     /* CONTINUE: does not fit the limit */
    GW_SWITCH_PASS_PAYS,    /* CONTINUE: it fits, but another pass is worth it */
    GW_SWITCH_NOT_ALLOWED,  /* CONTINUE: it fits, but `allowed` is false */
    GW_SWITCH_NOTHING_LEFT, /* NOW, and so on */
    GW_SWITCH_SMALL,        /* a pass could save only an insignificant amount */
    GW_SWITCH_NO_SHRINKING, /* it fits and another pass would not make it smaller */
    GW_SWITCH_SPENT,        /* it fits, and the extra passes have used their limit */
    GW_SWITCH_RELAXED,      /* it has fitted at the typical bandwidth for a long time */
    GW_SWITCH_REASON_COUNT
};
/* "pass-runs" and the like. */
const char *gw_switch_reason_name(enum gw_switch_reason r);
const char *gw_switch_verdict_name(enum gw_switch_verdict v);

struct gw_switch_out {
    enum gw_switch_verdict verdict;
    enum gw_switch_reason reason;
    uint64_t predicted_ns;    /* the downtime if the machine were stopped now; UINT64_MAX: unknown */
    uint64_t threshold_bytes; /* pending bytes that fit the limit; 0 until the bandwidth is known */
    uint64_t wait_ns;         /* CONTINUE: call again after this time; do not spin */
};

#define GW_SWITCH_RATES 3u

struct gw_switchover {
    bool begun;
    uint64_t begun_ns;
    uint64_t synced_ns;              /* time of the last exact call, or of the start */
    uint64_t stuck_bytes;            /* pending bytes that no pass can send (bitmaps) */
    uint64_t rate[GW_SWITCH_RATES];  /* bytes dirtied a second in the last rounds, a ring */
    uint64_t dirty[GW_SWITCH_RATES]; /* bytes that these syncs found */
    uint64_t syncs;
    uint64_t extra_passes, extra_ns; /* extra passes made although the rest fitted */
    uint64_t extra_from_bytes;       /* pending bytes when the last of these began; 0: the last pass was not an extra one */
    uint64_t near_syncs, near_ns;    /* since when it fits only at the typical bandwidth */
};

void gw_switchover_init(struct gw_switchover *s);
void gw_switchover_decide(struct gw_switchover *s, const struct gw_switch_in *in, struct gw_switch_out *ret);
/* The guest's dirty rate in the last round, bytes per second; 0 before the second sync. */
uint64_t gw_switchover_dirty_rate(const struct gw_switchover *s);

#endif
