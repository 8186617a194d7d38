/* SPDX-License-Identifier: MIT
 *
 * snapshot_set: internal snapshots of one name in all disks of a machine: all of them, or none.
 *
 * The disks are qcow2 images (disk/node/qcow2.h); snapshots are matched by name, not by ID. Threads: no other call on
 * the nodes may be in progress.
 */
#ifndef GW_DISK_SNAPSHOT_SET_H
#define GW_DISK_SNAPSHOT_SET_H

#include "disk/node/qcow2.h"

#define GW_SNAPSHOT_NAME_MAX 255u /* bytes of a name that QEMU reads */

struct gw_snapshot_set {
    struct gw_node *const *node; /* count nodes */
    const char *const *disk;     /* their names, for messages */
    unsigned count;
    unsigned state; /* the disk with the machine's state; count: none */
};

/* Whether each can have a snapshot of this name. Nothing changes. -ENOTSUP: the format of a disk has none; -EROFS; -EEXIST: a disk
 * has one already; -EINVAL: the name has 1 to GW_SNAPSHOT_NAME_MAX bytes. */
int gw_snapshot_set_check_new(const struct gw_snapshot_set *set, const char *name, struct gw_error *err);
/* what: its name, times and state_bytes, which applies to the disk `state` alone. On stable storage on return. After a
 * failure no disk has it, except one that the error names. */
int gw_snapshot_set_take(const struct gw_snapshot_set *set, const struct gw_qcow2_snapshot *what, struct gw_error *err);

/* Whether all disks have it, the disk `state` with a machine, and can be reset to it. Nothing changes. -ENOENT;
 * -EINVAL: a disk had another length then; -EBUSY: a disk has dirty bitmaps, which would be wrong afterwards.
 * *ret_index: in the disk `state`. */
int gw_snapshot_set_check_old(const struct gw_snapshot_set *set, const char *name, unsigned *ret_index, struct gw_error *err);
/* After check_old: resets all disks. An error names the disk that failed, and the number of disks reset before it. */
int gw_snapshot_set_apply(const struct gw_snapshot_set *set, const char *name, struct gw_error *err);

/* Deletes it from all disks that have it; none is no error. Continues after a failure, and returns the first one. */
int gw_snapshot_set_delete(const struct gw_snapshot_set *set, const char *name, struct gw_error *err);

#endif
