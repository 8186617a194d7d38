/* SPDX-License-Identifier: MIT
 *
 * snapshot: the snapshots inside of a disk image (qcow2): the disk as it was, and the machine that ran on it then, as QEMU's
 * `savevm` and `snapshot-save` leave it there: a migration stream after the end of the disk's contents.
 *
 *     disk image --gw_image_open_snapshot--> struct gw_image --gw_snapshot_write--> disk image
 *
 * A snapshot is named by its ID or by its name; an ID comes first. Of the disks of one machine all have a snapshot of the same
 * name, and one has the machine in it (state_bytes).
 *
 * Images are locked: one that a QEMU has open for writing is refused (-EBUSY). Nothing in them is trusted: -EPROTO, the image is
 * damaged; -ENOTSUP, it has something that is not known here, or is no such image.
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
    const char *id, *name;         /* any bytes but NUL; until the next change */
    uint32_t seconds, nanoseconds; /* when it was taken, since 1970 */
    uint64_t ran_ns;               /* how long the machine had run */
    uint64_t state_bytes;          /* of the machine; 0: only the disk is there */
    uint64_t disk_bytes;
};

/* disk: a path, or to read also a URI of an NBD server. write: they are to be changed; no other process may have the
 * image open then. */
GW_API int gw_snapshots_open(const char *disk, bool write, struct gw_snapshots **ret_snapshots, struct gw_error *err);
GW_API unsigned gw_snapshots_count(const struct gw_snapshots *snapshots);
/* -ENOENT: there are not so many. */
GW_API int gw_snapshots_get_sized(const struct gw_snapshots *snapshots, unsigned index, struct gw_snapshot *ret_snapshot,
                                  size_t snapshot_bytes, struct gw_error *err);
static inline int gw_snapshots_get(const struct gw_snapshots *snapshots, unsigned index, struct gw_snapshot *ret_snapshot,
                                   struct gw_error *err)
{
    return gw_snapshots_get_sized(snapshots, index, ret_snapshot, sizeof *ret_snapshot, err);
}
/* Of the disks of one machine that stands nowhere, opened for writing: each gets a snapshot of this name, of the disk alone, or none does.
 * -EEXIST: one has it already; -EINVAL: a name has 1 to 255 bytes. */
GW_API int gw_snapshots_save(struct gw_snapshots *const *snapshots, unsigned count, const char *name, struct gw_error *err);
/* Each becomes what it was in the snapshot of this name (not ID); a machine that is in it stays there. All are checked first: -ENOENT: one
 * does not have it; -EBUSY: one has dirty bitmaps, which would not match; -EINVAL: one had another length. */
GW_API int gw_snapshots_load(struct gw_snapshots *const *snapshots, unsigned count, const char *name, struct gw_error *err);
/* what: ID or name. -ENOENT. */
GW_API int gw_snapshots_delete(struct gw_snapshots *snapshots, const char *what, struct gw_error *err);
/* Takes NULL. An error means that what was changed may not be on the disk; they are freed all the same. */
GW_API int gw_snapshots_free(struct gw_snapshots *snapshots, struct gw_error *err);

/* The machine in a snapshot; the image does not change. It is first copied into an unlinked file in temporary_folder (NULL:
 * /var/tmp). The image has no file: it cannot be locked, marked or removed. -ENOENT: there is no such snapshot,
 * or it has only the disk. */
GW_API int gw_image_open_snapshot(const char *disk, const char *what, const char *temporary_folder, struct gw_image **ret_image,
                                  struct gw_error *err);

/* The machine becomes a snapshot of the disk as it is now, which QEMU starts with -loadvm. It must be a machine that
 * had this disk in this state. The snapshot is there when this returns, or nothing of it is. progress: called now and
 * then by the calling thread; true: stop, -ECANCELED; may be NULL. -EEXIST: there is one of this ID or name; -EINVAL:
 * a name has 1 to 255 bytes. */
struct gw_snapshot_options {
    unsigned threads; /* 0: one per processor */
    bool (*progress)(void *opaque, uint64_t done_bytes, uint64_t total_bytes);
    void *opaque;
    const char *temporary_folder; /* for the stream, before it goes to the disk; NULL: /var/tmp */
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
