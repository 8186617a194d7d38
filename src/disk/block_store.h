/* SPDX-License-Identifier: MIT
 *
 * block_store: threads write received chunks to their disks while the next ones arrive.
 *
 * Writes of one chunk happen in the order of the puts. The next call that can return an error reports it.
 * Memory: GW_BLOCK_BEHIND chunks.
 * Threads: one owner; threads of its own write.
 */
#ifndef GW_DISK_BLOCK_STORE_H
#define GW_DISK_BLOCK_STORE_H

#include "base/base.h"
#include "disk/disk.h"

#define GW_BLOCK_BEHIND 8u

struct gw_block_store;

int gw_block_store_new(struct gw_block_store **ret, struct gw_error *err);
/* *ret: where the caller puts the next chunk, GW_BLOCK_CHUNK_BYTES; waits for room. */
int gw_block_store_room(struct gw_block_store *s, uint8_t **ret, struct gw_error *err);
/* Writes the room's contents. bytes: the part that lies in the disk. Clusters of zeros become holes. */
void gw_block_store_put(struct gw_block_store *s, struct gw_disk *disk, uint64_t offset, uint64_t bytes);
int gw_block_store_zero(struct gw_block_store *s, struct gw_disk *disk, uint64_t offset, uint64_t bytes,
                        struct gw_error *err);
/* Starts to bring the data written so far to stable storage. */
int gw_block_store_flush(struct gw_block_store *s, struct gw_disk *disk, struct gw_error *err);
/* Waits until all writes have ended. */
int gw_block_store_settle(struct gw_block_store *s, struct gw_error *err);
/* Waits for writes in progress. Takes NULL. */
void gw_block_store_free(struct gw_block_store *s);

#endif
