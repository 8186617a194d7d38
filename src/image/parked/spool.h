/* SPDX-License-Identifier: MIT
 *
 * spool: writes pieces of a file, bypassing the page cache, while the owner makes the next ones.
 *
 *     fill gw_spool_room(s); gw_spool_put(s, at, bytes)      any number of times, anywhere in the file
 *     gw_spool_flush(s)
 *
 * Put pieces do not delay a later fsync: they are written with O_DIRECT if the file system supports it, else the kernel
 * is told to start writing at once. After a flush all data is in the file; stable storage still needs an fsync.
 *
 * Overlapping pieces are written in the order of the puts, others in any order.
 *
 * Memory: the pieces.
 * Threads: one owner; those that write are the object's own.
 * Errors:  the first one is kept: from then on nothing is written, room is NULL, and flush returns it, blame LOCAL.
 */
#ifndef GW_IMAGE_SPOOL_H
#define GW_IMAGE_SPOOL_H

#include "image/bytes.h"

#define GW_SPOOL_ALIGN 4096u /* alignment of offsets and sizes */

struct gw_spool;

/* fd: a regular file, open for writing; borrowed. O_DIRECT is set on it if that works. */
int gw_spool_new(int fd, size_t piece_bytes, unsigned pieces, struct gw_spool **ret, struct gw_error *err);
/* The same to bytes that can be written (bytes.h); a flush of the spool does not flush these: it means that all pieces
 * were written. */
int gw_spool_new_far(struct gw_bytes *to, size_t piece_bytes, unsigned pieces, struct gw_spool **ret, struct gw_error *err);
/* Takes NULL. Pieces that were put but not flushed may or may not be in the file. */
void gw_spool_free(struct gw_spool *s);
/* The buffer of the next piece, aligned to GW_SPOOL_ALIGN, contents undefined; the same until it is put. Waits for a
 * free one. */
uint8_t *gw_spool_room(struct gw_spool *s);
/* Writes `bytes` of the buffer from room at offset `at`; both are multiples of GW_SPOOL_ALIGN; at most piece_bytes. */
void gw_spool_put(struct gw_spool *s, uint64_t at, size_t bytes);
/* Overwrites a few bytes, of any alignment, after a flush; nothing is put afterwards. */
int gw_spool_patch(struct gw_spool *s, const void *src, size_t bytes, uint64_t at, struct gw_error *err);
/* Waits until all pieces are in the file. */
int gw_spool_flush(struct gw_spool *s, struct gw_error *err);

#endif
