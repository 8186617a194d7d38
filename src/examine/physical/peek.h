/* SPDX-License-Identifier: MIT
 *
 * peek: a few bytes of a RAM block, for tables of the firmware.
 */
#ifndef GW_PHYSICAL_PEEK_H
#define GW_PHYSICAL_PEEK_H

#include "image/image.h"

/* 1: dst is filled. 0: the range is not inside the block. */
int gw_peek(struct gw_image *image, unsigned block, uint64_t offset, void *dst, uint64_t bytes, struct gw_error *err);

/* The block of this name; -1: none. */
int gw_peek_block(const struct gw_image *image, const char *name);

static inline uint64_t gw_peek_le(const uint8_t *p, unsigned bytes)
{
    uint64_t n = 0;

    for (unsigned i = 0; i < bytes; i++)
        n |= (uint64_t)p[i] << 8 * i;
    return n;
}

static inline uint8_t gw_peek_sum(const uint8_t *p, uint64_t bytes)
{
    uint8_t sum = 0;

    for (uint64_t i = 0; i < bytes; i++)
        sum = (uint8_t)(sum + p[i]);
    return sum;
}

#endif
