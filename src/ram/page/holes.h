/* SPDX-License-Identifier: MIT
 *
 * holes: pages that are zeros because nobody ever touched them.
 *
 * To look for zeros in memory that was never touched costs a page fault, a page table and 4 KiB of reading for each
 * page, and where writes are tracked it makes the page look new to the next sync. The kernel's page tables say the same
 * for next to nothing. It holds for private anonymous memory only: elsewhere an empty entry says nothing of what is
 * behind.
 *
 * The answer is of the moment of the call, as if the page had been read then. In a source that is after its chunk was
 * cleaned, so what is written later is found by a later sync.
 *
 * Threads: find may run on any number of threads at once.
 */
#ifndef GW_HOLES_H
#define GW_HOLES_H

#include "ram/page/block.h"

struct gw_holes;

/* Looks at all blocks of the ram, which stay as they are mapped until free. Where the kernel cannot tell (before Linux
 * 6.7, no /proc), it succeeds and finds nothing. */
int gw_holes_new(const struct gw_ram *ram, struct gw_holes **ret, struct gw_error *err);
struct gw_holes *gw_holes_free(struct gw_holes *h);

/* Sets bit i of map for each page first + i of the block that is a hole, and clears the others. Returns how many are;
 * 0, with a map of zeros, where nothing is known. h may be NULL. */
uint64_t gw_holes_find(const struct gw_holes *h, const struct gw_ram_block *b, uint64_t first, uint64_t pages,
                       uint64_t *map);

#endif
