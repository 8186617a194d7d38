/* SPDX-License-Identifier: MIT
 *
 * snapshot_set: internal snapshots of one name in all disks of a machine: all of them, or none.
 *
 * The disks are qcow2 images (disk/node/qcow2.h); names count here, not IDs. Threads: nothing else is under way on the nodes.
 */
#ifndef GW_DISK_SNAPSHOT_SET_H
#define GW_DISK_SNAPSHOT_SET_H

#include "disk/node/qcow2.h"

#define GW_SNAPSHOT_NAME_MAX 255u /* bytes that QEMU reads of a name */

struct gw_snapshot_set {
    struct gw_node *const *node; /* count of them */
    const char *const *disk;     /* their names, for messages */
    unsigned count;
    unsigned state; /* the one that has the machine; count: none has */
};

/* Whether each can have a snapshot of this name. Nothing changes. -ENOTSUP: the format of a disk has none; -EROFS; -EEXIST: a disk
 * has one already; -EINVAL: the name has 1 to GW_SNAPSHOT_NAME_MAX bytes. */
int gw_snapshot_set_check_new(const struct gw_snapshot_set *set, const char *name, struct gw_error *err);
/* what: its name, times and state_bytes, which is that of the disk `state` alone. On stable storage when this returns. After a
 * failure no disk has it; should one not let go of it, the error says which. */
int gw_snapshot_set_take(const struct gw_snapshot_set *set, const struct gw_qcow2_snapshot *what, struct gw_error *err);

/* Whether all have it, the disk `state` with a machine, and can go back to it. Nothing changes. -ENOENT; -EINVAL: a disk had
 * another length then; -EBUSY: a disk has dirty bitmaps, which would be wrong afterwards. *ret_index: in the disk `state`. */
int gw_snapshot_set_check_old(const struct gw_snapshot_set *set, const char *name, unsigned *ret_index, struct gw_error *err);
/* Behind check_old: all disks become what they were. An error says which could not, and how many had before. */
int gw_snapshot_set_apply(const struct gw_snapshot_set *set, const char *name, struct gw_error *err);

/* Takes it away where it is; one that is on no disk is no error. Goes on behind a failure, and returns the first. */
int gw_snapshot_set_delete(const struct gw_snapshot_set *set, const char *name, struct gw_error *err);

#endif
