/* SPDX-License-Identifier: MIT */
#include "policy/stall.h"

void gw_stall_init(struct gw_stall *s, uint64_t now_ns)
{
    *s = (struct gw_stall){.asked_ns = now_ns};
}

bool gw_stall_check(struct gw_stall *s, uint64_t now_ns, uint64_t moved, bool waiting, uint64_t timeout_ns)
{
    uint64_t ns = now_ns > s->asked_ns ? now_ns - s->asked_ns : 0;

    s->asked_ns = now_ns;
    if (moved != s->moved || !waiting) {
        s->moved = moved;
        s->idle_ns = 0;
        return false;
    }
    s->idle_ns += GW_MIN(ns, GW_STALL_STEP_NS);
    return timeout_ns != UINT64_MAX && s->idle_ns >= timeout_ns;
}
