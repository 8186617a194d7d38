/* SPDX-License-Identifier: MIT */
#include "engine/plan_lanes.h"

#include "ram/codec/packing_chosen.h"

int gw_plan_packing(const struct gw_vm *vm, bool in, unsigned count, struct gw_packing **ret, struct gw_error *err)
{
    const struct gw_options *o = vm->options;

    *ret = NULL;
    switch (gw_options_param(o, GW_PARAM_MULTIFD_COMPRESSION)) {
    case GW_MULTIFD_ZLIB:
        return gw_packing_zlib_new(in, (int)gw_options_param(o, GW_PARAM_MULTIFD_ZLIB_LEVEL), ret, err);
    case GW_MULTIFD_ZSTD:
        return gw_packing_zstd_new(in, (int)gw_options_param(o, GW_PARAM_MULTIFD_ZSTD_LEVEL), count, ret, err);
    default:
        return 0;
    }
}

static uint64_t link_of_channel(const void *options)
{
    return gw_options_param(options, GW_PARAM_MAX_BANDWIDTH) / gw_options_param(options, GW_PARAM_MULTIFD_CHANNELS);
}

int gw_plan_packer(const struct gw_vm *vm, const struct gw_plan_pages *pages, unsigned i, struct gw_packing **ret,
                       struct gw_error *err)
{
    const struct gw_options *o = vm->options;
    bool zlib = gw_options_param(o, GW_PARAM_MULTIFD_COMPRESSION) == GW_MULTIFD_ZLIB;
    const struct gw_packing_choice choice = {
        .agreed = pages->as_is,
        .link = link_of_channel,
        .opaque = o,
        .level = (int)gw_options_param(o, zlib ? GW_PARAM_MULTIFD_ZLIB_LEVEL : GW_PARAM_MULTIFD_ZSTD_LEVEL),
        .channel = i,
        .clock = &vm->clock,
        .trace = &vm->trace,
    };
    int r = gw_plan_packing(vm, false, pages->count, ret, err);

    if (r < 0 || !*ret || !gw_options_cap(o, GW_CAP_ADAPTIVE_COMPRESSION))
        return r;
    return gw_packing_chosen_new(&choice, *ret, ret, err);
}
