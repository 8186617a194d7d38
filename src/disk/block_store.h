/* SPDX-License-Identifier: MIT
 *
 * block_store: chunks that came are written to their disks by threads, while the next ones are received.
 *
 * Of one chunk, what is put later is written later. An error is told by the next call that returns one.
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
/* Where the contents of the next chunk go, GW_BLOCK_CHUNK_BYTES; waits for room. */
int gw_block_store_room(struct gw_block_store *s, uint8_t **ret, struct gw_error *err);
/* What was put into the room; bytes: what of it lies in the disk. Clusters of zeros become holes. */
void gw_block_store_put(struct gw_block_store *s, struct gw_disk *disk, uint64_t offset, uint64_t bytes);
int gw_block_store_zero(struct gw_block_store *s, struct gw_disk *disk, uint64_t offset, uint64_t bytes,
                        struct gw_error *err);
/* Begins to bring what was written so far to stable storage. */
int gw_block_store_flush(struct gw_block_store *s, struct gw_disk *disk, struct gw_error *err);
/* Waits until all is done. */
int gw_block_store_settle(struct gw_block_store *s, struct gw_error *err);
/* Waits for what is being written. Takes NULL. */
void gw_block_store_free(struct gw_block_store *s);

#endif
