/* SPDX-License-Identifier: MIT */
#include "engine/vm.h"

int gw_vm_set_vcpu_thread(struct gw_vm *vm, unsigned vcpu, int32_t thread, struct gw_error *err)
{
    int r = 0;

    if (vcpu >= GW_VCPUS_MAX || thread < 0)
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "vCPU %u with thread %d: vCPUs are numbered from 0 and there are at most "
                       "%u, and a thread has a positive number", vcpu,
                       (int)thread, GW_VCPUS_MAX);
    pthread_mutex_lock(&vm->lock);
    if (vcpu >= vm->vcpu_threads) {
        int32_t *more = realloc(vm->vcpu_thread, (vcpu + 1) * sizeof *more);

        if (more) {
            memset(more + vm->vcpu_threads, 0, (vcpu + 1 - vm->vcpu_threads) * sizeof *more);
            vm->vcpu_thread = more;
            vm->vcpu_threads = vcpu + 1;
        } else {
            r = gw_nomem(err, "threads of vCPUs");
        }
    }
    if (r >= 0)
        vm->vcpu_thread[vcpu] = thread;
    pthread_mutex_unlock(&vm->lock);
    return r;
}

int gw_vm_vcpu_threads(struct gw_vm *vm, int32_t **ret, unsigned *ret_count, struct gw_error *err)
{
    int32_t *copy = NULL;
    unsigned n;

    pthread_mutex_lock(&vm->lock);
    n = vm->vcpu_threads;
    if (n && (copy = malloc(n * sizeof *copy)))
        memcpy(copy, vm->vcpu_thread, n * sizeof *copy);
    pthread_mutex_unlock(&vm->lock);
    if (n && !copy)
        return gw_nomem(err, "threads of vCPUs");
    *ret = copy;
    *ret_count = n;
    return 0;
}
