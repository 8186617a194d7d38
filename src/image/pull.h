/* SPDX-License-Identifier: MIT
 *
 * pull: RAM of an image, all or parts of it, from the first page to the last, read ahead by threads.
 *
 *     gw_pull_new --> gw_pull_next, until it says 0 --> gw_pull_free
 *
 * A chunk that cannot be read is reported in its turn; later chunks follow nevertheless.
 *
 * Memory: `ahead` chunks, and those that are held.
 * Threads: one owner, but gw_pull_put from any; the image is read by others until gw_pull_free.
 */
#ifndef GW_IMAGE_PULL_H
#define GW_IMAGE_PULL_H

#include "image/image.h"

#define GW_PULL_PAGES 512u

struct gw_pull_chunk {
    unsigned block; /* block number in the image */
    uint64_t first; /* page */
    unsigned count;
    uint8_t filled[GW_PULL_PAGES]; /* 0: the page is zeros, its place in `data` is undefined; else 1 */
    uint8_t *data;                 /* count pages */

    /* private to the pull */
    _Atomic unsigned users;
    struct gw_pull_chunk *next;
};

struct gw_pull_range {
    unsigned block;
    uint64_t first, count; /* pages */
};

struct gw_pull_config {
    const struct gw_pull_range *ranges; /* in this order; copied. NULL: the whole image */
    unsigned range_count;
    unsigned chunk_pages; /* the largest number of pages in a chunk; 0: GW_PULL_PAGES */
    unsigned threads;     /* 0: one per processor */
    unsigned ahead;       /* chunks being read or waiting for the owner; 0: threads + 2 */
    bool zeros_as_told;   /* `filled` is what gw_image_map says; otherwise pages are also compared with zeros after reading */
    bool without_empty;   /* groups that are known to be zeros (gw_image_empty) are left out */
    /* A second image: a group is left out only if it is known to be zeros in that one too, in the block of the same
     * number. NULL: none. */
    const struct gw_image *beside;
    unsigned beside_block;
};

struct gw_pull;

int gw_pull_new(struct gw_image *image, const struct gw_pull_config *config, struct gw_pull **ret_pull,
                struct gw_error *err);
/* 1: *ret_chunk is the next one, valid until the next call, and longer while it is held; 0: that was all. Negative: it
 * could not be read; *ret_chunk says which pages, and the next call continues after them. -ENOMEM with *ret_chunk
 * unchanged: no memory for another chunk while so many are held. */
int gw_pull_next(struct gw_pull *pull, struct gw_pull_chunk **ret_chunk, struct gw_error *err);
/* Keeps the chunk until gw_pull_put was called as often; all before gw_pull_free. */
void gw_pull_hold(struct gw_pull_chunk *chunk);
void gw_pull_put(struct gw_pull *pull, struct gw_pull_chunk *chunk);
/* Takes NULL. */
void gw_pull_free(struct gw_pull *pull);

/* Calls for all RAM, or all but empty groups, chunk by chunk, with the threads and the progress function of
 * `options`. */
int gw_pull_all(struct gw_image *image, bool without_empty, const struct gw_image_write_options *options,
                int (*chunk)(void *opaque, const struct gw_pull_chunk *chunk, struct gw_error *err), void *opaque,
                struct gw_error *err);

#endif
