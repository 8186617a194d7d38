/* SPDX-License-Identifier: MIT
 *
 * swift_deflate: a raw deflate stream (RFC 1951) at about the size that zlib's level 1 has, in a quarter of its time: ISA-L.
 *
 * Threads: one owner.
 */
#ifndef GW_CODEC_SWIFT_DEFLATE_H
#define GW_CODEC_SWIFT_DEFLATE_H

#include "base/base.h"

struct gw_swift_deflate;

/* Whether this build has its library. */
bool gw_swift_deflate_known(void);
/* NULL: no memory, or not in this build. */
struct gw_swift_deflate *gw_swift_deflate_new(void);
/* Begins the stream anew: further output refers to nothing before. */
void gw_swift_deflate_reset(struct gw_swift_deflate *s);
/* Compresses the bytes at src to *dst, and advances *dst and reduces *room. flush: everything so far can be
 * decompressed from the output, which ends with a whole byte. False: not enough room; call reset then. */
bool gw_swift_deflate_put(struct gw_swift_deflate *s, const uint8_t *src, uint32_t bytes, bool flush, uint8_t **dst, size_t *room);
void gw_swift_deflate_free(struct gw_swift_deflate *s); /* takes NULL */

#endif
