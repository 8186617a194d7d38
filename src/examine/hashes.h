/* SPDX-License-Identifier: MIT
 *
 * hashes: a set of hashes of page contents that records which were added more than once.
 *
 * Memory: 8 bytes for each of at least 4096 slots, at most three quarters of which are in use.
 */
#ifndef GW_EXAMINE_HASHES_H
#define GW_EXAMINE_HASHES_H

#include "base/base.h"

struct gw_hashes {
    uint64_t *slot; /* open addressing; 0: free */
    uint64_t cap, used;
};

/* The two low bits of a hash are not compared; it is not 0. -ENOMEM: it was not added. */
int gw_hashes_add(struct gw_hashes *h, uint64_t hash);
/* Whether it was added twice or more. */
bool gw_hashes_is_repeated(const struct gw_hashes *h, uint64_t hash);
void gw_hashes_close(struct gw_hashes *h);

#endif
