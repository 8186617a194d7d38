/* SPDX-License-Identifier: MIT
 *
 * watch: a RAM block that a userfaultfd (ram/page/uffd.h) may write-protect.
 *
 * Threads: any; a block is watched by one userfaultfd at a time.
 */
#ifndef GW_SOURCE_WATCH_H
#define GW_SOURCE_WATCH_H

#include "ram/page/block.h"

struct gw_watch {
    uintptr_t start, end; /* whole host pages up to the used length */
    uintptr_t limit;      /* watched up to here: the maximum length, as far as memory is mapped */
};

/* Errors name the block. */
int gw_watch_begin(int uffd, const struct gw_ram_block *b, struct gw_watch *ret, struct gw_error *err);
/* on: write-protects; else removes the protection, and waiting threads continue. Whole host pages. */
int gw_watch_protect(int uffd, uintptr_t start, uintptr_t end, bool on, struct gw_error *err);
/* Reads one byte of each host page, so that untouched memory is present and every kernel can protect it. */
int gw_watch_populate(uintptr_t start, uintptr_t end, const struct gw_ram_block *b, struct gw_error *err);
/* Removes all protection. Does nothing for a watch of zeros. */
void gw_watch_end(int uffd, struct gw_watch *w);
/* Whether all blocks to which the guest writes can be watched: watches each for a moment. -ENOTSUP, -EPERM: not on this
 * host; another error names the block. */
int gw_watch_probe(const struct gw_ram *ram, struct gw_error *err);

#endif
