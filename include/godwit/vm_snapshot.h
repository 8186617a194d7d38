/* SPDX-License-Identifier: MIT
 *
 * vm_snapshot: internal snapshots of a machine that is here: its state in one of its qcow2 disks, and of each named disk a snapshot of the
 * same name, as QEMU's snapshot-save, snapshot-load and snapshot-delete have them. (Of disks that no machine has: snapshot.h.)
 *
 * The disks are those that were added with their node (gw_disk_desc.image). The machine stands meanwhile, and runs on afterwards if it
 * ran. Each call returns when all is done; no migration of the machine may run, and none can start meanwhile.
 *
 * Threads: any, one call at a time for each machine (-EBUSY).
 */
#ifndef GODWIT_VM_SNAPSHOT_H
#define GODWIT_VM_SNAPSHOT_H

#include "godwit/disk.h"
#include "godwit/events.h"
#include "godwit/stats.h"
#include "godwit/vm.h"

#ifdef __cplusplus
extern "C" {
#endif

struct gw_vm_snapshot {
    const char *name;            /* 1 to 255 bytes */
    struct gw_disk *const *disk; /* disk_count of them, 1 or more */
    unsigned disk_count;
    struct gw_disk *state;       /* one of them, which has the machine. delete: unused */
    gw_event_fn on_event;        /* GW_EVENT_STOP, GW_EVENT_RESUME, on the calling thread; may be NULL */
    void *opaque;
};

/* All disks have it when this returns, on stable storage, or none has. -ENOTSUP: a disk can have no snapshots; -EROFS; -EEXIST: there is
 * one of this name; -EBUSY: a migration, or a blocker. */
GW_API int gw_vm_snapshot_save_sized(struct gw_vm *vm, const struct gw_vm_snapshot *snapshot, size_t snapshot_bytes,
                                     struct gw_error *err);
static inline int gw_vm_snapshot_save(struct gw_vm *vm, const struct gw_vm_snapshot *snapshot, struct gw_error *err)
{
    return gw_vm_snapshot_save_sized(vm, snapshot, sizeof *snapshot, err);
}
/* The machine and the disks become what they were. First the machine is loaded, then the disks go back. A failure before anything was
 * changed leaves the machine as it was, and it runs on; behind a later one it stands, must not run (GW_VM_SPOILED), and the error says
 * so: another load, also of the same snapshot, makes it whole. -ENOENT; -EBUSY: also where a disk has dirty bitmaps. */
GW_API int gw_vm_snapshot_load_sized(struct gw_vm *vm, const struct gw_vm_snapshot *snapshot, size_t snapshot_bytes,
                                     struct gw_error *err);
static inline int gw_vm_snapshot_load(struct gw_vm *vm, const struct gw_vm_snapshot *snapshot, struct gw_error *err)
{
    return gw_vm_snapshot_load_sized(vm, snapshot, sizeof *snapshot, err);
}
/* Takes it away from each of the disks that has it; one that no disk has is no error. No events: the machine stands for a moment only. */
GW_API int gw_vm_snapshot_delete_sized(struct gw_vm *vm, const struct gw_vm_snapshot *snapshot, size_t snapshot_bytes,
                                       struct gw_error *err);
static inline int gw_vm_snapshot_delete(struct gw_vm *vm, const struct gw_vm_snapshot *snapshot, struct gw_error *err)
{
    return gw_vm_snapshot_delete_sized(vm, snapshot, sizeof *snapshot, err);
}

/* How far the machine is that a snapshot_save of another thread writes; transferred_bytes and remaining_bytes are those of its state.
 * -ENOENT (without a text): none does. Any thread. */
GW_API int gw_vm_snapshot_stats_sized(struct gw_vm *vm, struct gw_stats *ret_stats, size_t stats_bytes);
static inline int gw_vm_snapshot_stats(struct gw_vm *vm, struct gw_stats *ret_stats)
{
    return gw_vm_snapshot_stats_sized(vm, ret_stats, sizeof *ret_stats);
}

/* What a disk has. Texts are cut to their room. */
struct gw_disk_snapshot {
    char id[256], name[256];
    uint32_t seconds, nanoseconds; /* when it was taken, since 1970 */
    uint64_t ran_ns;               /* how long the machine had run */
    uint64_t state_bytes;          /* of the machine; 0: the disk alone */
};
/* The i-th. -ENOENT (without a text): there are fewer, or the disk can have none, or belongs to another host. Any thread. */
GW_API int gw_disk_snapshot_at_sized(struct gw_disk *disk, unsigned i, struct gw_disk_snapshot *ret_snapshot, size_t snapshot_bytes);
static inline int gw_disk_snapshot_at(struct gw_disk *disk, unsigned i, struct gw_disk_snapshot *ret_snapshot)
{
    return gw_disk_snapshot_at_sized(disk, i, ret_snapshot, sizeof *ret_snapshot);
}

#ifdef __cplusplus
}
#endif
#endif
