/* SPDX-License-Identifier: MIT
 *
 * dedup: finds an earlier page with the same contents.
 *
 * Contents are compared by a keyed digest: with random numbers a[i], b[i] < p = 2^61 - 1 drawn for each object, and
 * m[i] the 32-bit words of a page,
 *
 *     h = (a[0] + sum a[i+1] m[i]) mod p, (b[0] + sum b[i+1] m[i]) mod p
 *
 * of which the low 48 bits of each are kept. Two different pages have the same digest with probability 2^-96, whatever
 * is in them: for their digests to be equal the sum of a[i+1] d[i], where some difference d[i] is not 0, must hit one
 * of few values mod a prime. The numbers stay inside the object, so a guest cannot construct two pages that collide.
 * With 2^28 pages (1 TiB) there are 2^55 pairs: the probability that any page is taken for another is 2^-41.
 *
 * Memory: 16 bytes for each entry, at most 7/8 full, doubled when that is reached (both tables exist while doubling);
 * from GW_DEDUP_MAX entries on no new digests are added.
 * Threads: one owner.
 */
#ifndef GW_IMAGE_DEDUP_H
#define GW_IMAGE_DEDUP_H

#include "base/base.h"

#define GW_DEDUP_MAX (1u << 26) /* entries: 1 GiB */

struct gw_dedup;

struct gw_digest {
    uint64_t a, b; /* 48 bits each */
};

/* page_bytes: a multiple of 4. */
int gw_dedup_new(size_t page_bytes, struct gw_dedup **ret, struct gw_error *err);
void gw_dedup_free(struct gw_dedup *d);
struct gw_digest gw_dedup_digest(const struct gw_dedup *d, const void *page);
/* Returns the number stored with this digest; if there is none, stores and returns `number`, which is not UINT32_MAX.
 * -ENOMEM. */
int gw_dedup_find(struct gw_dedup *d, struct gw_digest digest, uint32_t number, uint32_t *ret_number,
                  struct gw_error *err);

#endif
