/* SPDX-License-Identifier: MIT
 *
 * xbzrle codec: a page as the difference from the contents that the receiver already has.
 *
 * Encode. After the first pass the contents of the pages that are sent are cached (xbzrle_cache.h). A page whose
 * previous contents are cached and whose delta is smaller than the page is claimed as GW_FORM_XBZRLE; a page that did
 * not change since it was sent is claimed as GW_FORM_SAME: nothing is written for it. All others are left for the next
 * codec; if the page is now cached, its body is the cached copy.
 *
 * Invariants
 *   1. What is cached of a page is byte for byte what was last sent of it: the page is copied first, because the guest
 *      may write it meanwhile, and the copy is encoded, cached and sent.
 *   2. A page that is sent as zeros is zeros in the cache, if it is there at all. So the zero codec comes before this
 * one.
 *   3. When the machine is stopped (GW_BARRIER_SWITCH), the cache is read, but not changed any more.
 *
 * Decode. Applies the delta to the page's present contents; keeps nothing.
 *
 * Memory:  as xbzrle_cache.h, and two pages.
 * Threads: one owner, one lane: a given page must always travel by it. gw_xbzrle_resize and progress on any thread.
 * Hostile: xbzrle_delta.h.
 * Format:  docs/formats/xbzrle.md
 */
#ifndef GW_CODEC_XBZRLE_H
#define GW_CODEC_XBZRLE_H

#include "godwit/clock.h"
#include "ram/page/ops.h"

/* The sending half. ram: stays until free. cache_bytes and errors: as gw_xbzrle_cache_new. */
int gw_codec_xbzrle_new(const struct gw_ram *ram, uint64_t cache_bytes, const struct gw_clock *clock,
                        struct gw_codec **ret, struct gw_error *err);
/* Changes the size of the cache from the next pass on; cached pages stay if there is room. On failure the old size
 * stays. Any thread. */
int gw_xbzrle_resize(struct gw_codec *codec, uint64_t cache_bytes, struct gw_error *err);

/* The receiving half. */
int gw_codec_xbzrle_decoder_new(const struct gw_ram *ram, struct gw_codec **ret, struct gw_error *err);

#endif
