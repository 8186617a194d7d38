/* SPDX-License-Identifier: MIT
 *
 * xbzrle_cache: the contents that the receiver has of some pages, so that they can be sent as differences. And the
 * counters of XBZRLE.
 *
 * The cache is direct-mapped: each page has one slot, its key modulo the number of slots. The key is the number of the
 * page when the pages of all blocks are counted through (first page of the block + page in the block); neighbours then
 * never compete. Any other unique number works too, with more collisions.
 *
 *     contents = gw_xbzrle_cache_find(cache, key);
 *     if (!contents)                                   a miss: send the whole page
 *         contents = gw_xbzrle_cache_put(cache, key);  not NULL: copy the page into it and send this copy;
 *                                                      NULL: send the page from where it is, it is not cached
 *     else                                             a hit: copy the page aside, encode the copy against contents,
 *                                                      send the delta, and change contents to the copy
 *
 * Invariant: the contents of a page in the cache are byte for byte what was last sent of it. So:
 * - Call gw_xbzrle_cache_zero for a page that is sent as zeros.
 * - A delta that is too long: copy the page into contents, send contents. Equal pages: send nothing, change nothing.
 * - In the last stage (the machine is stopped) pages are found, but nothing is put or changed; the cache is then out of
 *   date. If the migration goes on after all, clear it. A checkpoint is no last stage.
 * - When a migration begins, or the set of blocks changes: clear.
 *
 * Ageing: a page that was put or found less than GW_XBZRLE_CACHE_SYNCS syncs ago keeps its slot; put then refuses the
 * other page. So the slot of a page that was sent since the last sync does not get other contents before the next sync:
 * a layout may refer to it until then, if the same page is not sent again.
 *
 * Memory:  the slots are reserved address space that becomes resident slot by slot as pages are put. 16 bytes of index
 *          for each slot are reserved in the same way. Zero pages take no memory.
 * Threads: one owner (the lane). gw_xbzrle_cache_resize, gw_xbzrle_cache_bytes and gw_xbzrle_counters_get may be called
 *          from any thread; a resize is carried out when the owner calls gw_xbzrle_cache_adopt.
 */
#ifndef GW_XBZRLE_CACHE_H
#define GW_XBZRLE_CACHE_H

#include "base/base.h"

#define GW_XBZRLE_CACHE_SYNCS 2

struct gw_xbzrle_cache;

/* The number of slots is the largest power of two that fits into `bytes`. page_bytes: a power of two, at least 1024.
 * -EINVAL, blame CALLER: less than one page; -ERANGE, blame CALLER: more than the address space; -ENOMEM. */
int gw_xbzrle_cache_new(uint64_t bytes, uint32_t page_bytes, struct gw_xbzrle_cache **ret_cache, struct gw_error *err);
struct gw_xbzrle_cache *gw_xbzrle_cache_free(struct gw_xbzrle_cache *c);

/* The contents of a cached page, page_bytes that the owner may change; NULL: not cached. */
uint8_t *gw_xbzrle_cache_find(struct gw_xbzrle_cache *c, uint64_t key);
/* For a page that was not found: its slot, to be filled with page_bytes at once. The page that was in it is forgotten.
 * NULL: that page is too young. */
uint8_t *gw_xbzrle_cache_put(struct gw_xbzrle_cache *c, uint64_t key);
/* The page was sent as zeros: it is cached as such, unless its slot has another page that is too young. */
void gw_xbzrle_cache_zero(struct gw_xbzrle_cache *c, uint64_t key);
/* This page will soon be looked for: prefetches its index entry and the beginning of its slot. */
void gw_xbzrle_cache_prefetch(const struct gw_xbzrle_cache *c, uint64_t key);
/* The dirty bitmap was synchronised: all pages are one sync older. */
void gw_xbzrle_cache_sync(struct gw_xbzrle_cache *c);
/* Forgets all pages and gives their memory back. The size stays, and so does a resize that is not adopted yet. */
void gw_xbzrle_cache_clear(struct gw_xbzrle_cache *c);

/* Any thread: requests another size; rules and errors as gw_xbzrle_cache_new. The memory is reserved here, so the
 * caller gets a failure, and the cache then stays as it is. The last of several requests counts. If the number of slots
 * is the same, nothing happens. */
int gw_xbzrle_cache_resize(struct gw_xbzrle_cache *c, uint64_t bytes, struct gw_error *err);
/* The owner, when nothing refers to contents: carries out the requested resize. Pages that still have a slot are kept;
 * if two compete for one slot, the one that was used last stays. Cannot fail. Returns whether the size changed. */
bool gw_xbzrle_cache_adopt(struct gw_xbzrle_cache *c);
/* Any thread: slots * page_bytes, as adopted last. */
uint64_t gw_xbzrle_cache_bytes(const struct gw_xbzrle_cache *c);

/* ---- counters ---- */

/* The result for a page that was looked for in the cache. */
enum gw_xbzrle_outcome {
    GW_XBZRLE_MISSED,    /* not cached, even if it is now: cache_miss */
    GW_XBZRLE_UNCHANGED, /* nothing was sent: pages */
    GW_XBZRLE_CODED,     /* a delta was sent: pages; bytes: the record behind its head of 8 bytes */
    GW_XBZRLE_OVERFLOWED /* found, but sent whole: pages, overflow; bytes: a whole page */
};

/* Initialise with zeros. Written by the owner only; other threads read a copy. */
struct gw_xbzrle_counters {
    uint64_t bytes, pages, cache_miss, overflow;
    double cache_miss_rate; /* of the last period: misses / pages of all kinds that were sent; 0 if none were */
    double encoding_rate;   /* of the last period: bytes of the pages that were found / bytes; 0 if there were none */
    uint64_t period_bytes, period_pages, period_cache_miss; /* the counters when the period began */
};

/* record_bytes: for GW_XBZRLE_CODED the bytes of the record behind the 8-byte head: the name of the block if it is
 * there, 3 bytes, the delta. page_bytes for GW_XBZRLE_OVERFLOWED; else ignored. */
void gw_xbzrle_counters_add(struct gw_xbzrle_counters *c, enum gw_xbzrle_outcome outcome, uint32_t record_bytes);
/* The owner, at the end of an accounting period (a sync after more than a second): computes both rates.
 * handled_pages: pages of all kinds that were sent in the period. */
void gw_xbzrle_counters_period(struct gw_xbzrle_counters *c, uint64_t handled_pages, uint32_t page_bytes);
/* Any thread. Each field is consistent; different fields may differ by one page. */
void gw_xbzrle_counters_get(const struct gw_xbzrle_counters *c, struct gw_xbzrle_counters *ret_copy);

#endif
