/* SPDX-License-Identifier: MIT */
#include "disk/block.h"
#include "engine/plan.h"

/* A section number is taken once, as for RAM: devices that are registered later have the same number in each
 * session. */
static struct gw_block_config config_of(struct gw_vm *vm)
{
    if (!vm->has_block_section_id)
        vm->block_section_id = gw_registry_take_id(vm->registry);
    vm->has_block_section_id = true;
    return (struct gw_block_config){.disks = vm->disk, .count = vm->disk_count, .section_id = vm->block_section_id};
}

int gw_plan_disks_send(struct gw_plan *plan, struct gw_vm *vm, struct gw_live **ret, struct gw_error *err)
{
    bool incremental = gw_options_param(vm->options, GW_PARAM_BLOCK_INCREMENTAL);
    struct gw_block_config config;

    *ret = NULL;
    if (!gw_options_cap(vm->options, GW_CAP_BLOCK) && plan->disks == GW_SEND_DISKS_AS_SET)
        return 0;
    config = config_of(vm);
    config.zeros = gw_options_cap(vm->options, GW_CAP_ZERO_BLOCKS);
    config.top_only = plan->disks == GW_SEND_DISKS_AS_SET ? incremental : plan->disks == GW_SEND_DISKS_TOP;
    return gw_block_source_new(&config, ret, err);
}

int gw_plan_disks_recv(struct gw_vm *vm, struct gw_live **ret, struct gw_error *err)
{
    struct gw_block_config config = {.disks = vm->disk, .count = vm->disk_count};

    *ret = NULL;
    return vm->disk_count ? gw_block_load_new(&config, ret, err) : 0;
}

int gw_plan_check_disks(enum gw_send_disks disks, struct gw_vm *vm, const struct gw_wire_profile *peer,
                        struct gw_error *err)
{
    const struct gw_options *o = vm->options;
    bool on = gw_options_cap(o, GW_CAP_BLOCK);

    if (disks != GW_SEND_DISKS_AS_SET && (on || gw_options_param(o, GW_PARAM_BLOCK_INCREMENTAL)))
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER,
                       "to send disks with this migration alone (blk, inc), turn off the capability block and the "
                       "parameter block-incremental, which say the same for all");
    if (disks != GW_SEND_DISKS_AS_SET && gw_options_cap(o, GW_CAP_BACKGROUND_SNAPSHOT))
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "a background snapshot has no disks in it: send it without blk and inc");
    if (disks != GW_SEND_DISKS_AS_SET && gw_options_cap(o, GW_CAP_MAPPED_RAM))
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "a file of mapped-ram has no disks in it: write it without blk and inc");
    if ((on || disks != GW_SEND_DISKS_AS_SET) && peer->no_block)
        return gw_fail(err, -ENOTSUP, GW_BLAME_CALLER,
                       "disks cannot be sent to peer %s: QEMU 9.1 and later do not take them in a migration; copy the disks by "
                       "other means, or name another peer", peer->name);
    return 0;
}
