/* SPDX-License-Identifier: MIT
 *
 * kvm_ring: the dirty-ring tracker, for its tests.
 */
#ifndef GW_KVM_RING_H
#define GW_KVM_RING_H

#include "ram/tracker/tracker.h"

/* How often the tracker's thread harvests; 0: never (then only sync and ring_full do). Before start. */
void gw_kvm_ring_set_interval(struct gw_tracker *t, uint64_t interval_ns);
/* Entries taken so far. */
uint64_t gw_kvm_ring_harvested(struct gw_tracker *t);

#endif
