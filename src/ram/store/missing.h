/* SPDX-License-Identifier: MIT
 *
 * missing: the kernel calls for a RAM block whose missing pages are handled by a userfaultfd.
 *
 * Threads: any for functions that place and wake; the others by one thread, while no other uses the same area.
 */
#ifndef GW_STORE_MISSING_H
#define GW_STORE_MISSING_H

#include "ram/page/block.h"

struct gw_missing {
    const struct gw_ram_block *block;
    int uffd;        /* borrowed */
    uint8_t *host;
    uint64_t bytes;  /* the used length, rounded up to whole pages: this range is watched */
    uint64_t step;   /* size that the kernel places at once: a huge TLB page, or a system page */
    bool zeropage;   /* the kernel can place zeros without a copy */
    bool shared;     /* shared with other mappings */
    const uint8_t *zeros; /* `step` bytes, borrowed; NULL if zeropage is set */
};

/* Watches the block. -ENOTSUP, -EBUSY, -EPERM, -EINVAL: its memory cannot be watched; the error names the block and
 * says what to do. zeros: at least as long as the page of any block. */
int gw_missing_begin(struct gw_missing *a, int uffd, const struct gw_ram_block *b, const uint8_t *zeros, struct gw_error *err);
/* Plain memory again; waiting threads continue. Does nothing for an area of zeros. */
void gw_missing_end(struct gw_missing *a);

/* Gives the memory of a range back to the host, in whole pages. The range need not be watched. */
int gw_missing_discard(const struct gw_ram_block *b, bool shared, uint64_t offset, uint64_t bytes, struct gw_error *err);
/* Whether the block's memory is shared with other mappings. */
int gw_missing_shared(const struct gw_ram_block *b, bool *ret, struct gw_error *err);

/* Places whole pages; threads that wait for them continue. -EEXIST: some page was present, the rest may not have been
 * placed. */
int gw_missing_copy(const struct gw_missing *a, uint64_t offset, const uint8_t *from, uint64_t bytes, struct gw_error *err);
int gw_missing_zero(const struct gw_missing *a, uint64_t offset, uint64_t bytes, struct gw_error *err);
/* Places zeros where nothing is present; present pages stay. Waiting threads continue. */
int gw_missing_fill(const struct gw_missing *a, uint64_t offset, uint64_t bytes, struct gw_error *err);

#endif
