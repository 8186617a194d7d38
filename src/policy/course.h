/* SPDX-License-Identifier: MIT
 *
 * course: one simulated migration, round by round, with the decisions that the source would make.
 *
 * A godwit source is simulated with its own policy (switchover.h, throttle.h). A QEMU source syncs as soon as the known
 * rest fits into the downtime limit, and switches over if it still fits after the sync; it makes no further pass.
 *
 * The curve gives how much becomes dirty in a pass; in a set that is being sent, pages not sent yet count less
 * (early_share).
 *
 * Pure. Any thread.
 */
#ifndef GW_COURSE_H
#define GW_COURSE_H

#include "policy/curve.h"

/* All values are exact: a forecast varies them. Every member must be set. */
struct gw_course_in {
    double page_bytes;
    double zero_share, dirty_zero_share;
    struct gw_curve curve;
    double early; /* gw_forecast_in.early_share */
    double page_ns, zero_ns;
    double delay;                           /* a pass takes this many times as long because the host is busy; 1: it is idle */
    struct gw_forecast_codec coded, xbzrle; /* coded: the codec of every page; !known: none */
    double parallel;                        /* number of threads that code, or send */
    double frame_bytes;                     /* overhead of a page on the wire */
    double link;                            /* bytes per second; INFINITY: unknown */
    double limit;                           /* bytes per second; INFINITY: none */
    double noise;                           /* relative amount by which the slowest tenth of the link is slower */
    double downtime_limit_ns;
    double stop_ns, sync_ns, device_bytes, device_ns, answer_ns, setup_ns;
    double xbzrle_cache_bytes;
    unsigned throttle_trigger, throttle_initial, throttle_increment, throttle_max; /* 0: no auto-converge */
    double dirty_limit;                     /* bytes per second of the whole guest; 0: none */
    bool qemu;
};

struct gw_course {
    bool converges;
    double total_ns, downtime_ns, bytes;
    double rest_bytes;      /* due bytes when it was stopped or given up */
    double needed_limit_ns; /* !converges: the limit that this rest would fit */
    double speed;           /* bytes per second of plain pages with contents */
    unsigned throttle, rounds;
    struct gw_forecast_round round[GW_FORECAST_ROUNDS];
};

void gw_course_run(const struct gw_course_in *in, struct gw_course *ret);

#endif
