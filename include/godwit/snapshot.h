/* SPDX-License-Identifier: MIT
 *
 * snapshot: internal snapshots of a disk image (qcow2): the contents of the disk at that time and, as stored by QEMU's `savevm`
 * and `snapshot-save`, the state of the machine: a migration stream after the end of the disk's contents.
 *
 *     disk image --gw_image_open_snapshot--> struct gw_image --gw_snapshot_write--> disk image
 *
 * A snapshot is found by its ID or, if no ID matches, by its name. A snapshot of a machine is one snapshot of the same name in
 * each of its disks; one of them has the machine's state (state_bytes).
 *
 * Images are locked: one that a QEMU has open for writing is refused (-EBUSY). Nothing in them is trusted: -EPROTO: the image is
 * damaged; -ENOTSUP: it is not qcow2, or has an unknown feature.
 * Threads: one owner.
 */
#ifndef GODWIT_SNAPSHOT_H
#define GODWIT_SNAPSHOT_H

#include "godwit/image.h"

#ifdef __cplusplus
extern "C" {
#endif

struct gw_snapshots;

struct gw_snapshot {
    const char *id, *name;         /* any bytes but NUL; valid until the next change */
    uint32_t seconds, nanoseconds; /* when it was taken, since 1970 */
    uint64_t ran_ns;               /* how long the guest had run by then */
    uint64_t state_bytes;          /* size of the machine's state; 0: a snapshot of the disk only */
    uint64_t disk_bytes;
};

/* disk: a path, or for reading also the URI of an NBD export. write: opens for changes; no other process may have the image open
 * then. */
GW_API int gw_snapshots_open(const char *disk, bool write, struct gw_snapshots **ret_snapshots, struct gw_error *err);
GW_API unsigned gw_snapshots_count(const struct gw_snapshots *snapshots);
/* -ENOENT: index is too large. */
GW_API int gw_snapshots_get_sized(const struct gw_snapshots *snapshots, unsigned index, struct gw_snapshot *ret_snapshot,
                                  size_t snapshot_bytes, struct gw_error *err);
static inline int gw_snapshots_get(const struct gw_snapshots *snapshots, unsigned index, struct gw_snapshot *ret_snapshot,
                                   struct gw_error *err)
{
    return gw_snapshots_get_sized(snapshots, index, ret_snapshot, sizeof *ret_snapshot, err);
}
/* Takes a snapshot of this name, without machine state, in each of these disks, or in none. They are the disks of a machine that
 * is not running, opened for writing. -EEXIST: a disk has such a snapshot already; -EINVAL: the name must have 1 to 255 bytes. */
GW_API int gw_snapshots_save(struct gw_snapshots *const *snapshots, unsigned count, const char *name, struct gw_error *err);
/* Reverts the contents of each disk to the snapshot of this name (not ID); machine state in it is not loaded. All disks are
 * checked first: -ENOENT: a disk has no such snapshot; -EBUSY: a disk has dirty bitmaps, which would become wrong; -EINVAL: a
 * disk had another length then. */
GW_API int gw_snapshots_load(struct gw_snapshots *const *snapshots, unsigned count, const char *name, struct gw_error *err);
/* what: ID or name. -ENOENT. */
GW_API int gw_snapshots_delete(struct gw_snapshots *snapshots, const char *what, struct gw_error *err);
/* Takes NULL. An error means that changes may not be on the disk; the object is freed in any case. */
GW_API int gw_snapshots_free(struct gw_snapshots *snapshots, struct gw_error *err);

/* Opens the machine state of a snapshot; the disk image is not changed. The state is first copied into an unlinked file in
 * temporary_folder (NULL: /var/tmp). The gw_image has no file of its own: it cannot be locked, marked or removed. -ENOENT: there
 * is no such snapshot, or it has no machine state. */
GW_API int gw_image_open_snapshot(const char *disk, const char *what, const char *temporary_folder, struct gw_image **ret_image,
                                  struct gw_error *err);

/* Stores the machine, with the current contents of the disk, as a snapshot that QEMU can start with -loadvm. The machine must be
 * one that had this disk with these contents. After an error nothing of the snapshot is left. progress: called from time to time
 * on the calling thread; true: stop, -ECANCELED; may be NULL. -EEXIST: there is a snapshot of this ID or name; -EINVAL: the name
 * must have 1 to 255 bytes. */
struct gw_snapshot_options {
    unsigned threads; /* 0: one per processor */
    bool (*progress)(void *opaque, uint64_t done_bytes, uint64_t total_bytes);
    void *opaque;
    const char *temporary_folder; /* for the stream, before it is copied to the disk; NULL: /var/tmp */
};
GW_API int gw_snapshot_write_sized(struct gw_image *image, const char *disk, const char *name,
                                   const struct gw_snapshot_options *options, size_t options_bytes, struct gw_error *err);
static inline int gw_snapshot_write(struct gw_image *image, const char *disk, const char *name,
                                    const struct gw_snapshot_options *options, struct gw_error *err)
{
    return gw_snapshot_write_sized(image, disk, name, options, sizeof *options, err);
}

#ifdef __cplusplus
}
#endif
#endif
