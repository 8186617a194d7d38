/* SPDX-License-Identifier: MIT
 *
 * disk: what a virtio block device reads from and writes to. A new kind of disk is one struct gw_machine_disk_ops.
 *
 * Threads: read, write, zero and find come from any thread, several at once: the guest's from that of its device, those
 * of a migration that sends or fills the disk from others. flush and close: one thread at a time.
 */
#ifndef GW_MACHINE_DISK_H
#define GW_MACHINE_DISK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "godwit/disk.h"
#include "godwit/error.h"

struct gw_machine_disk_ops {
    /* All of [offset, offset + bytes), which is within the disk; buf is never guest memory. */
    int (*read)(void *disk, uint64_t offset, void *buf, size_t bytes, struct gw_error *err);
    int (*write)(void *disk, uint64_t offset, const void *buf, size_t bytes, struct gw_error *err);
    /* What was written is on stable storage. Also called when the machine stops, so that another host sees it. */
    int (*flush)(void *disk, struct gw_error *err);
    void (*close)(void *disk); /* NULL: nothing to do */
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

/* A file or block device as it is. Its size is that of the file, rounded down to 512. */
int gw_disk_raw_open(const char *path, bool readonly, struct gw_machine_disk *ret_disk, struct gw_error *err);

#endif
