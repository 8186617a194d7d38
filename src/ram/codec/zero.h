/* SPDX-License-Identifier: MIT
 *
 * zero codec: claims the pages that hold only zeros: those that nobody ever touched without looking at them, so that a
 * migration does not make an untouched machine resident; the others by reading.
 */
#ifndef GW_CODEC_ZERO_H
#define GW_CODEC_ZERO_H

#include "ram/page/ops.h"

struct gw_holes;
struct gw_zero;

struct gw_codec_zero {
    struct gw_codec codec;
    uint32_t page_bytes;
    unsigned page_bits;
    const struct gw_zero *detect;
    const struct gw_holes *holes; /* borrowed; NULL: all pages are read */
};

void gw_codec_zero_init(struct gw_codec_zero *c, const struct gw_ram *ram, const struct gw_holes *holes);

#endif
