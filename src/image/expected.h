/* SPDX-License-Identifier: MIT
 *
 * expected: pages of an image that will be wanted in an order that is known, as those of a working set: read ahead by
 * threads (pull.h), so that many accesses to what is far away are under way at once.
 *
 * Memory: GW_EXPECTED_AHEAD chunks of GW_EXPECTED_PAGES pages.
 * Threads: one owner; the image is read by others until gw_expected_free.
 */
#ifndef GW_IMAGE_EXPECTED_H
#define GW_IMAGE_EXPECTED_H

#include "image/pull.h"

#define GW_EXPECTED_PAGES 32u
#define GW_EXPECTED_AHEAD 64u

struct gw_expected;

int gw_expected_new(struct gw_image *image, const struct gw_pull_range *ranges, unsigned count,
                    struct gw_expected **ret, struct gw_error *err);
/* As gw_image_fetch, of pages that lie in one of the ranges. Ranges in front of it are passed over: what of them is
 * still wanted, and all that is in no range, is read when it is wanted. */
int gw_expected_fetch(struct gw_expected *e, unsigned block, uint64_t first, uint64_t count, uint8_t *kinds,
                      uint8_t *dst, struct gw_error *err);
/* Takes NULL, returns NULL. */
struct gw_expected *gw_expected_free(struct gw_expected *e);

#endif
