/* SPDX-License-Identifier: MIT
 *
 * tracker: which pieces of a disk were written since somebody looked last.
 *
 * A piece has `granularity` bytes; the last one may be shorter. All are clean at first. Whoever copies a disk takes a
 * piece (its bit is cleared) and then reads it: a write that the read missed sets the bit again.
 *
 * Threads: any, on one tracker too. The disk outlives the tracker, and blocks (gw_disk_block) keep its length.
 */
#ifndef GW_DISK_TRACKER_H
#define GW_DISK_TRACKER_H

#include "disk/disk.h"

struct gw_disk_tracker;

/* granularity: a power of two from 512 up. Hears of all writes that end after it returns. -EINVAL, -EFBIG, -ENOMEM. */
int gw_disk_tracker_new(struct gw_disk *d, uint64_t granularity, struct gw_disk_tracker **ret, struct gw_error *err);
/* Takes NULL, returns NULL. */
struct gw_disk_tracker *gw_disk_tracker_free(struct gw_disk_tracker *t);

/* All pieces that the range touches are dirty. */
void gw_disk_tracker_mark(struct gw_disk_tracker *t, uint64_t offset, uint64_t bytes);
/* Clears all pieces that the range touches, atomically; *ret_dirty: how many were dirty. -ENOMEM: some still are. */
int gw_disk_tracker_take(struct gw_disk_tracker *t, uint64_t offset, uint64_t bytes, uint64_t *ret_dirty,
                         struct gw_error *err);
/* How many bytes lie in dirty pieces (the last piece counts as whole). */
uint64_t gw_disk_tracker_dirty_bytes(struct gw_disk_tracker *t);
/* Where the first dirty piece at or behind the piece of `from` begins. false: there is none. */
bool gw_disk_tracker_next(struct gw_disk_tracker *t, uint64_t from, uint64_t *ret_offset);

#endif
