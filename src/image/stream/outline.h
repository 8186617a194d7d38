/* SPDX-License-Identifier: MIT
 *
 * outline: an image as a stream without its pages: one PART of the RAM, which is empty, stands for all of them. And what they
 * would take: gw_stream_write (write.c) puts RAM chunk by chunk, each page once, and begins a PART behind each 64 MiB.
 */
#ifndef GW_STREAM_OUTLINE_H
#define GW_STREAM_OUTLINE_H

#include "image/image.h"

#define GW_STREAM_PART_BYTES (64 * GW_MIB) /* a PART with more ends before the next chunk */

struct gw_stream_outline {
    uint64_t parts, bytes; /* PARTs, with all that is in them */
    uint64_t frame_bytes;  /* of one: its head, end mark and footer */
    uint64_t plain_heads, zero_bytes;
    uint64_t used;         /* of the last PART, without what ends it */
    unsigned block;        /* of the last chunk, plus 1; 0: there was none */
};

/* Without a PART where the image has no page. */
int gw_stream_write_outline(struct gw_image *image, int fd, struct gw_error *err);
/* The next chunk of at most GW_PULL_PAGES pages of a block. */
void gw_stream_outline_chunk(struct gw_stream_outline *o, const struct gw_image *image, unsigned block, unsigned zeros,
                             unsigned plain);

#endif
