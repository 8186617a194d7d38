/* SPDX-License-Identifier: MIT
 *
 * expected: pages of an image that will be wanted in a known order, such as a working set. Threads read them ahead
 * (pull.h), so that many requests to a remote image are in progress at once.
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
/* As gw_image_fetch, for pages that lie in one of the ranges. Earlier ranges are skipped: their pages, and pages in no
 * range, are read when they are requested. */
int gw_expected_fetch(struct gw_expected *e, unsigned block, uint64_t first, uint64_t count, uint8_t *kinds,
                      uint8_t *dst, struct gw_error *err);
/* Takes NULL, returns NULL. */
struct gw_expected *gw_expected_free(struct gw_expected *e);

#endif
