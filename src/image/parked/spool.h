/* SPDX-License-Identifier: MIT
 *
 * spool: pieces of a file on their way to the disk while others are being made, past the page cache.
 *
 *     fill gw_spool_room(s); gw_spool_put(s, at, bytes)      any number of times, anywhere in the file
 *     gw_spool_flush(s)
 *
 * What has been put is not in the way of a later fsync: with O_DIRECT where the file system has it, else by telling the
 * kernel to write at once. After flush everything is in the file; that it is on the disk takes an fsync.
 *
 * Pieces that overlap are written in the order in which they were put, others in any.
 *
 * Memory: the pieces.
 * Threads: one owner; those that write are the object's own.
 * Errors:  the first one is kept: from then on nothing is written, room is NULL, and flush returns it, blame LOCAL.
 */
#ifndef GW_IMAGE_SPOOL_H
#define GW_IMAGE_SPOOL_H

#include "image/bytes.h"

#define GW_SPOOL_ALIGN 4096u /* what offsets and sizes are multiples of */

struct gw_spool;

/* fd: a regular file, open for writing; borrowed. It is O_DIRECT from now on where that works. */
int gw_spool_new(int fd, size_t piece_bytes, unsigned pieces, struct gw_spool **ret, struct gw_error *err);
/* The same to bytes that can be written (bytes.h); flush is not theirs: everything has been written then. */
int gw_spool_new_far(struct gw_bytes *to, size_t piece_bytes, unsigned pieces, struct gw_spool **ret, struct gw_error *err);
/* Takes NULL. What was put and not flushed may or may not be in the file. */
void gw_spool_free(struct gw_spool *s);
/* A piece to be filled, at a multiple of GW_SPOOL_ALIGN, with anything in it; the same until it is put. Waits until one
 * is free. */
uint8_t *gw_spool_room(struct gw_spool *s);
/* at, bytes: multiples of GW_SPOOL_ALIGN; bytes of the piece that room gave, at most piece_bytes. */
void gw_spool_put(struct gw_spool *s, uint64_t at, size_t bytes);
/* Waits until all is in the file. */
int gw_spool_flush(struct gw_spool *s, struct gw_error *err);

#endif
