/* SPDX-License-Identifier: MIT
 *
 * with_disk: the rig whose machine has one disk of 1 MiB, d0.
 */
#ifndef WITH_DISK_H
#define WITH_DISK_H

#include "rig.h"

#include "disk/disk.h"

static int disk_read(void *opaque, void *to, uint64_t bytes, uint64_t offset, struct gw_error *err)
{
    return 0;
}

/* cmocka's set-up; node: its node name, may be NULL. */
static inline int up_with_disk(void **state, const char *node)
{
    static const struct gw_disk_ops ops = {GW_SIZED(struct gw_disk_ops), .read = disk_read};
    struct gw_disk_desc desc = {.device = "d0", .node = node, .bytes = 1 << 20, .ops = &ops};
    int r = rig_up(state);

    return r ? r : gw_disk_new(&desc, &((struct rig *)*state)->vm.disk, NULL);
}

/* cmocka's tear-down. Jobs that are held go on, to their end. */
static inline int down_with_disk(void **state)
{
    struct rig *rig = *state;
    struct gw_disk *disk = rig->vm.disk;
    int r;

    atomic_store(&rig->vm.snapshot_held, false);
    r = rig_down(state);
    gw_disk_free(disk);
    return r;
}

#endif
