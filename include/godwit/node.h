/* SPDX-License-Identifier: MIT
 *
 * node: what guests have as disks: files, block devices, exports of NBD servers.
 *
 * A node is such a thing, opened: an array of bytes. Images are locked as QEMU locks them, so a disk that a QEMU or
 * another godwit writes to is refused here, and one that is open here is refused there.
 *
 * Threads: read, write, zero, discard and flush on any thread, any number at once; they return when they are done.
 * Writes that overlap and are under way together leave either's bytes. All else: nothing else is under way.
 * Errors: a negative errno, and err names the file and the offset in it. A call that failed may have done a part.
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

/* What writes go through, by QEMU's names. */
enum gw_node_cache {
    GW_NODE_CACHE_WRITEBACK,    /* the page cache; on the disk after a flush */
    GW_NODE_CACHE_NONE,         /* past the page cache (O_DIRECT); on the disk after a flush */
    GW_NODE_CACHE_WRITETHROUGH, /* the page cache; each write is on the disk when it returns */
    GW_NODE_CACHE_DIRECTSYNC,   /* past the page cache, and on the disk when it returns */
    GW_NODE_CACHE_UNSAFE        /* the page cache; flushes do nothing. For disks that may be lost with the host */
};

enum gw_node_flags {
    GW_NODE_UNMAP = 1,  /* zero: the room may be given back */
    GW_NODE_DURABLE = 2 /* write, zero: on the disk when the call returns, as if a flush followed */
};

struct gw_node_options {
    /* "raw", "nbd", "qcow2". NULL: found out from the name and the first bytes. What looks like no format is raw then, and
     * its first bytes cannot be made to look like one: a guest could hand itself other files of the host that way. */
    const char *format;
    enum gw_node_cache cache;
    bool read_only;
    bool unlocked; /* no image locks: the caller makes sure that no two processes write */
    bool inactive; /* as after gw_node_inactivate: for a machine that is still to arrive */
};

/* what: a path, or the URI of an NBD export (nbd://, nbd+unix://, ...). options NULL: all zero.
 * -EBUSY: another process has it. -EINVAL, -ENOTSUP: the format. Else as open(2). */
GW_API int gw_node_open_sized(const char *what, const struct gw_node_options *options, size_t options_bytes,
                              struct gw_node **ret, struct gw_error *err);
static inline int gw_node_open(const char *what, const struct gw_node_options *options, struct gw_node **ret,
                               struct gw_error *err)
{
    return gw_node_open_sized(what, options, sizeof *options, ret, err);
}
/* NULL: nothing is done. Does not flush. An error means that what was written may not be on the disk; it is freed all
 * the same. */
GW_API int gw_node_free(struct gw_node *n, struct gw_error *err);

/* "raw", "nbd", "qcow2" */
GW_API const char *gw_node_format(const struct gw_node *n);
GW_API uint64_t gw_node_bytes(const struct gw_node *n);
GW_API bool gw_node_read_only(const struct gw_node *n);

/* These take any offset and length within the node (-EINVAL beyond it), 0 bytes too. -EROFS: it is read-only. -EPERM: it
 * is inactive. */
GW_API int gw_node_read(struct gw_node *n, void *to, uint64_t bytes, uint64_t offset, struct gw_error *err);
GW_API int gw_node_write(struct gw_node *n, const void *from, uint64_t bytes, uint64_t offset, unsigned flags,
                         struct gw_error *err);
/* Reads as zeros afterwards. */
GW_API int gw_node_zero(struct gw_node *n, uint64_t bytes, uint64_t offset, unsigned flags, struct gw_error *err);
/* What is there: the first run of what is asked for. GW_DISK_ABSENT: only where there is a backing, which is not looked at. */
GW_API int gw_node_look(struct gw_node *n, uint64_t bytes, uint64_t offset, struct gw_disk_run *ret_run, struct gw_error *err);
/* The bytes are not needed any more; what is read there afterwards is the node's choice. */
GW_API int gw_node_discard(struct gw_node *n, uint64_t bytes, uint64_t offset, struct gw_error *err);
/* All that was written before is on the disk, also when the host fails. */
GW_API int gw_node_flush(struct gw_node *n, struct gw_error *err);
/* -EBUSY: it is in use (gw_node_use in the library). -ENOTSUP. What is new reads as zeros. */
GW_API int gw_node_resize(struct gw_node *n, uint64_t bytes, struct gw_error *err);

/* A machine that moves hands its disks over: the source gives up its locks, and what it has of the disk in memory,
 * when it has stopped and sent what goes of them; the destination takes them before it starts. An inactive node is
 * neither read nor written. Both do nothing when it is so already. gw_node_activate: -EBUSY, another process has it. */
GW_API int gw_node_activate(struct gw_node *n, struct gw_error *err);
GW_API int gw_node_inactivate(struct gw_node *n, struct gw_error *err);

#ifdef __cplusplus
}
#endif
#endif
