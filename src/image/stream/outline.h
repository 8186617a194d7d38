/* SPDX-License-Identifier: MIT
 *
 * outline: writes an image as a stream without its pages: one empty PART of the RAM stands for all PARTs. It also
 * computes their size: gw_stream_write (write.c) puts RAM chunk by chunk, each page once, and begins a new PART after
 * 64 MiB.
 */
#ifndef GW_STREAM_OUTLINE_H
#define GW_STREAM_OUTLINE_H

#include "image/image.h"

#define GW_STREAM_PART_BYTES (64 * GW_MIB) /* bytes after which a PART ends before the next chunk */

struct gw_stream_outline {
    uint64_t parts, bytes; /* number of PARTs, and their total size */
    uint64_t frame_bytes;  /* overhead of one: its head, end mark and footer */
    uint64_t plain_heads, zero_bytes;
    uint64_t used;         /* bytes in the last PART, without its end */
    unsigned block;        /* block of the last chunk, plus 1; 0: no chunk yet */
};

/* Writes no PART if the image has no page. */
int gw_stream_write_outline(struct gw_image *image, int fd, struct gw_error *err);
/* The next chunk of at most GW_PULL_PAGES pages of a block. */
void gw_stream_outline_chunk(struct gw_stream_outline *o, const struct gw_image *image, unsigned block, unsigned zeros,
                             unsigned plain);

#endif
