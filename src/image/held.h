/* SPDX-License-Identifier: MIT
 *
 * held: a machine at rest is written to a server (nbd.h): bytes in front of bytes, and bytes themselves.
 *
 *     gw_held_open --> writes to gw_held_bytes, any order --> gw_held_commit --> [gw_held_revert] --> gw_held_free
 *
 * An export has a size and no name, so what a file gets by a rename is done by its beginning: the first GW_HELD_BYTES
 * are held back in memory until all else is written and flushed, and its first block comes last. Until then the export
 * begins with zeros, and is taken for no machine, whatever happens to the server or to us.
 *
 * An export that does not begin with zeros holds something (a machine, a disk with partitions or a file system), and is
 * left alone unless it may be replaced. Then the first write takes its beginning away, and a failure later does not
 * bring it back.
 *
 * What is written behind the end of the export is an error (-ENOSPC), unless it is zeros: the padding of a last piece.
 *
 * Memory: GW_HELD_BYTES.
 * Threads: writes by any number of them; the others by one owner, without writes at the same time.
 */
#ifndef GW_IMAGE_HELD_H
#define GW_IMAGE_HELD_H

#include "image/bytes.h"

#define GW_HELD_BYTES (128u << 10)
#define GW_HELD_BLOCK 4096u /* what is written last. Writes are at multiples of it */

struct gw_held;

/* -EEXIST: something is there, and `replace` is not set; -EROFS; -ENOTSUP: no flush, or larger blocks. */
int gw_held_open(const char *uri, bool replace, struct gw_held **ret, struct gw_error *err);
/* To be written to; nothing can be read from it. The held one's. */
struct gw_bytes *gw_held_bytes(struct gw_held *h);
/* Up to where it was written. */
uint64_t gw_held_end(const struct gw_held *h);
/* All that was written is flushed at the server, and then its beginning. After an error there is no machine; where not
 * even that could be reached the error says so. */
int gw_held_commit(struct gw_held *h, struct gw_error *err);
/* After a commit: the beginning is zeros again, flushed. */
int gw_held_revert(struct gw_held *h, struct gw_error *err);
/* Takes NULL, returns NULL. Without a commit there is no machine. */
struct gw_held *gw_held_free(struct gw_held *h);

#endif
