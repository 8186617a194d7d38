/* SPDX-License-Identifier: MIT
 *
 * vm: the parts of `godwit vm`: vm_options.c (the command line), vm.c (its life).
 */
#ifndef GODWIT_CLI_VM_H
#define GODWIT_CLI_VM_H

#include <stdatomic.h>

#include "machine/machine.h"
#include "transfer.h"

struct gw_vm_program {
    struct gw_machine_config config;
    const char *qmp, *incoming;
    bool paused, insecure;
    struct gw_transfer common; /* the options that others have too */

    struct gw_machine *machine;
    struct gw_control *control;
    struct gw_recv *recv; /* incoming without a control socket */
    _Atomic int status;   /* enum gw_status of the last migration */
    atomic_bool started;  /* there is a guest that ran, here or where it came from */
    atomic_bool incoming_now, quit, lost;
};

/* Fills config, qmp, incoming, paused and common. Returns -1 to go on, or an exit status; the reason was told. */
int gw_vm_parse(struct gw_vm_program *v, int argc, char **argv);

#endif
