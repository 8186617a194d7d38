/* SPDX-License-Identifier: MIT
 *
 * How the write options apply to a parked file; gw_parked_write itself is in image.h.
 */
#ifndef GW_IMAGE_PARKED_WRITE_H
#define GW_IMAGE_PARKED_WRITE_H

#include "image/image.h"

#define GW_PARKED_FRAME_USUAL (32u << 10) /* bytes of a frame, unpacked: docs/formats/parked.md says why */

struct gw_parked_style {
    bool plain; /* nothing is compressed */
    int level;  /* of zstd */
};

/* -EINVAL, -ENOTSUP: no such style, or this build cannot write it. */
int gw_parked_style(const struct gw_image_write_options *options, struct gw_parked_style *ret, struct gw_error *err);

/* How many pages a frame has. */
static inline uint32_t gw_parked_frame_pages(uint32_t page_bytes)
{
    return GW_MAX(GW_PARKED_FRAME_USUAL / page_bytes, 1u);
}

#endif
