/* SPDX-License-Identifier: MIT */
#include "engine/vm.h"
#include "ram/source/dirty.h"
#include "ram/source/protect.h"
#include "ram/source/watch.h"
#include "ram/store/direct.h"
#include "ram/store/uffd.h"

static int source(struct gw_vm *vm, bool holes, struct gw_source **ret, struct gw_error *err)
{
    struct gw_tracker *tracker;
    int r = gw_vm_tracker(vm, &tracker, err);

    return r < 0 ? r : gw_source_dirty_new(&vm->ram, tracker, holes, ret, err);
}

static int snapshot(struct gw_vm *vm, const struct gw_cancel *cancel, struct gw_source **ret, struct gw_error *err)
{
    return gw_source_protect_new(&vm->ram, cancel, ret, err);
}

static int can_snapshot(struct gw_vm *vm, struct gw_error *err)
{
    return gw_watch_probe(&vm->ram, err);
}

static int store(struct gw_vm *vm, struct gw_store **ret, struct gw_error *err)
{
    return gw_store_direct_new(&vm->ram, ret, err);
}

static int store_following(struct gw_vm *vm, const struct gw_guest_asks *asks, struct gw_store **ret, struct gw_error *err)
{
    const struct gw_uffd_config config = {
        .clock = &vm->clock, .trace = &vm->trace, .ask = asks->ask, .failed = asks->failed, .opaque = asks->opaque,
        .blocktime = asks->blocktime};
    int r = gw_uffd_probe(&vm->ram, err); /* check it before the session promises postcopy to a source */

    if (r >= 0)
        r = gw_store_uffd_new(&vm->ram, &config, ret, err);
    if (r < 0)
        gw_context(err, "capability postcopy-ram");
    return r;
}

const struct gw_guest_ops gw_guest_here = {
    .source = source, .snapshot = snapshot, .can_snapshot = can_snapshot, .store = store, .store_following = store_following};
