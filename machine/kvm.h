/* SPDX-License-Identifier: MIT
 *
 * kvm: the parts of the KVM accelerator that attach.c needs to set up the library's trackers.
 */
#ifndef GW_MACHINE_KVM_H
#define GW_MACHINE_KVM_H

#include "godwit/vm.h"
#include "machine/abi.h"

struct gw_kvm { /* gw_machine.accel_machine when the accelerator is KVM */
    int fd, vm_fd;
    int vcpu_fd[GW_GUEST_MAX_CPUS];
    struct gw_kvm_slot slot[GW_GUEST_MAX_RANGES];
};

/* Returns when each vCPU has left KVM_RUN once, or was not in it. opaque: the machine. Any thread. */
void gw_kvm_kick_all(void *machine);

#endif
