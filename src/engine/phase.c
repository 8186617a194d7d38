/* SPDX-License-Identifier: MIT */
#include "engine/phase.h"

#include "base/base.h"

const struct gw_phase_row *gw_phase_row(enum gw_phase p)
{
#define B(name) (1ull << GW_PHASE_##name)
#define F(name, side, status, owner, cancel, final, next)                                                              \
    [GW_PHASE_##name] = {#name, GW_SIDE_##side, GW_STATUS_##status, GW_OWNER_##owner, cancel, final, next},
    static const struct gw_phase_row table[] = {GW_PHASES(F)};
#undef F
#undef B

    return &table[(unsigned)p < GW_PHASE_COUNT ? p : GW_PHASE_IDLE];
}

const char *gw_status_name(enum gw_status status)
{
    static const char *const names[] = {
        [GW_STATUS_NONE] = "none",
        [GW_STATUS_SETUP] = "setup",
        [GW_STATUS_ACTIVE] = "active",
        [GW_STATUS_DEVICE] = "device",
        [GW_STATUS_PRE_SWITCHOVER] = "pre-switchover",
        [GW_STATUS_POSTCOPY_ACTIVE] = "postcopy-active",
        [GW_STATUS_POSTCOPY_PAUSED] = "postcopy-paused",
        [GW_STATUS_POSTCOPY_RECOVER_SETUP] = "postcopy-recover-setup",
        [GW_STATUS_POSTCOPY_RECOVER] = "postcopy-recover",
        [GW_STATUS_WAIT_UNPLUG] = "wait-unplug",
        [GW_STATUS_COLO] = "colo",
        [GW_STATUS_COMPLETED] = "completed",
        [GW_STATUS_FAILED] = "failed",
        [GW_STATUS_CANCELLING] = "cancelling",
        [GW_STATUS_CANCELLED] = "cancelled",
    };

    return (unsigned)status < GW_STATUS_COUNT ? names[status] : "?";
}
