/* SPDX-License-Identifier: MIT
 *
 * disk: the disks of a machine, as far as a migration needs them.
 *
 * The embedder tells the library which disks a machine has and how to read and write them, and reports each write. The
 * library uses these reports for the dirty bitmaps of incremental backups (bitmap.h) and to send written ranges again when
 * the contents of the disk migrate.
 *
 * A disk has one or two names, as in QEMU: the device name (of the backend, "drive0") and the node name (of what the
 * backend shows, "disk0"). The device name, where there is one, is the name on the wire.
 *
 * Threads: adding and removing disks belongs to the thread that sets up the machine. The other functions may be called
 * on any thread.
 */
#ifndef GODWIT_DISK_H
#define GODWIT_DISK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "godwit/error.h"
#include "godwit/version.h"

#ifdef __cplusplus
extern "C" {
#endif

struct gw_vm;
struct gw_disk;
struct gw_node;

enum gw_disk_kind {
    GW_DISK_DATA,   /* written once */
    GW_DISK_ZERO,   /* known to read as zeros */
    GW_DISK_ABSENT, /* never written in the top layer: reads as the layer below, or as zeros without one */
};

/* A range of a disk that is all of one kind. */
struct gw_disk_run {
    enum gw_disk_kind kind;
    uint64_t bytes; /* 1 or more, at most what was asked for */
};

/* Callbacks of the embedder. On any thread, several at once. Ranges lie inside the disk; offsets and lengths are multiples of
 * request_bytes. Errors: negative errno with *err filled; the library adds the name of the disk, and GW_BLAME_EMBEDDER where
 * blame is none. The library's own writes need not be reported with gw_disk_wrote. */
struct gw_disk_ops {
    size_t bytes; /* GW_SIZED(struct gw_disk_ops) */
    int (*read)(void *opaque, void *to, uint64_t bytes, uint64_t offset, struct gw_error *err);
    /* Optional: without it the disk cannot be received. */
    int (*write)(void *opaque, const void *from, uint64_t bytes, uint64_t offset, struct gw_error *err);
    /* Optional; without it zeros are written. unmap: the storage may be freed. */
    int (*zero)(void *opaque, uint64_t bytes, uint64_t offset, bool unmap, struct gw_error *err);
    /* Optional: the contents are not needed any more; reads of the range then return undefined data. */
    int (*discard)(void *opaque, uint64_t bytes, uint64_t offset, struct gw_error *err);
    /* Optional; without it everything counts as data. Returns the kind and length of the run at the start of the range. */
    int (*find)(void *opaque, uint64_t bytes, uint64_t offset, struct gw_disk_run *ret_run, struct gw_error *err);
    /* Optional: when this returns, all data written before is on stable storage. */
    int (*flush)(void *opaque, struct gw_error *err);
    /* Optional. activate: this host owns the disk from now on (open it for writing, drop cached data). inactivate: another
     * host may own it from now on (flush, and do not write any more). Never called at the same time. */
    int (*activate)(void *opaque, struct gw_error *err);
    int (*inactivate)(void *opaque, struct gw_error *err);
};

struct gw_disk_desc {
    const char *device; /* 1 to 255 bytes; NULL: none. Unique among all device and node names of the machine */
    const char *node;   /* the same. At least one of the two is needed */
    uint64_t bytes;     /* its length */
    const struct gw_disk_ops *ops; /* copied; opaque is borrowed until the disk is removed */
    void *opaque;
    uint32_t request_bytes; /* offsets and lengths of requests are multiples of it: a power of two up to 64 KiB; 0: 1 */
    uint32_t cluster_bytes; /* allocation unit; 0: unknown */
    bool read_only;
    bool inactive; /* another host owns the disk until the machine arrives here */
    struct gw_node *image; /* if ops reads and writes a node: that node. Needed for snapshots (vm_snapshot.h) and for persistent
                            * bitmaps, which are stored in it when the disk is removed. Borrowed until then */
};

/* Not during a migration (-EBUSY). -EINVAL: a name, a size or a callback is wrong; -EEXIST: the name is taken; -ENOSPC: too
 * many disks (GW_DISKS_MAX). */
#define GW_DISKS_MAX 256u
GW_API int gw_vm_add_disk_sized(struct gw_vm *vm, const struct gw_disk_desc *desc, size_t desc_bytes,
                                struct gw_disk **ret_disk, struct gw_error *err);
static inline int gw_vm_add_disk(struct gw_vm *vm, const struct gw_disk_desc *desc, struct gw_disk **ret_disk,
                                 struct gw_error *err)
{
    return gw_vm_add_disk_sized(vm, desc, sizeof *desc, ret_disk, err);
}
/* Frees the disk and its bitmaps. No other thread may use it any more. -EBUSY: a migration or another operation uses
 * it. */
GW_API int gw_vm_remove_disk(struct gw_vm *vm, struct gw_disk *disk, struct gw_error *err);
/* By device name or node name; NULL: there is none. Valid until the disk is removed. */
GW_API struct gw_disk *gw_vm_find_disk(struct gw_vm *vm, const char *name);

/* The i-th disk, in the order in which they were added; NULL: there are fewer. */
GW_API struct gw_disk *gw_vm_disk_at(struct gw_vm *vm, unsigned i);

struct gw_disk_info {
    char device[256], node[256]; /* "": none */
    uint64_t length;             /* bytes */
    bool read_only, active;
    char format[16]; /* of its image: "qcow2", "raw", ...; "": it has none (gw_disk_desc.image) */
};
GW_API void gw_disk_describe_sized(struct gw_disk *disk, struct gw_disk_info *ret_info, size_t info_bytes);
/* The current description. */
static inline void gw_disk_describe(struct gw_disk *disk, struct gw_disk_info *ret_info)
{
    gw_disk_describe_sized(disk, ret_info, sizeof *ret_info);
}

/* Reports that the range was written, zeroed or discarded, or may have been (after an error). Call it when the write has
 * completed and before completion is reported to the guest. Cheap, and lock-free when there is no bitmap and no
 * migration. The part beyond the end of the disk is ignored. */
GW_API void gw_disk_wrote(struct gw_disk *disk, uint64_t offset, uint64_t bytes);
/* The embedder changed the length. New bytes count as written. -EBUSY: a migration or a bitmap operation uses the disk.
 */
GW_API int gw_disk_resized(struct gw_disk *disk, uint64_t bytes, struct gw_error *err);

#ifdef __cplusplus
}
#endif
#endif
