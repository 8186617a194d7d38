/* SPDX-License-Identifier: MIT
 *
 * direct store: pages land in the machine's memory.
 *
 * In blocks that were given as GW_RAM_FRESH a page that was never received reads as zeros, so a zero record for it costs
 * nothing and touches nothing.
 *
 * A page that was never received may be guessed at, in any block: if it comes, what was there is gone anyway, and a source
 * that never sends it says that its contents do not matter; after a wrong guess it is zeros.
 *
 * Threads: add, reset and free by one thread while no other is in; all else by any number of lanes, as long as no two of
 * them have the same page at a time.
 */
#ifndef GW_STORE_DIRECT_H
#define GW_STORE_DIRECT_H

#include "ram/page/ops.h"

#define GW_ROOM_BYTES (256u << 10)

/* Sees to it that [offset, offset + bytes) of the block can be written to; a multiple of GW_ROOM_BYTES, or up to the end.
 * Called by any lane, once for each range unless several lanes meet. */
typedef int (*gw_room_fn)(void *opaque, const struct gw_ram_block *b, uint64_t offset, uint64_t bytes, struct gw_error *err);

/* For memory that is a file: on a full disk a write to it would end the process. Before anything is stored. What there is
 * no room for is told by `place`. */
void gw_store_direct_set_room(struct gw_store *store, gw_room_fn room, void *opaque);

/* A bit for each target page up to the maximum length that has come. NULL: the block was not added. Until the next reset. */
uint64_t *gw_store_direct_received(struct gw_store *store, const struct gw_ram_block *b);

int gw_store_direct_new(const struct gw_ram *ram, struct gw_store **ret, struct gw_error *err);

#endif
