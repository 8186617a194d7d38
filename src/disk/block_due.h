/* SPDX-License-Identifier: MIT
 *
 * block_due: which chunks of which disks are to be sent next: each once, one disk after the other, then those that were
 * written to.
 *
 * Threads: one owner.
 */
#ifndef GW_DISK_BLOCK_DUE_H
#define GW_DISK_BLOCK_DUE_H

#include "disk/tracker.h"

struct gw_block_disk {
    struct gw_disk *disk;
    struct gw_disk_tracker *tracker;
    uint64_t chunks;
    uint64_t bulk;   /* chunks in front of it were taken once */
    uint64_t *again; /* a bit for each of these that is due again */
    uint64_t again_count;
    bool blocked;
};

struct gw_block_due {
    struct gw_block_disk *disks;
    unsigned count;
    unsigned at;       /* what is due next: the disk, and where to look in `again` */
    uint64_t at_chunk;
    uint64_t left;     /* chunks due, of all disks */
};

/* Blocks the disks that can be written and begins to hear of writes. Empty disks are passed over. On failure everything
 * is released. */
int gw_block_due_open(struct gw_block_due *due, struct gw_disk *const *disks, unsigned count, struct gw_error *err);
/* Also twice, and of zeros. */
void gw_block_due_close(struct gw_block_due *due);
uint64_t gw_block_due_bytes(const struct gw_block_due *due);
/* Chunks that are due. */
static inline uint64_t gw_block_due_count(const struct gw_block_due *due)
{
    return due->left;
}
/* What was written since the last look is due. *ret_fresh: so many chunks became so. */
int gw_block_due_look(struct gw_block_due *due, uint64_t *ret_fresh, struct gw_error *err);
/* What is due next; false: nothing is. */
bool gw_block_due_find(struct gw_block_due *due, struct gw_disk **ret_disk, uint64_t *ret_chunk, bool *ret_bulk);
/* What find has found is not due any more: it is read next. What was written so far is in what will be read. */
int gw_block_due_take(struct gw_block_due *due, struct gw_error *err);

#endif
