/* SPDX-License-Identifier: MIT
 *
 * disk: what a virtio block device reads from and writes to. A new kind of disk is one struct gw_machine_disk_ops.
 *
 * Threads: all calls for one disk come from one thread (that of its device) or, while that is idle, from the one that
 * starts, stops or frees the machine.
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
    /* The machine is about to run, or has stopped and been flushed: a stopped machine may go on elsewhere, with the
     * same disk. Nothing else is called meanwhile. NULL: nothing to do. */
    int (*activate)(void *disk, struct gw_error *err);
    int (*inactivate)(void *disk, struct gw_error *err);
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
