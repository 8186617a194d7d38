/* SPDX-License-Identifier: MIT
 *
 * accel: accelerators, which execute the instructions of a vCPU. Each is a table of functions.
 *
 * A vCPU thread does: vcpu_open, then for each stretch of running load, run, save; at the end vcpu_close. Between save
 * and load the vCPU's struct gw_cpu_state is authoritative. Stops are exact: when run returns 0, all instructions up to
 * rip were executed once, their port accesses included, and none after.
 */
#ifndef GW_MACHINE_ACCEL_H
#define GW_MACHINE_ACCEL_H

#include "godwit/error.h"

struct gw_machine;
struct gw_vcpu;

struct gw_accel_ops {
    const char *name;
    unsigned features; /* enum gw_guest_feature */
    /* For the machine; its memory is mapped already. */
    int (*open)(struct gw_machine *m, struct gw_error *err);
    void (*close)(struct gw_machine *m);
    /* The following functions are called on the vCPU's thread, kick on any. */
    int (*vcpu_open)(struct gw_vcpu *v, struct gw_error *err);
    void (*vcpu_close)(struct gw_vcpu *v);
    int (*load)(struct gw_vcpu *v, struct gw_error *err);
    /* Runs until v->leave is set and noticed: 0. -EFAULT: the guest made an invalid access. */
    int (*run)(struct gw_vcpu *v, struct gw_error *err);
    int (*save)(struct gw_vcpu *v, struct gw_error *err);
    /* v->leave was set: makes run notice it. May be called too early or more than once. */
    void (*kick)(struct gw_vcpu *v);
};

extern const struct gw_accel_ops gw_accel_unicorn; /* present when built with Unicorn */
extern const struct gw_accel_ops gw_accel_kvm;

/* Chooses an accelerator. -ENOTSUP with the reason. */
int gw_accel_choose(struct gw_machine *m, struct gw_error *err);
/* Tests with a small guest whether KVM runs our kind of guest on this host, and fast enough. 0, or
 * -ENOTSUP with the reason. Takes a few milliseconds. */
int gw_accel_kvm_probe(struct gw_error *err);

#endif
