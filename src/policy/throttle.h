/* SPDX-License-Identifier: MIT
 *
 * throttle: slows the guest down when it writes faster than the link carries (R11).
 *
 * Two ways, with the parameters that QMP users know: auto-converge takes CPU time from all vCPUs, in growing steps;
 * dirty-limit bounds each vCPU's dirty rate. Both have the same trigger, evaluated at the first sync after each second:
 *
 *     bytes dirtied in the period > bytes sent in the period * trigger_percent / 100
 *
 * and every second hit takes effect. auto-converge: `initial`, then `increment` more each time, up to `max`. With
 * tailslow the step is at most the one that would reduce the dirtied bytes to the trigger if they were proportional to
 * the remaining CPU time. A throttle stays until the migration ends; then the engine removes it, whatever the result.
 *
 * While auto-converge is on, a pass is cut by a sync every 5 s: else a long first pass would delay the first step.
 *
 * Pure: no clock, no allocation; the same calls give the same answers. One owner.
 */
#ifndef GW_THROTTLE_H
#define GW_THROTTLE_H

#include "base/base.h"

#define GW_THROTTLE_PERIOD_NS (1 * GW_NS_PER_S)
#define GW_THROTTLE_SYNC_NS   (5 * GW_NS_PER_S)

struct gw_throttle_params {
    bool auto_converge, dirty_limit;  /* if both are set: auto-converge */
    unsigned trigger_percent;         /* throttle-trigger-threshold */
    unsigned initial, increment, max; /* %, cpu-throttle-initial, cpu-throttle-increment, max-cpu-throttle */
    bool tailslow;
    uint64_t vcpu_bytes_per_s; /* vcpu-dirty-limit */
};

struct gw_throttle {
    bool begun;
    uint64_t period_ns, period_sent; /* the period's start: time, and total bytes sent */
    uint64_t period_dirty;           /* bytes found dirty since then */
    uint64_t synced_ns;
    unsigned hits;
    unsigned percent;           /* current value */
    uint64_t vcpu_bytes_per_s;  /* current value; 0: no limit */
    uint64_t dirty_bytes_per_s; /* of the last complete period */
};

struct gw_throttle_out {
    bool changed;              /* the embedder must be told */
    unsigned percent;          /* 0: none */
    uint64_t vcpu_bytes_per_s; /* 0: none */
};

void gw_throttle_init(struct gw_throttle *t, uint64_t now_ns);

/* After each dirty sync, the one before the first pass excluded. dirty_bytes: what the sync found new; sent_bytes: all
 * that was sent until now. Parameters may change between calls. */
void gw_throttle_round(struct gw_throttle *t, const struct gw_throttle_params *p, uint64_t now_ns, uint64_t dirty_bytes,
                       uint64_t sent_bytes, struct gw_throttle_out *ret);

/* Whether a pass has run for so long that a sync must cut it. */
bool gw_throttle_sync_due(const struct gw_throttle *t, const struct gw_throttle_params *p, uint64_t now_ns);

#endif
