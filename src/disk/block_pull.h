/* SPDX-License-Identifier: MIT
 *
 * block_pull: chunks of disks are read ahead by threads, and taken in the order in which they were asked for.
 *
 * Memory: GW_BLOCK_AHEAD chunks, whatever the number of disks and their sizes.
 * Threads: one owner; threads of its own read.
 */
#ifndef GW_DISK_BLOCK_PULL_H
#define GW_DISK_BLOCK_PULL_H

#include "base/base.h"
#include "disk/disk.h"

#define GW_BLOCK_AHEAD 16u

enum gw_block_holds {
    GW_BLOCK_BYTES,
    GW_BLOCK_ZEROS,
    GW_BLOCK_NOTHING, /* top_only: the top layer has nothing of it */
};

struct gw_block_ask {
    struct gw_disk *disk;
    uint64_t chunk;
    bool top_only; /* what only layers below have is not wanted */
    bool bulk;     /* for who asks */
};

struct gw_block_pull;

/* find_zeros: chunks are looked at, and those that hold only zeros are told so. */
int gw_block_pull_new(bool find_zeros, struct gw_block_pull **ret, struct gw_error *err);
/* How many were asked for and not released. At GW_BLOCK_AHEAD no more can be asked for. */
unsigned gw_block_pull_count(const struct gw_block_pull *p);
/* This chunk is among them. */
bool gw_block_pull_has(const struct gw_block_pull *p, const struct gw_disk *disk, uint64_t chunk);
/* What the guest wrote before is in what is read. */
void gw_block_pull_ask(struct gw_block_pull *p, const struct gw_block_ask *ask);
/* Waits for the oldest. *ret_data: GW_BLOCK_CHUNK_BYTES, where it holds bytes; zeros behind the end of the disk. Until
 * release. An error names the disk and the offset. */
int gw_block_pull_take(struct gw_block_pull *p, struct gw_block_ask *ret, enum gw_block_holds *ret_holds,
                       const uint8_t **ret_data, struct gw_error *err);
/* The oldest, which was taken. */
void gw_block_pull_release(struct gw_block_pull *p);
/* Waits for what is being read. Takes NULL. */
void gw_block_pull_free(struct gw_block_pull *p);

#endif
