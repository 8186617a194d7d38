/* SPDX-License-Identifier: MIT
 *
 * near: a cache in front of bytes with a long access time; it reads more than was requested. It is a gw_bytes itself.
 *
 * The beginning and the end are read together in one access, since formats have their metadata there; a range announced with
 * `ahead` in one access; and a small piece, such as a page that a guest waits for, with the block around it (GW_NEAR_BLOCK), which
 * is kept. Large reads are passed through. Several threads that need the same block read it once.
 *
 * Memory: GW_NEAR_BLOCKS blocks; GW_NEAR_AHEAD_BYTES, and GW_NEAR_TAIL_BYTES, at most.
 */
#ifndef GW_IMAGE_NEAR_H
#define GW_IMAGE_NEAR_H

#include "image/bytes.h"

#define GW_NEAR_BLOCK       (256u << 10)
#define GW_NEAR_BLOCKS      32u
#define GW_NEAR_SMALL       (128u << 10) /* reads of this size or more are not kept */
#define GW_NEAR_TAIL_BYTES  (1u << 20)
#define GW_NEAR_AHEAD_BYTES (32u << 20)

/* Takes `far`, also when it fails. */
int gw_near_new(struct gw_bytes *take_far, struct gw_bytes **ret, struct gw_error *err);

#endif
