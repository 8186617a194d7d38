/* SPDX-License-Identifier: MIT
 *
 * xbzrle_delta: a page as the difference from its previous contents.
 *
 * A delta is a list of pairs: a number of bytes that stay as they are, then a number of bytes that changed, followed by
 * their new values (not by the exclusive or). Each number is one or two bytes of seven bits each, the low ones first.
 * The last pair ends at the last changed byte. docs/formats/xbzrle.md has an example.
 *
 * encode and decode exist once for each instruction set, picked at run time:
 *
 *     const struct gw_xbzrle *xbzrle = gw_xbzrle_pick();
 *     int n = xbzrle->encode(cached, copy, page_bytes, out, limit);
 *
 * All variants give the same bytes for the same pages.
 *
 * Memory:  encode reads both pages more than once, so neither may change meanwhile. The guest writes to its memory at
 *          any time: copy the page first, encode the copy, and keep exactly this copy as the new cached contents.
 * Threads: no state; any number at once.
 * Hostile: decode trusts nothing. It writes only inside the page.
 * Format:  docs/formats/xbzrle.md
 */
#ifndef GW_XBZRLE_DELTA_H
#define GW_XBZRLE_DELTA_H

#include "base/base.h"

#define GW_XBZRLE_PAGE_MIN 1024u /* bytes; sizes are powers of two */
#define GW_XBZRLE_PAGE_MAX 65536u
#define GW_XBZRLE_RUN_MAX  0x3fffu /* the largest number that two bytes of seven bits can hold */

/* What encode returns when the delta would be longer than the limit. */
#define GW_XBZRLE_OVERFLOW (-1)

struct gw_xbzrle {
    const char *name; /* "avx2", "sse2", "portable" */
    /* Writes the delta that makes new_page of old_page. Returns its length in bytes, at most `limit`; 0 when the pages
     * are equal; GW_XBZRLE_OVERFLOW when it does not fit, `out` is then garbage. A limit above 65535 counts as 65535,
     * because the record holds the length in 16 bits. Overflow is decided before anything is written in all but a few
     * close cases, so it costs little more than the comparison.
     *
     * Unchanged runs of one or two bytes between changed ones are sent as changed: two more numbers would cost as much.
     * In pages above 16 KiB an unchanged run may be longer than GW_XBZRLE_RUN_MAX; it is then interrupted by a changed
     * run of one byte that has the value it had. A changed run longer than that cannot be written: overflow. */
    int (*encode)(const uint8_t *restrict old_page, const uint8_t *restrict new_page, uint32_t page_bytes,
                  uint8_t *restrict out, uint32_t limit);
};

const struct gw_xbzrle *gw_xbzrle_pick(void);
/* All variants that this machine can run, for tests and benches: i from 0, the best first; NULL at the end. */
const struct gw_xbzrle *gw_xbzrle_variant(unsigned i);

/* Changes the page in place. Accepts exactly what QEMU accepts: see docs/formats/xbzrle.md. -EPROTO, blame PEER: the
 * delta is malformed; the page is then unspecified, and nothing outside it was touched.
 *
 * A source may apply its own delta to its cached copy with this: for deltas of up to some hundred bytes it costs less than
 * a copy of the page. */
int gw_xbzrle_decode(const uint8_t *restrict delta, uint32_t delta_bytes, uint8_t *restrict page, uint32_t page_bytes,
                     struct gw_error *err);

#endif
