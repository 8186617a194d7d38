/* SPDX-License-Identifier: MIT
 *
 * plan_lanes: chooses the codecs and the layout of each lane of a session by its options (plan_lanes.c), and how
 * packets are compressed (plan_packing.c). A part of plan.c.
 *
 * Threads: the caller's, before the session runs.
 */
#ifndef GW_ENGINE_PLAN_LANES_H
#define GW_ENGINE_PLAN_LANES_H

#include "engine/plan.h"
#include "ram/codec/packing.h"

/* Whether the embedder's page transport takes the pages of this source. */
static inline bool gw_plan_by_transport(const struct gw_vm *vm)
{
    return vm->transport && vm->transport->ops.take;
}

/* zeros: the lanes look for pages of zeros. */
int gw_plan_lanes(struct gw_plan *plan, struct gw_vm *vm, const struct gw_plan_pages *pages, bool zeros, struct gw_lanes **ret,
                  struct gw_error *err);
/* The lane for requested pages, on a channel of its own. Sets plan->urgent. */
int gw_plan_urgent(struct gw_plan *plan, struct gw_vm *vm, bool zeros, struct gw_source *source, struct gw_error *err);
/* Destination: the lanes of its page channels, and the decoders for records on the main stream. guess: the place of a
 * page may be predicted (ram/layout/stream.h). */
int gw_plan_lanes_in(struct gw_vm *vm, const struct gw_plan_pages *pages, struct gw_lanes_in **ret, struct gw_error *err);
int gw_plan_stream_in(struct gw_vm *vm, bool guess, struct gw_layout_in **ret, struct gw_error *err);

/* The packing of multifd-compression, for one of `count` channels; *ret is NULL when it is off. */
int gw_plan_packing(const struct gw_vm *vm, bool in, unsigned count, struct gw_packing **ret, struct gw_error *err);
/* The same for channel i of a source; with x-godwit-adaptive-compression it chooses by itself whether to compress. */
int gw_plan_packer(const struct gw_vm *vm, const struct gw_plan_pages *pages, unsigned i, struct gw_packing **ret,
                   struct gw_error *err);

#endif
