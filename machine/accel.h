/* SPDX-License-Identifier: MIT
 *
 * accel: how the instructions of a vCPU are executed. One table of functions for each way.
 *
 * A vCPU thread does: vcpu_open, then for each stretch of running load, run, save; at the end vcpu_close. Between save and
 * load the vCPU's struct gw_cpu_state is the truth. Stops are exact: when run returns 0, all instructions up to rip were
 * executed once, their port accesses included, and none after.
 */
#ifndef GW_MACHINE_ACCEL_H
#define GW_MACHINE_ACCEL_H

#include "godwit/error.h"

struct gw_machine;
struct gw_vcpu;

struct gw_accel_ops {
    const char *name;
    unsigned features; /* enum gw_guest_feature */
    /* Of the machine; memory is in place. */
    int (*open)(struct gw_machine *m, struct gw_error *err);
    void (*close)(struct gw_machine *m);
    /* All below on the vCPU's thread, kick on any. */
    int (*vcpu_open)(struct gw_vcpu *v, struct gw_error *err);
    void (*vcpu_close)(struct gw_vcpu *v);
    int (*load)(struct gw_vcpu *v, struct gw_error *err);
    /* Until v->leave is set and seen: 0. -EFAULT: the guest did what it must not. */
    int (*run)(struct gw_vcpu *v, struct gw_error *err);
    int (*save)(struct gw_vcpu *v, struct gw_error *err);
    /* v->leave was set: make run see it. May come too early or more than once. */
    void (*kick)(struct gw_vcpu *v);
};

extern const struct gw_accel_ops gw_accel_unicorn; /* present when built with Unicorn */
extern const struct gw_accel_ops gw_accel_kvm;

/* Picks one. -ENOTSUP with the reason. */
int gw_accel_choose(struct gw_machine *m, struct gw_error *err);
/* Whether KVM runs a guest like ours on this host, and fast enough to be of use: makes a small one and looks. 0, or
 * -ENOTSUP with the reason. Takes a few milliseconds. */
int gw_accel_kvm_probe(struct gw_error *err);

#endif
