/* SPDX-License-Identifier: MIT
 *
 * vm_snapshot: internal snapshots of a machine of this process: a snapshot of the same name in each given qcow2 disk, one of
 * which also has the machine's state; as QEMU's snapshot-save, snapshot-load and snapshot-delete. (For images that no machine
 * uses: snapshot.h.)
 *
 * The disks must have been added with their node (gw_disk_desc.image). The machine is stopped meanwhile, and resumed if it ran.
 * The calls are synchronous. No migration of the machine may be running, and none can start meanwhile.
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
    struct gw_disk *state;       /* the one of them for the machine's state. delete: unused */
    gw_event_fn on_event;        /* GW_EVENT_STOP, GW_EVENT_RESUME, on the calling thread; may be NULL */
    void *opaque;
};

/* Saves a snapshot. When it returns 0, all disks have it on stable storage; after an error none has. -ENOTSUP: a disk cannot
 * have snapshots; -EROFS; -EEXIST: the name is taken; -EBUSY: a migration is running, or there is a blocker. */
GW_API int gw_vm_snapshot_save_sized(struct gw_vm *vm, const struct gw_vm_snapshot *snapshot, size_t snapshot_bytes,
                                     struct gw_error *err);
static inline int gw_vm_snapshot_save(struct gw_vm *vm, const struct gw_vm_snapshot *snapshot, struct gw_error *err)
{
    return gw_vm_snapshot_save_sized(vm, snapshot, sizeof *snapshot, err);
}
/* Reverts the machine and the disks to the snapshot: first the machine's state is loaded, then the disks are reverted. After an
 * error before any change, the machine resumes unchanged. After a later one it stays stopped and must not run (GW_VM_SPOILED),
 * and the error says so; another load, also of the same snapshot, repairs it. -ENOENT; -EBUSY: as above, or a disk has dirty
 * bitmaps. */
GW_API int gw_vm_snapshot_load_sized(struct gw_vm *vm, const struct gw_vm_snapshot *snapshot, size_t snapshot_bytes,
                                     struct gw_error *err);
static inline int gw_vm_snapshot_load(struct gw_vm *vm, const struct gw_vm_snapshot *snapshot, struct gw_error *err)
{
    return gw_vm_snapshot_load_sized(vm, snapshot, sizeof *snapshot, err);
}
/* Deletes the snapshot from each of the disks that has it; it is no error if none has. The machine is stopped only for a moment,
 * without events. */
GW_API int gw_vm_snapshot_delete_sized(struct gw_vm *vm, const struct gw_vm_snapshot *snapshot, size_t snapshot_bytes,
                                       struct gw_error *err);
static inline int gw_vm_snapshot_delete(struct gw_vm *vm, const struct gw_vm_snapshot *snapshot, struct gw_error *err)
{
    return gw_vm_snapshot_delete_sized(vm, snapshot, sizeof *snapshot, err);
}

/* Progress of the snapshot_save that another thread runs; transferred_bytes and remaining_bytes are those of the machine's state.
 * -ENOENT (no text): none is running. Any thread. */
GW_API int gw_vm_snapshot_stats_sized(struct gw_vm *vm, struct gw_stats *ret_stats, size_t stats_bytes);
static inline int gw_vm_snapshot_stats(struct gw_vm *vm, struct gw_stats *ret_stats)
{
    return gw_vm_snapshot_stats_sized(vm, ret_stats, sizeof *ret_stats);
}

/* A snapshot in a disk. Longer texts are cut. */
struct gw_disk_snapshot {
    char id[256], name[256];
    uint32_t seconds, nanoseconds; /* when it was taken, since 1970 */
    uint64_t ran_ns;               /* how long the guest had run by then */
    uint64_t state_bytes;          /* size of the machine's state; 0: a snapshot of the disk only */
};
/* The i-th snapshot. -ENOENT (without a text): there are fewer, the disk cannot have any, or it belongs to another host. Any
 * thread. */
GW_API int gw_disk_snapshot_at_sized(struct gw_disk *disk, unsigned i, struct gw_disk_snapshot *ret_snapshot, size_t snapshot_bytes);
static inline int gw_disk_snapshot_at(struct gw_disk *disk, unsigned i, struct gw_disk_snapshot *ret_snapshot)
{
    return gw_disk_snapshot_at_sized(disk, i, ret_snapshot, sizeof *ret_snapshot);
}

#ifdef __cplusplus
}
#endif
#endif
