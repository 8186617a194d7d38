/* SPDX-License-Identifier: MIT
 *
 * bitmap: dirty bitmaps of disks: what was written since the last backup.
 *
 * A bitmap belongs to a disk and has a name. It has one bit for each piece (`granularity` bytes) of the disk; while it
 * records, each write sets the bits of the pieces that it touches (gw_disk_wrote). With the capability dirty-bitmaps
 * they migrate with their machine.
 *
 * A bitmap that an operation uses (a backup, a migration) is busy. Busy does not mean that its bits stand still: it
 * keeps recording, and is listed with its true count. But it cannot be removed, cleared, enabled, disabled or merged
 * into.
 *
 * A backup splits the bitmap: new writes go to a successor, and the bits of the bitmap stand still while the backup
 * reads them. When the backup has succeeded the successor takes the bitmap's place; when it has failed the two are
 * merged.
 *
 * Threads: all functions on any thread. Errors: -ENOENT: no such bitmap; -EBUSY: it is in use; -EROFS: it is read-only;
 * -ESTALE: it is inconsistent, and can only be removed.
 */
#ifndef GODWIT_BITMAP_H
#define GODWIT_BITMAP_H

#include "godwit/disk.h"

#ifdef __cplusplus
extern "C" {
#endif

#define GW_BITMAP_NAME_MAX 1023u

struct gw_bitmap_config {
    const char *name; /* 1 to 1023 bytes, unique on the disk; a name over 255 bytes needs an alias to migrate */
    uint64_t granularity; /* bytes: a power of two from 512 to 2 GiB; 0: the disk's cluster size, clamped to 4 KiB..64 KiB */
    bool persistent;      /* stored in the image (gw_disk_desc.image); without an image, storing it is the embedder's task */
    bool disabled;        /* does not record until it is enabled */
};

struct gw_bitmap_info {
    char name[GW_BITMAP_NAME_MAX + 1];
    uint64_t granularity;
    uint64_t dirty_bytes; /* dirty pieces times granularity: the last piece of the disk counts as a whole one */
    bool recording, busy, persistent;
    bool inconsistent; /* it missed writes: can only be removed */
    bool read_only;    /* its image cannot be written */
    bool not_stored;   /* persistent, but not stored here: its machine migrates, or has migrated, to a host that stores it */
};

/* Adds a bitmap with all bits clear. -ENOTSUP: persistent, but the image cannot store bitmaps; -EEXIST: the name is taken;
 * -EINVAL: name or granularity; -EFBIG: too many bits; -ENOMEM. */
GW_API int gw_disk_bitmap_add_sized(struct gw_disk *disk, const struct gw_bitmap_config *config, size_t config_bytes,
                                    struct gw_error *err);
static inline int gw_disk_bitmap_add(struct gw_disk *disk, const struct gw_bitmap_config *config, struct gw_error *err)
{
    return gw_disk_bitmap_add_sized(disk, config, sizeof *config, err);
}
/* Changes to the bitmap of this name. An inconsistent one can only be removed. */
GW_API int gw_disk_bitmap_remove(struct gw_disk *disk, const char *name, struct gw_error *err);
GW_API int gw_disk_bitmap_clear(struct gw_disk *disk, const char *name, struct gw_error *err);
GW_API int gw_disk_bitmap_enable(struct gw_disk *disk, const char *name, struct gw_error *err);
GW_API int gw_disk_bitmap_disable(struct gw_disk *disk, const char *name, struct gw_error *err);
/* Marks as dirty in `name` all that is dirty in `from`. from_disk is the same disk or one of the same length; the
 * granularities may differ; `from` may be busy. -EINVAL: the lengths differ. */
GW_API int gw_disk_bitmap_merge(struct gw_disk *disk, const char *name, struct gw_disk *from_disk, const char *from,
                                struct gw_error *err);
/* Several changes, applied atomically: no write falls between them, and either all are made or none. Each sees the effect of
 * those before it. */
enum gw_bitmap_change { GW_BITMAP_ADD, GW_BITMAP_REMOVE, GW_BITMAP_CLEAR, GW_BITMAP_ENABLE, GW_BITMAP_DISABLE, GW_BITMAP_MERGE };
struct gw_bitmap_action {
    enum gw_bitmap_change change;
    struct gw_disk *disk;
    struct gw_bitmap_config config; /* ADD: all of it; else the name */
    struct gw_disk *from_disk;      /* MERGE: the disk of the bitmap `from` */
    const char *from;
};
/* Returns the error of the first change that cannot be made, and its index in *ret_failed (may be NULL). At most 1024 changes. */
GW_API int gw_disk_bitmaps_change_sized(const struct gw_bitmap_action *actions, size_t action_bytes, size_t count, size_t *ret_failed,
                                        struct gw_error *err);
static inline int gw_disk_bitmaps_change(const struct gw_bitmap_action *actions, size_t count, size_t *ret_failed, struct gw_error *err)
{
    return gw_disk_bitmaps_change_sized(actions, sizeof *actions, count, ret_failed, err);
}
/* Called after the disk was opened: this bitmap missed writes (inconsistent), or its storage cannot be written (read-only). */
GW_API int gw_disk_bitmap_mark(struct gw_disk *disk, const char *name, bool inconsistent, bool read_only,
                               struct gw_error *err);

/* The i-th bitmap, in the order of their creation. -ENOENT (without a text): there are fewer. */
GW_API int gw_disk_bitmap_at_sized(struct gw_disk *disk, unsigned i, struct gw_bitmap_info *info, size_t info_bytes);
static inline int gw_disk_bitmap_at(struct gw_disk *disk, unsigned i, struct gw_bitmap_info *info)
{
    return gw_disk_bitmap_at_sized(disk, i, info, sizeof *info);
}
/* The first dirty range at or after `from`, cut at the end of the disk. *ret_bytes 0: there is none. The successor of a
 * split bitmap is not looked at. */
GW_API int gw_disk_bitmap_next(struct gw_disk *disk, const char *name, uint64_t from, uint64_t *ret_offset,
                               uint64_t *ret_bytes, struct gw_error *err);

/* Backups. split makes the bitmap busy; join ends that. done true: the bits from before the split are dropped, only those of
 * the successor stay. false: both are kept. -EINVAL: it is not split. */
GW_API int gw_disk_bitmap_split(struct gw_disk *disk, const char *name, struct gw_error *err);
GW_API int gw_disk_bitmap_join(struct gw_disk *disk, const char *name, bool done, struct gw_error *err);

/* ---- names on the wire --------------------------------------------------------------------------------------------
 *
 * Without a mapping, a disk goes by its device name or, if it has none, its node name, and a bitmap by its own name. With a
 * mapping, only the bitmaps listed in it are sent or accepted. Each side has its own mapping; the aliases must match. */

struct gw_bitmap_alias {
    const char *disk, *disk_alias; /* device name or node name; 1 to 255 bytes each */
    const char *bitmap, *alias;
    bool set_persistent, persistent; /* set_persistent: the bitmap arrives with `persistent` instead of its own flag */
};

/* Applies to sessions started after the call. aliases NULL: no mapping; count 0: no bitmap migrates. Copied. -EINVAL: a
 * name or alias has a wrong length or occurs twice; -ENOMEM. */
GW_API int gw_vm_map_bitmaps(struct gw_vm *vm, const struct gw_bitmap_alias *aliases, size_t count,
                             struct gw_error *err);
/* Calls f for each entry of the current mapping, in order; the entry is valid during the call. Returns false if there is no
 * mapping. Any thread. */
GW_API bool gw_vm_for_each_bitmap_alias(struct gw_vm *vm, void (*f)(void *opaque, const struct gw_bitmap_alias *alias), void *opaque);

#ifdef __cplusplus
}
#endif
#endif
