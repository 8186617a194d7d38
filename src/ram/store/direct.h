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

int gw_store_direct_new(const struct gw_ram *ram, struct gw_store **ret, struct gw_error *err);

#endif
