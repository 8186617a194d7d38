/* SPDX-License-Identifier: MIT
 *
 * block_due: which chunks of which disks are to be sent next: each chunk once, one disk after the other, then those
 * that were written meanwhile.
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
    uint64_t bulk;   /* the bulk phase has taken the chunks below this number */
    uint64_t *again; /* a bit for each of those chunks that is due again */
    uint64_t again_count;
    bool blocked;
};

struct gw_block_due {
    struct gw_block_disk *disks;
    unsigned count;
    unsigned at;       /* where the search continues: the disk, and the chunk in `again` */
    uint64_t at_chunk;
    uint64_t left;     /* chunks due, of all disks */
};

/* Blocks the writable disks and starts to track writes. Empty disks are skipped. On failure everything is released. */
int gw_block_due_open(struct gw_block_due *due, struct gw_disk *const *disks, unsigned count, struct gw_error *err);
/* May be called twice, and for a struct of zeros. */
void gw_block_due_close(struct gw_block_due *due);
uint64_t gw_block_due_bytes(const struct gw_block_due *due);
/* The number of chunks that are due. */
static inline uint64_t gw_block_due_count(const struct gw_block_due *due)
{
    return due->left;
}
/* Chunks written since the last look become due. *ret_fresh: how many became due by this call. */
int gw_block_due_look(struct gw_block_due *due, uint64_t *ret_fresh, struct gw_error *err);
/* The next chunk that is due; false: none is. */
bool gw_block_due_find(struct gw_block_due *due, struct gw_disk **ret_disk, uint64_t *ret_chunk, bool *ret_bulk);
/* The chunk that find returned is no longer due; the caller reads it next. That read includes all writes so far. */
int gw_block_due_take(struct gw_block_due *due, struct gw_error *err);

#endif
