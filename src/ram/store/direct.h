/* SPDX-License-Identifier: MIT
 *
 * direct store: pages land in the machine's memory.
 *
 * In blocks that were given as GW_RAM_FRESH a page that was never received reads as zeros, so a zero record for it costs
 * nothing and touches nothing.
 *
 * A page that was never received may be guessed at, in any block: if it comes, what was there is gone anyway, and a source
 * that never sends it says that its contents do not matter; after a wrong guess it is zeros.
 */
#ifndef GW_STORE_DIRECT_H
#define GW_STORE_DIRECT_H

#include "ram/page/ops.h"

struct gw_zero;

struct gw_store_direct {
    struct gw_store store;
    uint32_t page_bytes;
    unsigned page_bits;
    uint64_t os_page_bytes;
    uint64_t populated; /* pages that were made present ahead of the data */
    const struct gw_ram_block *present; /* pages of it before present_end need not be made present again */
    uint64_t present_end;
    const struct gw_zero *detect;
};

void gw_store_direct_init(struct gw_store_direct *s, const struct gw_ram *ram);

#endif
