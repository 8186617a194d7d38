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
/* NULL: there is no memory, or this build cannot. */
struct gw_swift_deflate *gw_swift_deflate_new(void);
/* The stream begins again: what comes next refers to nothing that came before. */
void gw_swift_deflate_reset(struct gw_swift_deflate *s);
/* What is made of bytes at src goes to *dst, which moves on by it as *room shrinks. flush: all that was put in can be taken out there, and
 * it ends with a whole byte. False: the room is not enough; only a reset helps then. */
bool gw_swift_deflate_put(struct gw_swift_deflate *s, const uint8_t *src, uint32_t bytes, bool flush, uint8_t **dst, size_t *room);
void gw_swift_deflate_free(struct gw_swift_deflate *s); /* NULL is nothing */

#endif
