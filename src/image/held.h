/* SPDX-License-Identifier: MIT
 *
 * held: writes a machine at rest to a server (nbd.h). It is a struct gw_bytes that writes to another one.
 *
 *     gw_held_open --> writes to gw_held_bytes, any order --> gw_held_commit --> [gw_held_revert] --> gw_held_free
 *
 * An export cannot be renamed as a file can. Its beginning makes the machine visible instead: the first GW_HELD_BYTES
 * are held back in memory until all else is written and flushed, and its first block is written last. Until then the
 * export begins with zeros, so no reader finds a machine there, even after a crash of the server or of this process.
 *
 * An export that does not begin with zeros holds something (a machine, a disk with partitions or a file system), and is
 * left alone unless it may be replaced. Then the first write clears its beginning, and a later failure does not restore
 * it.
 *
 * Writing past the end of the export is an error (-ENOSPC), except for zeros: the padding of a last piece.
 *
 * Memory: GW_HELD_BYTES.
 * Threads: writes by any number of them; the others by one owner, without writes at the same time.
 */
#ifndef GW_IMAGE_HELD_H
#define GW_IMAGE_HELD_H

#include "image/bytes.h"

#define GW_HELD_BYTES (128u << 10)
#define GW_HELD_BLOCK 4096u /* size of the part that is written last; writes are aligned to it */

struct gw_held;

/* -EEXIST: the export holds data and `replace` is not set; -EROFS; -ENOTSUP: the server has no flush, or larger
 * blocks. */
int gw_held_open(const char *uri, bool replace, struct gw_held **ret, struct gw_error *err);
/* For writing only. Owned by the held. */
struct gw_bytes *gw_held_bytes(struct gw_held *h);
/* The end of the data written so far. */
uint64_t gw_held_end(const struct gw_held *h);
/* Flushes the data on the server, then writes and flushes the beginning. After an error the export holds no machine; if
 * clearing its beginning failed too, the error says so. */
int gw_held_commit(struct gw_held *h, struct gw_error *err);
/* After a commit: makes the beginning zeros again and flushes. */
int gw_held_revert(struct gw_held *h, struct gw_error *err);
/* Takes NULL, returns NULL. Without a commit the export holds no machine. */
struct gw_held *gw_held_free(struct gw_held *h);

#endif
