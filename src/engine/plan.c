/* SPDX-License-Identifier: MIT */
#include "engine/plan.h"

#include "engine/devices.h"
#include "ram/codec/plain.h"
#include "ram/codec/zero.h"
#include "ram/layout/stream.h"
#include "ram/store/direct.h"
#include "ram/store/landed.h"

static int add_zero(struct gw_vm *vm, struct gw_lane *lane, struct gw_error *err)
{
    struct gw_codec *codec = NULL;
    int r = 0;

    if (gw_options_zero_detection(vm->options) != GW_ZERO_NONE) {
        r = gw_codec_zero_new(&vm->ram, &codec, err);
        if (r >= 0)
            r = gw_lane_add(lane, codec, err);
    }
    return r;
}

static int add_plain(struct gw_lane *lane, struct gw_error *err)
{
    struct gw_codec *codec = NULL;
    int r = gw_codec_plain_new(&codec, err);

    return r < 0 ? r : gw_lane_add(lane, codec, err);
}

static int make_lane(struct gw_vm *vm, struct gw_lane **ret, struct gw_error *err)
{
    struct gw_codec *fetch = vm->devices->fetch(vm);
    struct gw_layout *layout = NULL;
    struct gw_lane *lane = NULL;
    int r = gw_layout_stream_new(&vm->ram, &layout, err);

    if (r >= 0)
        r = gw_lane_new(layout, &lane, err);
    if (r >= 0 && fetch)
        r = gw_lane_add(lane, fetch, err);
    if (r >= 0)
        r = add_zero(vm, lane, err);
    if (r >= 0)
        r = add_plain(lane, err);
    if (r < 0) {
        gw_lane_free(lane);
        return r;
    }
    *ret = lane;
    return 0;
}

static struct gw_ram_config ram_config(struct gw_vm *vm)
{
    return (struct gw_ram_config){
        .ram = &vm->ram,
        .ignore_shared = gw_options_cap(vm->options, GW_CAP_IGNORE_SHARED),
        .clock = &vm->clock,
    };
}

static int add_ram(struct gw_plan *plan, const struct gw_ram_config *config, struct gw_error *err)
{
    int r = gw_ram_live_new(config, &plan->ram, err);

    if (r >= 0)
        plan->live[plan->lives++] = plan->ram;
    return r;
}

int gw_plan_send(struct gw_plan *plan, struct gw_vm *vm, const struct gw_plan_calls *calls, struct gw_error *err)
{
    struct gw_ram_config ram = ram_config(vm);
    int r = gw_vm_tracker(vm, &ram.tracker, err);

    ram.notify = calls->notify;
    ram.synced = calls->synced;
    ram.opaque = calls->opaque;
    if (r >= 0)
        r = make_lane(vm, &ram.take_lane, err);
    if (r >= 0)
        r = add_ram(plan, &ram, err);
    if (r >= 0)
        plan->ram->section_id = vm->ram_section_id;
    return r;
}

int gw_plan_recv(struct gw_plan *plan, struct gw_vm *vm, struct gw_error *err)
{
    struct gw_ram_config ram = ram_config(vm);
    int r = gw_store_direct_new(&vm->ram, &ram.take_store, err);

    if (r >= 0 && vm->devices->watched(vm))
        r = gw_store_landed_new(ram.take_store, &ram.take_store, err);
    ram.adopt = vm->devices->adopt;
    ram.opaque = vm;
    return r < 0 ? r : add_ram(plan, &ram, err);
}

void gw_plan_close(struct gw_plan *plan)
{
    for (unsigned i = 0; i < plan->lives; i++)
        plan->live[i]->ops->free(plan->live[i]);
    *plan = (struct gw_plan){0};
}
