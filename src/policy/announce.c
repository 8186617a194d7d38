/* SPDX-License-Identifier: MIT */
#include "policy/announce.h"

#include "base/base.h"

uint64_t gw_announce_wait_ns(const struct gw_announce_timing *t, uint64_t round)
{
    uint64_t ms, ns;

    if (gw_mul_overflows(round - 1, t->step_ms, &ms) || gw_add_overflows(ms, t->initial_ms, &ms))
        ms = t->max_ms;
    ms = GW_MIN(ms, t->max_ms);
    return gw_mul_overflows(ms, GW_NS_PER_MS, &ns) ? UINT64_MAX : ns;
}
