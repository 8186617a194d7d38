/* SPDX-License-Identifier: MIT */
#include "engine/plan.h"

/* Without these calls of the embedder throttling has no effect, which the user would notice too late. */
static int check_throttles(const struct gw_vm *vm, struct gw_error *err)
{
    if (gw_options_cap(vm->options, GW_CAP_AUTO_CONVERGE) && !vm->ops->throttle)
        return gw_fail(err, -ENOTSUP, GW_BLAME_CALLER,
                       "capability auto-converge: this machine has no way to slow its vCPUs down: turn the capability off");
    if (gw_options_cap(vm->options, GW_CAP_DIRTY_LIMIT) && !vm->ops->dirty_limit)
        return gw_fail(err, -ENOTSUP, GW_BLAME_CALLER,
                       "capability dirty-limit: this machine has no way to limit what a vCPU dirties: turn the capability off");
    return 0;
}

int gw_plan_check_follow(struct gw_vm *vm, struct gw_error *err)
{
    const struct gw_ram_block *b;

    pthread_mutex_lock(&vm->ram.lock); /* another thread may change the flags of a block */
    b = gw_ram_persistent(&vm->ram);
    pthread_mutex_unlock(&vm->ram.lock);
    return b ? gw_fail(err, -ENOTSUP, GW_BLAME_CALLER,
                       "RAM block %s is on persistent memory, whose pages cannot follow a guest that runs: send this machine "
                       "without postcopy", b->name)
             : 0;
}

static int check_resume(const struct gw_vm *vm, struct gw_error *err)
{
    return !vm->guest->at_rest && gw_vm_running(vm)
               ? gw_fail(err, -EBUSY, GW_BLAME_CALLER, "this machine runs here, so no destination waits for the rest of it: start a "
                                                       "new migration, without resume")
               : 0;
}

int gw_plan_check_urgent(const struct gw_vm *vm, bool many, struct gw_error *err)
{
    return gw_options_cap(vm->options, GW_CAP_POSTCOPY_PREEMPT) && !many && !vm->dial_pages.dial
               ? gw_fail(err, -EINVAL, GW_BLAME_CALLER, "capability postcopy-preempt: this address gives one connection only; tcp:, "
                                                        "unix: and vsock: give more")
               : 0;
}

int gw_plan_check_send(struct gw_vm *vm, const struct gw_plan_asked *asked, struct gw_error *err)
{
    int r = check_throttles(vm, err);

    if (r < 0)
        return r;
    if (asked->peer->no_compressed_pages && gw_options_cap(vm->options, GW_CAP_COMPRESS))
        return gw_fail(err, -ENOTSUP, GW_BLAME_CALLER,
                       "capability compress: QEMU 9.1 and later refuse compressed pages; turn the capability off, or name "
                       "another peer than %s", asked->peer->name);
    if (gw_plan_lanes_follow(vm->options) && !asked->resume && !asked->peer->ask_extensions) /* one that is resumed has no lanes */
        return gw_fail(err, -ENOTSUP, GW_BLAME_CALLER,
                       "capabilities postcopy-ram and multifd: only a godwit takes pages of postcopy on multifd channels, and the peer is "
                       "%s: turn one of them off", asked->peer->name);
    r = gw_plan_check_disks(asked->disks, vm, asked->peer, err);
    if (r < 0)
        return r;
    if ((asked->resume || asked->postcopy) && !gw_options_cap(vm->options, GW_CAP_POSTCOPY_RAM))
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "%s takes capability postcopy-ram, and it is off: turn it on",
                       asked->resume ? "a migration that is resumed" : "postcopy from the start");
    r = asked->resume ? check_resume(vm, err) : 0;
    if (r >= 0 && asked->postcopy)
        r = gw_plan_check_follow(vm, err);
    return r < 0 ? r : gw_plan_check_urgent(vm, asked->many, err);
}
