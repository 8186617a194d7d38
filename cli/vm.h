/* SPDX-License-Identifier: MIT
 *
 * vm: the parts of `godwit vm`: vm_options.c (the command line), vm_nic.c (network cards), vm_loadvm.c (a machine from
 * a snapshot), vm.c (running it).
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
    struct gw_transfer common; /* options shared with other commands */

    struct gw_vm_nic nics[GW_VM_NICS];
    unsigned nic_count;

    struct gw_machine *machine;
    struct gw_control *control;
    struct gw_recv *recv; /* incoming without a control socket */
    _Atomic int status;   /* enum gw_status of the last migration */
    atomic_bool started;  /* the guest has run, here or on its source */
    atomic_bool incoming_now, quit, lost;
};

/* Fills config, qmp, incoming, paused and common. Returns -1 to go on, or an exit status; the reason was printed. */
int gw_vm_parse(struct gw_vm_program *v, int argc, char **argv);

/* Loads the machine from the snapshot --loadvm of its disks; it is attached and does not run. -ENOENT: the error lists
 * the existing snapshots. */
int gw_vm_loadvm(struct gw_vm_program *v, struct gw_error *err);

/* Parses one --nic. NULL, or the error in *ret_part of it. */
const char *gw_vm_nic_parse(struct gw_vm_program *v, char *text, const char **ret_part);
/* For a machine that is attached. Close it after the machine. */
int gw_vm_nic_open(struct gw_vm_program *v, struct gw_error *err);
void gw_vm_nic_close(struct gw_vm_program *v);

#endif
