/* SPDX-License-Identifier: MIT
 *
 * disk: what a virtio block device reads from and writes to. A new kind of disk is one struct gw_machine_disk_ops.
 *
 * Threads: read, write, zero and find come from any thread, several at once: the guest's from that of its device, those
 * of a migration that sends or fills the disk from others. All else: one thread at a time, and nothing else meanwhile.
 */
#ifndef GW_MACHINE_DISK_H
#define GW_MACHINE_DISK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "godwit/node.h"
#include "godwit/error.h"

struct gw_machine_disk_ops {
    /* All of [offset, offset + bytes), which is within the disk; buf is never guest memory. */
    int (*read)(void *disk, uint64_t offset, void *buf, size_t bytes, struct gw_error *err);
    int (*write)(void *disk, uint64_t offset, const void *buf, size_t bytes, struct gw_error *err);
    /* What was written is on stable storage. Also called when the machine stops, so that another host sees it. */
    int (*flush)(void *disk, struct gw_error *err);
    void (*close)(void *disk); /* NULL: nothing to do */
    /* The machine is about to run here; it has stopped and goes on elsewhere, with the same disk perhaps. As
     * gw_node_activate. NULL: nothing to do. */
    int (*activate)(void *disk, struct gw_error *err);
    int (*inactivate)(void *disk, struct gw_error *err);
    /* For migrations; NULL: zeros are written, everything counts as data. As in struct gw_disk_ops. */
    int (*zero)(void *disk, uint64_t offset, uint64_t bytes, bool unmap, struct gw_error *err);
    int (*find)(void *disk, uint64_t offset, uint64_t bytes, struct gw_disk_run *ret, struct gw_error *err);
};

struct gw_machine_disk {
    const struct gw_machine_disk_ops *ops;
    void *opaque;
    uint64_t bytes; /* a multiple of 512 */
    bool readonly;
};

/* A disk by its name (gw_node_open). Its size is rounded down to 512. */
int gw_machine_disk_open(const char *what, const struct gw_node_options *options, struct gw_machine_disk *ret_disk,
                         struct gw_error *err);

#endif
