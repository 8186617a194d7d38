/* SPDX-License-Identifier: MIT
 *
 * direct store: places pages in the machine's memory.
 *
 * In blocks that were given as GW_RAM_FRESH a page that was never received reads as zeros, so a zero record for it costs
 * nothing and touches nothing.
 *
 * A page that was never received may be predicted, in any block: if it comes, its old contents are overwritten anyway,
 * and if the source never sends it, its contents do not matter. After a wrong prediction the page is zeros.
 *
 * Threads: add, reset and free by one thread while no other thread uses the store; all other functions by any number of
 * lanes, but no two of them with the same page at the same time.
 */
#ifndef GW_STORE_DIRECT_H
#define GW_STORE_DIRECT_H

#include "ram/page/ops.h"

#define GW_ROOM_BYTES (256u << 10)

/* Ensures that [offset, offset + bytes) of the block can be written to; the size is a multiple of GW_ROOM_BYTES, or
 * ends at the end of the block. Called by any lane, once for each range unless several lanes need it at the same
 * time. */
typedef int (*gw_room_fn)(void *opaque, const struct gw_ram_block *b, uint64_t offset, uint64_t bytes, struct gw_error *err);

/* For memory that is mapped from a file: on a full disk a write to it would kill the process. Call it before anything
 * is stored. `place` reports when there is no room. */
void gw_store_direct_set_room(struct gw_store *store, gw_room_fn room, void *opaque);

/* The map of target pages that have come, up to the maximum length. NULL: the block was not added. Valid until the next
 * reset. */
uint64_t *gw_store_direct_received(struct gw_store *store, const struct gw_ram_block *b);

int gw_store_direct_new(const struct gw_ram *ram, struct gw_store **ret, struct gw_error *err);

#endif
