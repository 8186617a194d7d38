/* SPDX-License-Identifier: MIT
 *
 * near: bytes that are far away, so that it pays to read more of them than was asked for: in front of bytes, and bytes itself.
 *
 * The end and the beginning are read at once, in one access, since formats begin there; a range that is wanted soon (ahead) in one go; and a small piece, as a page
 * that a guest waits for, with what is around it (GW_NEAR_BLOCK), which is kept for its neighbours. What is large goes straight through.
 * Several threads that want the same block read it once.
 *
 * Memory: GW_NEAR_BLOCKS blocks; GW_NEAR_AHEAD_BYTES, and GW_NEAR_TAIL_BYTES, at most.
 */
#ifndef GW_IMAGE_NEAR_H
#define GW_IMAGE_NEAR_H

#include "image/bytes.h"

#define GW_NEAR_BLOCK       (256u << 10)
#define GW_NEAR_BLOCKS      32u
#define GW_NEAR_SMALL       (128u << 10) /* what is as large is not kept */
#define GW_NEAR_TAIL_BYTES  (1u << 20)
#define GW_NEAR_AHEAD_BYTES (32u << 20)

/* Takes `far`, also when it fails. */
int gw_near_new(struct gw_bytes *take_far, struct gw_bytes **ret, struct gw_error *err);

#endif
