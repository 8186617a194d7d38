/* SPDX-License-Identifier: MIT
 *
 * block_pull: threads read chunks of disks ahead; the owner takes them in the order of its requests.
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
    GW_BLOCK_NOTHING, /* top_only: the top layer holds no data in this chunk */
};

struct gw_block_ask {
    struct gw_disk *disk;
    uint64_t chunk;
    bool top_only; /* skip data that only backing layers hold */
    bool bulk;     /* for the caller's own use */
};

struct gw_block_pull;

/* find_zeros: the contents are compared with zeros; chunks of zeros are reported as such. */
int gw_block_pull_new(bool find_zeros, struct gw_block_pull **ret, struct gw_error *err);
/* Chunks requested and not released. At GW_BLOCK_AHEAD no more can be requested. */
unsigned gw_block_pull_count(const struct gw_block_pull *p);
/* Whether this chunk is among them. */
bool gw_block_pull_has(const struct gw_block_pull *p, const struct gw_disk *disk, uint64_t chunk);
/* The read includes all writes that ended before this call. */
void gw_block_pull_ask(struct gw_block_pull *p, const struct gw_block_ask *ask);
/* Waits for the oldest chunk. *ret_data: GW_BLOCK_CHUNK_BYTES, if it holds bytes; zeros after the end of the disk;
 * valid until release. An error names the disk and the offset. */
int gw_block_pull_take(struct gw_block_pull *p, struct gw_block_ask *ret, enum gw_block_holds *ret_holds,
                       const uint8_t **ret_data, struct gw_error *err);
/* Releases the oldest chunk, which was taken before. */
void gw_block_pull_release(struct gw_block_pull *p);
/* Waits for reads in progress. Takes NULL. */
void gw_block_pull_free(struct gw_block_pull *p);

#endif
