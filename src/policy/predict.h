/* SPDX-License-Identifier: MIT
 *
 * predict: will it converge, when, with what downtime? For statistics and the progress line; decides nothing.
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
    uint64_t pending_bytes; /* what is left of this pass */
    uint64_t pass_ns;       /* how long this pass has run: what was dirtied in it is still to come */
    bool rate_known;        /* a sync after the first pass has been made */
    uint64_t dirty_bytes_per_s;
    uint64_t set_bytes;       /* the most that one sync found since the first pass; 0: unknown, so unbounded */
    uint64_t bytes_per_s;     /* typical bandwidth; 0: unknown */
    uint64_t threshold_bytes; /* gw_switch_out */
    uint64_t sync_ns;
};

enum gw_predict_answer { GW_PREDICT_UNKNOWN, GW_PREDICT_YES, GW_PREDICT_NO };

struct gw_predict_out {
    enum gw_predict_answer converges;
    uint64_t eta_ns;     /* until the machine is stopped. UNKNOWN: of this pass. NO: UINT64_MAX */
    uint64_t rest_bytes; /* left at that time; NO: what it settles at */
    unsigned passes;     /* still to come, this one included */
};

void gw_predict(const struct gw_predict_in *in, struct gw_predict_out *ret);

/* query-migrate's expected-downtime: the limit until the guest is known to write and the link to carry, then the bytes
 * dirty at the last sync at the present bandwidth. */
uint64_t gw_predict_expected_downtime_ns(uint64_t dirty_bytes_at_sync, uint64_t bytes_per_s, uint64_t limit_ns);

#endif
