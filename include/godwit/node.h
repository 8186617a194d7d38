/* SPDX-License-Identifier: MIT
 *
 * node: access to disk images: files, block devices, exports of NBD servers.
 *
 * A node is an open disk image, seen as an array of bytes. Images are locked with QEMU's locks: an image that a QEMU or
 * another godwit writes to cannot be opened here, and one that is open here cannot be opened there.
 *
 * Threads: read, write, zero, discard and flush may be called on any thread, any number at once, and are synchronous. Where
 * concurrent writes overlap, either's bytes remain. All other functions: only while no other call on the node runs.
 * Errors: a negative errno; err names the file and the offset in it. A call that failed may have been carried out in part.
 */
#ifndef GODWIT_NODE_H
#define GODWIT_NODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "godwit/disk.h"
#include "godwit/error.h"

#ifdef __cplusplus
extern "C" {
#endif

struct gw_node;

/* Cache modes, with QEMU's names. */
enum gw_node_cache {
    GW_NODE_CACHE_WRITEBACK,    /* the page cache; on the disk after a flush */
    GW_NODE_CACHE_NONE,         /* bypasses the page cache (O_DIRECT); on the disk after a flush */
    GW_NODE_CACHE_WRITETHROUGH, /* the page cache; each write is on the disk when it returns */
    GW_NODE_CACHE_DIRECTSYNC,   /* bypasses the page cache; each write is on the disk when it returns */
    GW_NODE_CACHE_UNSAFE        /* the page cache; flushes do nothing. For disks whose contents may be lost if the host fails */
};

enum gw_node_flags {
    GW_NODE_UNMAP = 1,  /* zero: the space may be deallocated */
    GW_NODE_DURABLE = 2 /* write, zero: on the disk when the call returns, as if a flush followed */
};

struct gw_node_options {
    /* "raw", "nbd", "qcow2". NULL: detected from the name and the first bytes. An image of no known format is then opened as
     * raw, and writes that would make its first bytes look like another format are refused: with a forged header a guest could
     * get access to other files of the host. */
    const char *format;
    enum gw_node_cache cache;
    bool read_only;
    bool unlocked; /* no image locks: the caller makes sure that only one process writes */
    bool inactive; /* as after gw_node_inactivate: for a machine that has not arrived yet */
};

/* what: a path, or the URI of an NBD export (nbd://, nbd+unix://, ...). options NULL: all zero.
 * -EBUSY: another process has locked it; -EINVAL, -ENOTSUP: the format is wrong or not supported; others as open(2). */
GW_API int gw_node_open_sized(const char *what, const struct gw_node_options *options, size_t options_bytes,
                              struct gw_node **ret, struct gw_error *err);
static inline int gw_node_open(const char *what, const struct gw_node_options *options, struct gw_node **ret,
                               struct gw_error *err)
{
    return gw_node_open_sized(what, options, sizeof *options, ret, err);
}
/* Takes NULL. Does not flush. An error means that written data may not be on the disk; the node is freed in any case. */
GW_API int gw_node_free(struct gw_node *n, struct gw_error *err);

/* "raw", "nbd", "qcow2" */
GW_API const char *gw_node_format(const struct gw_node *n);
GW_API uint64_t gw_node_bytes(const struct gw_node *n);
GW_API bool gw_node_read_only(const struct gw_node *n);

/* These take any offset and length within the node (-EINVAL beyond it), including 0 bytes. -EROFS: the node is read-only;
 * -EPERM: it is inactive. */
GW_API int gw_node_read(struct gw_node *n, void *to, uint64_t bytes, uint64_t offset, struct gw_error *err);
GW_API int gw_node_write(struct gw_node *n, const void *from, uint64_t bytes, uint64_t offset, unsigned flags,
                         struct gw_error *err);
/* The range reads as zeros afterwards. */
GW_API int gw_node_zero(struct gw_node *n, uint64_t bytes, uint64_t offset, unsigned flags, struct gw_error *err);
/* The kind and length of the run at the start of the range. GW_DISK_ABSENT is returned only if there is a backing file, whose
 * contents are not examined. */
GW_API int gw_node_look(struct gw_node *n, uint64_t bytes, uint64_t offset, struct gw_disk_run *ret_run, struct gw_error *err);
/* The contents are not needed any more; later reads of the range return undefined data. */
GW_API int gw_node_discard(struct gw_node *n, uint64_t bytes, uint64_t offset, struct gw_error *err);
/* When it returns, all data written before is on stable storage. */
GW_API int gw_node_flush(struct gw_node *n, struct gw_error *err);
/* Bytes added read as zeros. -EBUSY: the node is in use (gw_node_use in the library); -ENOTSUP. */
GW_API int gw_node_resize(struct gw_node *n, uint64_t bytes, struct gw_error *err);

/* Hand-over of a disk in a migration: the source inactivates its nodes (releases locks, drops cached metadata) when the
 * machine has stopped and all contents that migrate were sent; the destination activates its nodes before the machine starts.
 * An inactive node can be neither read nor written. Both do nothing if the node is in that state already. gw_node_activate:
 * -EBUSY: another process has locked it. */
GW_API int gw_node_activate(struct gw_node *n, struct gw_error *err);
GW_API int gw_node_inactivate(struct gw_node *n, struct gw_error *err);

#ifdef __cplusplus
}
#endif
#endif
