/* SPDX-License-Identifier: MIT
 *
 * vm: the parts of `godwit vm`: vm_options.c (the command line), vm_nic.c (network cards), vm_loadvm.c (a
 * machine out of a snapshot), vm.c (its life).
 */
#ifndef GODWIT_CLI_VM_H
#define GODWIT_CLI_VM_H

#include <stdatomic.h>

#include "machine/machine.h"
#include "transfer.h"

#define GW_VM_NICS 8

enum gw_vm_nic_kind { GW_VM_NIC_TAP, GW_VM_NIC_INTERFACE, GW_VM_NIC_FD };

struct gw_vm_nic {
    enum gw_vm_nic_kind kind;
    const char *where; /* the name of the tap or interface */
    int fd;
    char id[64];
    uint8_t mac[6];
    bool has_mac;
    struct gw_vm_program *program;
    struct gw_nic_port *port;
};

struct gw_vm_program {
    struct gw_machine_config config;
    const char *qmp, *incoming, *loadvm;
    bool paused, insecure;
    struct gw_transfer common; /* the options that others have too */

    struct gw_vm_nic nics[GW_VM_NICS];
    unsigned nic_count;

    struct gw_machine *machine;
    struct gw_control *control;
    struct gw_recv *recv; /* incoming without a control socket */
    _Atomic int status;   /* enum gw_status of the last migration */
    atomic_bool started;  /* there is a guest that ran, here or where it came from */
    atomic_bool incoming_now, quit, lost;
};

/* Fills config, qmp, incoming, paused and common. Returns -1 to go on, or an exit status; the reason was told. */
int gw_vm_parse(struct gw_vm_program *v, int argc, char **argv);

/* The machine becomes what it was in the snapshot --loadvm of its disks; it is attached and does not run. -ENOENT: names what there is. */
int gw_vm_loadvm(struct gw_vm_program *v, struct gw_error *err);

/* One --nic. NULL, or what is wrong with *ret_part of it. */
const char *gw_vm_nic_parse(struct gw_vm_program *v, char *text, const char **ret_part);
/* For a machine that is attached. Close it after the machine. */
int gw_vm_nic_open(struct gw_vm_program *v, struct gw_error *err);
void gw_vm_nic_close(struct gw_vm_program *v);

#endif
