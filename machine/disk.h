/* SPDX-License-Identifier: MIT
 *
 * disk: what a virtio block device reads from and writes to. A new kind of disk is one struct gw_disk_ops: what a migration of the
 * disk needs as well.
 *
 * Threads: read, write, zero and find come from any thread, several at once: the guest's from that of its device, those
 * of a migration that sends or fills the disk from others. All else: one thread at a time, and nothing else meanwhile.
 */
#ifndef GW_MACHINE_DISK_H
#define GW_MACHINE_DISK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "godwit/error.h"
#include "godwit/node.h"

struct gw_machine_disk {
    /* read and flush are needed, and write where it is not read-only. Memory that is given to them is never the guest's. flush is also called
     * when the machine stops, activate before it runs. */
    const struct gw_disk_ops *ops;
    void *opaque;
    void (*close)(void *opaque); /* NULL: nothing to do */
    uint64_t bytes;              /* a multiple of 512 */
    bool readonly;
    struct gw_node *image;       /* opaque, where that is a node: for snapshots; NULL: there are none */
};

/* A disk by its name (gw_node_open). Its size is rounded down to 512. */
int gw_machine_disk_open(const char *what, const struct gw_node_options *options, struct gw_machine_disk *ret_disk,
                         struct gw_error *err);

#endif
