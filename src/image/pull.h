/* SPDX-License-Identifier: MIT
 *
 * pull: all RAM of an image from its first page to its last, or a part of it, read ahead by threads.
 *
 *     gw_pull_new --> gw_pull_next, until it says 0 --> gw_pull_free
 *
 * A chunk that cannot be read is told as such when it is its turn; those behind it come all the same.
 *
 * Memory: a chunk for each thread, and two more.
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
    uint8_t filled[GW_PULL_PAGES]; /* 0: the page is zeros, its place in `data` is undefined; else 1 */
    uint8_t *data;                 /* count pages */
};

struct gw_pull;

/* threads: 0: one per processor. */
int gw_pull_new(struct gw_image *image, unsigned threads, struct gw_pull **ret_pull, struct gw_error *err);
/* Pages [first, first + count) of a block, in chunks of at most chunk_pages, not more than GW_PULL_PAGES. `filled` is
 * what gw_image_map says: nobody looks whether there are zeros in what was read. */
int gw_pull_new_range(struct gw_image *image, unsigned block, uint64_t first, uint64_t count, unsigned chunk_pages,
                      struct gw_pull **ret_pull, struct gw_error *err);
/* 1: *ret_chunk is the next one, valid until the next call; 0: that was all. Else it could not be read:
 * *ret_chunk says which pages, and the next call goes on behind them. */
int gw_pull_next(struct gw_pull *pull, const struct gw_pull_chunk **ret_chunk, struct gw_error *err);
/* Takes NULL. */
void gw_pull_free(struct gw_pull *pull);

#endif
