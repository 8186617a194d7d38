/* SPDX-License-Identifier: MIT
 *
 * sweep: goes through a RAM block of an image chunk by chunk. Groups of pages known to be zeros (gw_image_empty) are
 * skipped between chunks. Threads read ahead (image/pull.h): they use the image until the range ends, another range
 * begins, or gw_sweep_close.
 */
#ifndef GW_IMAGE_SWEEP_H
#define GW_IMAGE_SWEEP_H

#include "godwit/examine.h"
#include "image/pull.h"

#define GW_SWEEP_BYTES (1u << 20) /* of a chunk; a page is smaller (16 bits at most) */

struct gw_sweep {
    struct gw_image *image;
    uint8_t *kinds; /* of the chunk: which pages may have contents; */
    uint8_t *data;  /* the contents, after gw_sweep_read; otherwise free for the caller's use */
    uint64_t chunk_pages;
    unsigned block;
    uint64_t first, count; /* pages of the chunk */
    uint64_t end;          /* end of the range; equal to first: the range is finished */
    bool any;              /* false: the whole chunk is zeros */
    /* For a caller that sweeps two images together; set before a range begins: chunks appear where either image has
     * contents. */
    const struct gw_image *beside;
    unsigned beside_block;
    struct gw_pull *pull;  /* of the range; NULL: not begun yet, or finished */
    struct gw_error error; /* code 0: the chunk was read */
    gw_examine_progress_fn progress;
    void *opaque;
    uint64_t done_bytes, total_bytes;
};

/* total_bytes: the bytes of all ranges to be swept, for progress. */
int gw_sweep_init(struct gw_sweep *s, struct gw_image *image, uint64_t total_bytes, gw_examine_progress_fn progress,
                  void *opaque, struct gw_error *err);
void gw_sweep_close(struct gw_sweep *s);
/* Begins pages [first, first + count) of a block, or all of it. */
void gw_sweep_range(struct gw_sweep *s, unsigned block, uint64_t first, uint64_t count);
void gw_sweep_block(struct gw_sweep *s, unsigned block);
/* The next chunk: 1, and sets first, count, kinds, any; 0: the range is finished. -ECANCELED. */
int gw_sweep_next(struct gw_sweep *s, struct gw_error *err);
/* Fills in `data`. */
int gw_sweep_read(struct gw_sweep *s, struct gw_error *err);

/* Sum of all blocks. */
uint64_t gw_image_ram_bytes(const struct gw_image *image);

bool gw_all_zero(const uint8_t *p, size_t bytes);

#endif
