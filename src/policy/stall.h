/* SPDX-License-Identifier: MIT
 *
 * stall: has the peer stopped moving? Asked a few times a second with the bytes moved so far.
 *
 * A process that was itself stopped (a debugger, a suspended host) must not blame the peer when it wakes: however long
 * the time between two questions, no more than a second of it counts.
 *
 * Pure. One owner.
 */
#ifndef GW_STALL_H
#define GW_STALL_H

#include "base/base.h"

#define GW_STALL_STEP_NS GW_NS_PER_S /* ask at least as often */

struct gw_stall {
    uint64_t asked_ns, moved, idle_ns;
};

void gw_stall_init(struct gw_stall *s, uint64_t now_ns);
/* moved: any number that grows when the peer makes progress (bytes in and out). waiting: we wait for the peer; while
 * false (paused by the user, limited by our own rate) no time counts. True when timeout_ns is over without progress;
 * UINT64_MAX: never. */
bool gw_stall_check(struct gw_stall *s, uint64_t now_ns, uint64_t moved, bool waiting, uint64_t timeout_ns);

#endif
