/* SPDX-License-Identifier: MIT
 *
 * bulk: reads large pieces of a file once: bypassing the page cache, unless they are in it already.
 *
 * Caching data that is read once wastes memory and time. If the file system, the kernel or a sandbox does not allow
 * direct reads, everything is read through the cache; that is no error.
 *
 * Threads: any number at once between open and close.
 */
#ifndef GW_IMAGE_BULK_H
#define GW_IMAGE_BULK_H

#include "image/bytes.h"

#define GW_BULK_ALIGN 4096u /* alignment of memory and offsets for direct reads */

struct gw_bulk {
    struct gw_bytes *of;   /* borrowed */
    int direct_fd;         /* the same file, with O_DIRECT; -1: not possible */
    _Atomic(bool) refused; /* O_DIRECT could be set, but a read failed */
    uint8_t *map;          /* a mapping that is never read: to ask which pages are cached. NULL: not possible */
    uint64_t bytes;        /* of the file */
};

/* `of` stays the caller's. Only files can be read directly. */
void gw_bulk_open(struct gw_bulk *b, struct gw_bytes *of);
void gw_bulk_close(struct gw_bulk *b); /* also for a struct of zeros that was never opened, and twice */

/* Whether [at, at + bytes), which must lie in the file, should be read directly. */
bool gw_bulk_is_direct(const struct gw_bulk *b, uint64_t at, size_t bytes);
/* The buffer size for a direct read of this many bytes. */
static inline size_t gw_bulk_room(size_t bytes)
{
    return bytes + 2 * GW_BULK_ALIGN;
}
/* A direct read. room: gw_bulk_room(bytes) bytes, aligned to GW_BULK_ALIGN. Returns the first byte's address in it;
 * NULL: a direct read was not possible. */
const uint8_t *gw_bulk_direct(struct gw_bulk *b, uint64_t at, size_t bytes, uint8_t *room);
/* Reads through the cache into vectors, which it modifies. False: the read was incomplete. */
bool gw_bulk_cached(const struct gw_bulk *b, uint64_t at, struct iovec *iov, unsigned count);

#endif
