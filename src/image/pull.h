/* SPDX-License-Identifier: MIT
 *
 * pull: all RAM of an image from its first page to its last, read ahead by threads.
 *
 *     gw_pull_new --> gw_pull_next, until it says 0 --> gw_pull_free
 *
 * Memory: GW_PULL_PAGES pages for each thread, and for two more.
 * Threads: one owner; the image is read by others until gw_pull_free.
 */
#ifndef GW_IMAGE_PULL_H
#define GW_IMAGE_PULL_H

#include "image/image.h"

#define GW_PULL_PAGES 512u

struct gw_pull_chunk {
    unsigned block;
    uint64_t first; /* page */
    unsigned count;
    uint8_t filled[GW_PULL_PAGES]; /* 0: the page is zeros, its place in `data` is undefined */
    uint8_t *data;                 /* count pages */
};

struct gw_pull;

/* threads: 0: one per processor. */
int gw_pull_new(struct gw_image *image, unsigned threads, struct gw_pull **ret_pull, struct gw_error *err);
/* 1: *ret_chunk is the next one, valid until the next call; 0: that was all. */
int gw_pull_next(struct gw_pull *pull, const struct gw_pull_chunk **ret_chunk, struct gw_error *err);
/* Takes NULL. */
void gw_pull_free(struct gw_pull *pull);

#endif
