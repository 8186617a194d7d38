/* SPDX-License-Identifier: MIT */
#include "policy/throttle.h"

#include "policy/window.h"

void gw_throttle_init(struct gw_throttle *t, uint64_t now_ns)
{
    *t = (struct gw_throttle){.begun = true, .period_ns = now_ns, .synced_ns = now_ns};
}

static unsigned step_percent(const struct gw_throttle *t, const struct gw_throttle_params *p, uint64_t dirty,
                             uint64_t trigger)
{
    unsigned cpu_now = 100 - t->percent, cpu_ideal;

    if (!p->tailslow || !dirty)
        return p->increment;
    cpu_ideal = (unsigned)((unsigned __int128)cpu_now * trigger / dirty);
    return GW_MIN(p->increment, cpu_now > cpu_ideal ? cpu_now - cpu_ideal : 0);
}

static void act(struct gw_throttle *t, const struct gw_throttle_params *p, uint64_t dirty, uint64_t trigger)
{
    if (p->auto_converge) {
        unsigned percent = t->percent ? t->percent + step_percent(t, p, dirty, trigger) : p->initial;

        /* Lowering the maximum during a migration does not speed the guest up again. */
        t->percent = GW_MAX(t->percent, GW_MIN(percent, p->max));
    } else {
        t->vcpu_bytes_per_s = p->vcpu_bytes_per_s;
    }
}

void gw_throttle_round(struct gw_throttle *t, const struct gw_throttle_params *p, uint64_t now_ns, uint64_t dirty_bytes,
                       uint64_t sent_bytes, struct gw_throttle_out *ret)
{
    struct gw_throttle_out out = {.percent = t->percent, .vcpu_bytes_per_s = t->vcpu_bytes_per_s};
    uint64_t ns = now_ns - t->period_ns, sent = sent_bytes - t->period_sent, trigger;

    t->synced_ns = now_ns;
    t->period_dirty += dirty_bytes;
    if (ns > GW_THROTTLE_PERIOD_NS) {
        t->dirty_bytes_per_s = gw_rate_per_s(t->period_dirty, ns);
        trigger = (uint64_t)((unsigned __int128)sent * p->trigger_percent / 100);
        if ((p->auto_converge || p->dirty_limit) && t->period_dirty > trigger && ++t->hits >= 2) {
            t->hits = 0;
            act(t, p, t->period_dirty, trigger);
        }
        t->period_ns = now_ns;
        t->period_sent = sent_bytes;
        t->period_dirty = 0;
    }
    if (t->vcpu_bytes_per_s && p->vcpu_bytes_per_s)
        t->vcpu_bytes_per_s = p->vcpu_bytes_per_s; /* the parameter was changed during the migration */
    ret->changed = out.percent != t->percent || out.vcpu_bytes_per_s != t->vcpu_bytes_per_s;
    ret->percent = t->percent;
    ret->vcpu_bytes_per_s = t->vcpu_bytes_per_s;
}

bool gw_throttle_sync_due(const struct gw_throttle *t, const struct gw_throttle_params *p, uint64_t now_ns)
{
    return p->auto_converge && t->begun && now_ns - t->synced_ns >= GW_THROTTLE_SYNC_NS;
}
