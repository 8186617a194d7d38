/* SPDX-License-Identifier: MIT */
#include "policy/predict.h"

#include "policy/window.h"

#define PASSES_MAX 200u

static uint64_t dirtied(const struct gw_predict_in *in, uint64_t ns)
{
    double x = (double)in->dirty_bytes_per_s * (double)ns / 1e9, w = (double)in->set_bytes;

    if (w > 0)
        x = w * x / (w + x);
    return x < 9e18 ? (uint64_t)x : (uint64_t)9e18;
}

void gw_predict(const struct gw_predict_in *in, struct gw_predict_out *ret)
{
    struct gw_predict_out out = {.rest_bytes = in->pending_bytes};
    uint64_t rest = in->pending_bytes, ns = in->pass_ns, least = UINT64_MAX;

    if (!in->bytes_per_s) {
        out.eta_ns = UINT64_MAX;
        *ret = out;
        return;
    }
    if (!in->rate_known) {
        out.eta_ns = gw_time_for(rest, in->bytes_per_s);
        out.passes = 1;
        *ret = out;
        return;
    }
    for (out.converges = GW_PREDICT_NO; out.passes < PASSES_MAX;) {
        uint64_t t = gw_time_for(rest, in->bytes_per_s);

        if (t > UINT64_MAX / 4 || out.eta_ns > UINT64_MAX / 4)
            break;
        t += in->sync_ns;
        out.eta_ns += t;
        out.passes++;
        rest = dirtied(in, t + ns); /* writes in the current pass count from its start */
        ns = 0;
        out.rest_bytes = rest;
        if (rest <= in->threshold_bytes) {
            out.converges = GW_PREDICT_YES;
            break;
        }
        if (rest >= least - least / 100)
            break;
        least = rest;
    }
    if (out.converges == GW_PREDICT_NO)
        out.eta_ns = UINT64_MAX;
    *ret = out;
}

uint64_t gw_predict_expected_downtime_ns(uint64_t dirty_bytes_at_sync, uint64_t bytes_per_s, uint64_t limit_ns)
{
    if (!dirty_bytes_at_sync || !bytes_per_s)
        return limit_ns;
    return gw_time_for(dirty_bytes_at_sync, bytes_per_s);
}
