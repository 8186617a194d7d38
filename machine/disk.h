/* SPDX-License-Identifier: MIT
 *
 * disk: the storage of a virtio block device. A new kind of disk is one struct gw_disk_ops, which a migration of the
 * disk uses too.
 *
 * Threads: read, write, zero and find are called on any thread, several at once: for the guest on its device's thread,
 * for a migration of the disk on others. All other functions: one thread at a time, and no other call meanwhile.
 */
#ifndef GW_MACHINE_DISK_H
#define GW_MACHINE_DISK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "godwit/error.h"
#include "godwit/node.h"

struct gw_machine_disk {
    /* read and flush are required, and write unless it is read-only. Their buffers are never guest memory. flush is
     * also called when the machine stops, activate before it runs. */
    const struct gw_disk_ops *ops;
    void *opaque;
    void (*close)(void *opaque); /* NULL: nothing to do */
    uint64_t bytes;              /* a multiple of 512 */
    bool readonly;
    struct gw_node *image;       /* the node that `opaque` is, for snapshots; NULL: not a node */
};

/* Opens a disk by its name (gw_node_open). Its size is rounded down to 512. */
int gw_machine_disk_open(const char *what, const struct gw_node_options *options, struct gw_machine_disk *ret_disk,
                         struct gw_error *err);

#endif
