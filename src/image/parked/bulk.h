/* SPDX-License-Identifier: MIT
 *
 * bulk: large pieces of a file that are read once: past the page cache, unless they are in it already.
 *
 * What is read once is not worth a copy in memory, nor the time that making it takes. Where the file system, the kernel
 * or a sandbox does not let a file be read around the cache, everything is read through it: nothing here fails for
 * that.
 *
 * Threads: any number at once between open and close.
 */
#ifndef GW_IMAGE_BULK_H
#define GW_IMAGE_BULK_H

#include "image/bytes.h"

#define GW_BULK_ALIGN 4096u /* of memory and of places in the file, for reading past the cache */

struct gw_bulk {
    struct gw_bytes *of;   /* borrowed */
    int direct_fd;         /* the same file, past the cache; -1: cannot be done */
    _Atomic(bool) refused; /* it could be opened, but not read */
    uint8_t *map;          /* never read: to ask what is in the cache. NULL: there is no asking */
    uint64_t bytes;        /* of the file */
};

/* What it reads stays the caller's. Only files can be read past the cache. */
void gw_bulk_open(struct gw_bulk *b, struct gw_bytes *of);
void gw_bulk_close(struct gw_bulk *b); /* also one of zeros that was never opened, and twice */

/* Whether [at, at + bytes), which must lie in the file, should be read past the cache. */
bool gw_bulk_is_direct(const struct gw_bulk *b, uint64_t at, size_t bytes);
/* Bytes of memory for a direct read of so many. */
static inline size_t gw_bulk_room(size_t bytes)
{
    return bytes + 2 * GW_BULK_ALIGN;
}
/* Past the cache. room: gw_bulk_room(bytes) bytes at a multiple of GW_BULK_ALIGN. Where in it the first byte is; NULL:
 * it could not be read that way. */
const uint8_t *gw_bulk_direct(struct gw_bulk *b, uint64_t at, size_t bytes, uint8_t *room);
/* Through the cache, to vectors, which are used up. False: not all of it could be read. */
bool gw_bulk_cached(const struct gw_bulk *b, uint64_t at, struct iovec *iov, unsigned count);

#endif
