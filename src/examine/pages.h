/* SPDX-License-Identifier: MIT
 *
 * pages: a census of page contents: how many are zeros, how many were seen before, how dense they are.
 *
 * Contents are compared by a 64-bit hash, which is sufficient only for counting. Memory: 8 to 16 bytes per distinct
 * page, up to GW_PAGES_MAX; after that new contents are not added (`full`).
 */
#ifndef GW_IMAGE_PAGES_H
#define GW_IMAGE_PAGES_H

#include "base/base.h"

#define GW_PAGES_MAX (1ull << 27)

struct gw_pages {
    uint64_t *set; /* open addressing; 0: free */
    uint64_t cap, distinct;
    bool full;
    uint64_t pages, zero, duplicate;
    uint64_t sampled, histogram[256]; /* counts of the bytes of one distinct page in 16 */
};

/* 0: the page is zeros. bytes is a multiple of 32. */
uint64_t gw_page_hash(const uint8_t *page, size_t bytes);
/* Out of memory sets `full`; nothing else is lost. */
void gw_pages_add(struct gw_pages *p, const uint8_t *page, size_t bytes);
/* Bits per byte, 0 to 8, over the sample; 0 when there is none. */
double gw_pages_entropy(const struct gw_pages *p);
void gw_pages_close(struct gw_pages *p);

#endif
