/* SPDX-License-Identifier: MIT
 *
 * tracker: records which pieces of a disk were written since they were last taken.
 *
 * A piece has `granularity` bytes; the last one may be shorter. All are clean at first. A copier takes a piece (clears
 * its bit) and then reads it: a write that the read missed sets the bit again.
 *
 * Threads: any, on one tracker too. The disk outlives the tracker, and blocks (gw_disk_block) keep its length.
 */
#ifndef GW_DISK_TRACKER_H
#define GW_DISK_TRACKER_H

#include "disk/disk.h"

struct gw_disk_tracker;

/* granularity: a power of two from 512 up. Records all writes that end after it returns. -EINVAL, -EFBIG, -ENOMEM. */
int gw_disk_tracker_new(struct gw_disk *d, uint64_t granularity, struct gw_disk_tracker **ret, struct gw_error *err);
/* Takes NULL, returns NULL. */
struct gw_disk_tracker *gw_disk_tracker_free(struct gw_disk_tracker *t);

/* Marks all pieces that the range touches as dirty. */
void gw_disk_tracker_mark(struct gw_disk_tracker *t, uint64_t offset, uint64_t bytes);
/* Clears all pieces that the range touches, atomically; *ret_dirty: how many were dirty. -ENOMEM: some still are. */
int gw_disk_tracker_take(struct gw_disk_tracker *t, uint64_t offset, uint64_t bytes, uint64_t *ret_dirty,
                         struct gw_error *err);
/* Number of bytes in dirty pieces (the last piece counts as whole). */
uint64_t gw_disk_tracker_dirty_bytes(struct gw_disk_tracker *t);
/* Start of the first dirty piece at or after the piece of `from`. false: none. */
bool gw_disk_tracker_next(struct gw_disk_tracker *t, uint64_t from, uint64_t *ret_offset);

#endif
