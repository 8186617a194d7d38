/* SPDX-License-Identifier: MIT
 *
 * zero: finds pages that are all zeros.
 *
 * The fastest variant for this machine is picked at run time, once for each object that scans:
 *
 *     const struct gw_zero *zero = gw_zero_pick();
 *
 * A page with data is recognised by a few words spread over it, mostly by the first; only if these are zero the whole
 * page is read.
 *
 * Memory:  the guest may write meanwhile. The answer is then valid for some moment in between; the dirty tracking
 * ensures that the page is examined again.
 * Threads: any; everything is constant.
 */
#ifndef GW_ZERO_H
#define GW_ZERO_H

#include "base/bitmap.h"

struct gw_zero {
    const char *name; /* "avx512", "avx2", "sse2", "neon", "portable" */
    /* Whether all bytes are 0. Any address, any length (0: true). */
    bool (*all)(const void *p, size_t bytes);
    /* The same for whole pages: a multiple of 256 bytes at a multiple of 64. */
    bool (*page)(const void *p, size_t bytes);
};

const struct gw_zero *gw_zero_pick(void);
/* All variants that this machine can run, for tests and benches: i from 0, the best first; NULL at the end. */
const struct gw_zero *gw_zero_variant(unsigned i);

/* bytes: a multiple of 1024, p a multiple of 64. */
static inline bool gw_zero_page(const struct gw_zero *zero, const void *p, size_t bytes)
{
    const uint64_t *w = p;
    size_t n = bytes / 8;

    /* The first word alone: it may have been prefetched, and for most pages it is enough. */
    if (w[0] || (w[n / 2] | w[n - 1] | w[n / 4]))
        return false;
    return zero->page(p, bytes);
}

/* The offset of the first byte that is not 0, or `bytes`. */
size_t gw_zero_first(const struct gw_zero *zero, const void *p, size_t bytes);

/* Sets bit first + i of map for each zero page i of the `pages` at p, clears it for each other. Returns how many are
 * zero. */
uint64_t gw_zero_classify(const struct gw_zero *zero, const void *p, size_t page_bytes, uint64_t pages, uint64_t *map,
                          uint64_t first);

#endif
