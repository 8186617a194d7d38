/* SPDX-License-Identifier: MIT
 *
 * zpage: one page as one zlib stream (RFC 1950), by libdeflate if godwit was built with it, else by zlib.
 *
 * Memory:  an object has some hundred KiB at most, and keeps nothing from one page to the next.
 * Threads: an object has one owner at a time.
 * Hostile: a stream that is not exactly one page is -EPROTO with blame PEER, and dst is undefined then; nothing outside
 *          of dst is written.
 * Format:  docs/formats/compress.md
 */
#ifndef GW_CODEC_ZPAGE_H
#define GW_CODEC_ZPAGE_H

#include "base/base.h"

#if defined(GW_HAVE_LIBDEFLATE) || defined(GW_HAVE_ZLIB)
#define GW_HAVE_ZPAGE true
#else
#define GW_HAVE_ZPAGE false /* all functions below fail with -ENOTSUP */
#endif

struct gw_zpack;
struct gw_zunpack;

/* level: 0 (stored) to 9 (smallest), as zlib's. */
int gw_zpack_new(unsigned level, struct gw_zpack **ret, struct gw_error *err);
/* Takes NULL. */
void gw_zpack_free(struct gw_zpack *p);
/* page must not change meanwhile. Returns the size of the stream in bytes; 0: it would be longer than room. */
uint32_t gw_zpack(struct gw_zpack *p, const uint8_t *page, uint32_t page_bytes, uint8_t *dst, uint32_t room);
/* Estimates that compressing this page is not worth the time: it has neither frequent bytes nor repeated words. The
 * estimate may be wrong in both directions; that costs bytes or time. */
bool gw_zpack_hopeless(const uint8_t *page, uint32_t page_bytes);

int gw_zunpack_new(struct gw_zunpack **ret, struct gw_error *err);
void gw_zunpack_free(struct gw_zunpack *u);
int gw_zunpack(struct gw_zunpack *u, const uint8_t *coded, uint32_t bytes, uint8_t *page, uint32_t page_bytes,
               struct gw_error *err);

#endif
