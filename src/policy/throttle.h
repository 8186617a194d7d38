/* SPDX-License-Identifier: MIT
 *
 * throttle: when the guest writes faster than the link carries, slow the guest (R11).
 *
 * Two ways, with the parameters that QMP users know: auto-converge takes CPU time from all vCPUs, in growing steps;
 * dirty-limit bounds what each vCPU may dirty. Both have one trigger, judged at the first sync after each second:
 *
 *     bytes dirtied in the period > bytes sent in the period * trigger_percent / 100
 *
 * and every second hit acts. auto-converge: `initial`, then `increment` more each time, up to `max`. With tailslow the
 * step is at most what would bring the dirtied bytes down to the trigger were they proportional to the CPU time left.
 * A throttle once set stays until the migration ends; the engine lifts it then, however it ends.
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
    bool auto_converge, dirty_limit;  /* when both: auto-converge */
    unsigned trigger_percent;         /* throttle-trigger-threshold */
    unsigned initial, increment, max; /* %, cpu-throttle-initial, cpu-throttle-increment, max-cpu-throttle */
    bool tailslow;
    uint64_t vcpu_bytes_per_s; /* vcpu-dirty-limit */
};

struct gw_throttle {
    bool begun;
    uint64_t period_ns, period_sent; /* when and with what total the period began */
    uint64_t period_dirty;           /* bytes found dirty since */
    uint64_t synced_ns;
    unsigned hits;
    unsigned percent;           /* what holds now */
    uint64_t vcpu_bytes_per_s;  /* what holds now; 0: no limit */
    uint64_t dirty_bytes_per_s; /* of the last whole period */
};

struct gw_throttle_out {
    bool changed;              /* tell the embedder */
    unsigned percent;          /* 0: none */
    uint64_t vcpu_bytes_per_s; /* 0: none */
};

void gw_throttle_init(struct gw_throttle *t, uint64_t now_ns);

/* After each dirty sync, the one before the first pass excluded. dirty_bytes: what the sync found new; sent_bytes: all
 * that was sent until now. Parameters may change between calls. */
void gw_throttle_round(struct gw_throttle *t, const struct gw_throttle_params *p, uint64_t now_ns, uint64_t dirty_bytes,
                       uint64_t sent_bytes, struct gw_throttle_out *ret);

/* A pass has gone on for so long that it must be cut by a sync. */
bool gw_throttle_sync_due(const struct gw_throttle *t, const struct gw_throttle_params *p, uint64_t now_ns);

#endif
