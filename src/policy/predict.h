/* SPDX-License-Identifier: MIT
 *
 * predict: whether a migration converges, when, and with what downtime. For statistics and the progress line; it
 * decides nothing.
 *
 * The model: the guest dirties at a rate, over a working set, so that in a time t it dirties W * r*t / (W + r*t) bytes
 * (all of r*t while that is little, never more than W); passes follow each other until the rest fits.
 *
 * Pure. Any thread.
 */
#ifndef GW_PREDICT_H
#define GW_PREDICT_H

#include "base/base.h"

struct gw_predict_in {
    uint64_t pending_bytes; /* bytes left of this pass */
    uint64_t pass_ns;       /* age of this pass: its dirty pages are not counted yet */
    bool rate_known;        /* a sync after the first pass has been made */
    uint64_t dirty_bytes_per_s;
    uint64_t set_bytes;       /* the largest amount that one sync found since the first pass; 0: unknown, so unbounded */
    uint64_t bytes_per_s;     /* typical bandwidth; 0: unknown */
    uint64_t threshold_bytes; /* gw_switch_out */
    uint64_t sync_ns;
};

enum gw_predict_answer { GW_PREDICT_UNKNOWN, GW_PREDICT_YES, GW_PREDICT_NO };

struct gw_predict_out {
    enum gw_predict_answer converges;
    uint64_t eta_ns;     /* time until the machine is stopped. UNKNOWN: until this pass ends. NO: UINT64_MAX */
    uint64_t rest_bytes; /* bytes left at that time; NO: the amount at which it stagnates */
    unsigned passes;     /* passes to come, including this one */
};

void gw_predict(const struct gw_predict_in *in, struct gw_predict_out *ret);

/* query-migrate's expected-downtime: the downtime limit until dirty rate and bandwidth are known, then the time for the
 * bytes dirty at the last sync at the current bandwidth. */
uint64_t gw_predict_expected_downtime_ns(uint64_t dirty_bytes_at_sync, uint64_t bytes_per_s, uint64_t limit_ns);

#endif
