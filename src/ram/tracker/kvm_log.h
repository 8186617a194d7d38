/* SPDX-License-Identifier: MIT
 *
 * kvm_log: for tests, the choice of the mode.
 */
#ifndef GW_KVM_LOG_H
#define GW_KVM_LOG_H

#include "ram/tracker/tracker.h"

/* As gw_tracker_kvm_log_new; manual false: as if KVM had no KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2. */
int gw_tracker_kvm_log_new_mode(struct gw_ram *ram, const struct gw_tracker_config *config, bool manual,
                                struct gw_tracker **ret, struct gw_error *err);

#endif
