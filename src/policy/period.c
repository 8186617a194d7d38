/* SPDX-License-Identifier: MIT */
#include "policy/period.h"

#include "base/base.h"
#include "godwit/clock.h"
#include "policy/window.h"

void gw_period_begin(struct gw_period *p, uint64_t now_ns)
{
    *p = (struct gw_period){.since_ns = now_ns};
}

void gw_period_add(struct gw_period *p, uint64_t now_ns, uint64_t count)
{
    p->count += count;
    if (now_ns - p->since_ns <= GW_NS_PER_S)
        return;
    p->per_s = gw_rate_per_s(p->count, now_ns - p->since_ns);
    p->since_ns = now_ns;
    p->count = 0;
}
