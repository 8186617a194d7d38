/* SPDX-License-Identifier: MIT
 *
 * holes: pages that are zeros because they were never touched.
 *
 * Reading memory that was never touched costs a page fault, a page table and 4 KiB of reading for each page, and with
 * dirty tracking the page looks newly written to the next sync. The kernel's page tables give the same answer at almost
 * no cost. This works only for private anonymous memory: for other memory an empty entry says nothing about the
 * contents.
 *
 * The answer is valid at the time of the call, as if the page had been read then. A source calls this after it has
 * cleaned the chunk, so later writes are found by a later sync.
 *
 * Threads: find may run on any number of threads at once.
 */
#ifndef GW_HOLES_H
#define GW_HOLES_H

#include "ram/page/block.h"

struct gw_holes;

/* Examines all blocks of the ram; their mappings must not change until free. If the kernel cannot tell (before Linux
 * 6.7, no /proc), it succeeds and finds nothing. */
int gw_holes_new(const struct gw_ram *ram, struct gw_holes **ret, struct gw_error *err);
struct gw_holes *gw_holes_free(struct gw_holes *h);

/* Sets bit i of map for each page first + i of the block that is a hole, and clears the others. Returns the number of
 * holes; 0, and a map of zeros, if nothing is known. h may be NULL. */
uint64_t gw_holes_find(const struct gw_holes *h, const struct gw_ram_block *b, uint64_t first, uint64_t pages,
                       uint64_t *map);

#endif
