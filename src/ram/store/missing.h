/* SPDX-License-Identifier: MIT
 *
 * missing: memory of a RAM block whose missing pages a userfaultfd answers; the kernel's calls for it.
 *
 * Threads: any for what places and wakes; all else by one, while nobody else uses the same area.
 */
#ifndef GW_STORE_MISSING_H
#define GW_STORE_MISSING_H

#include "ram/page/block.h"

struct gw_missing {
    const struct gw_ram_block *block;
    int uffd;        /* borrowed */
    uint8_t *host;
    uint64_t bytes;  /* the used length, up to the end of its last page: that is what is watched */
    uint64_t step;   /* what the kernel places at once: a huge TLB page, or a page of the system */
    bool zeropage;   /* it can place zeros without a copy */
    bool shared;     /* with other mappings */
    const uint8_t *zeros; /* `step` bytes, borrowed; NULL where zeropage is */
};

/* Watches the block. -ENOTSUP, -EBUSY, -EPERM, -EINVAL: what is wrong with its memory; names it and says what to do. zeros: at
 * least as long as the page of any block. */
int gw_missing_begin(struct gw_missing *a, int uffd, const struct gw_ram_block *b, const uint8_t *zeros, struct gw_error *err);
/* Plain memory again; all who wait go on. Zeros are not watched. */
void gw_missing_end(struct gw_missing *a);

/* Gives the contents of a range back to the host, in whole pages. It need not be watched. */
int gw_missing_discard(const struct gw_ram_block *b, bool shared, uint64_t offset, uint64_t bytes, struct gw_error *err);
/* Whether the block's memory is shared with other mappings. */
int gw_missing_shared(const struct gw_ram_block *b, bool *ret, struct gw_error *err);

/* Whole pages; who waits for them goes on. -EEXIST: something was there, the rest may not have been placed. */
int gw_missing_copy(const struct gw_missing *a, uint64_t offset, const uint8_t *from, uint64_t bytes, struct gw_error *err);
int gw_missing_zero(const struct gw_missing *a, uint64_t offset, uint64_t bytes, struct gw_error *err);
/* Zeros where nothing is; what is there stays. Who waits goes on. */
int gw_missing_fill(const struct gw_missing *a, uint64_t offset, uint64_t bytes, struct gw_error *err);

#endif
