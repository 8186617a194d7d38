/* SPDX-License-Identifier: MIT
 *
 * sweep: goes through a RAM block of an image chunk by chunk and leaves out what is known to be zeros: groups of pages that
 * are (gw_image_empty) lie between two chunks. Threads read ahead (image/pull.h): the image is in use until the range is at its
 * end, another one is begun, or gw_sweep_close.
 */
#ifndef GW_IMAGE_SWEEP_H
#define GW_IMAGE_SWEEP_H

#include "godwit/examine.h"
#include "image/pull.h"

#define GW_SWEEP_BYTES (1u << 20) /* of a chunk; a page is smaller (16 bits at most) */

struct gw_sweep {
    struct gw_image *image;
    uint8_t *kinds; /* of the chunk: which pages may have contents; */
    uint8_t *data;  /* the contents, after gw_sweep_read; before and without it for whatever its user wants */
    uint64_t chunk_pages;
    unsigned block;
    uint64_t first, count; /* pages of the chunk */
    uint64_t end;          /* of the range; equal to first: it is over */
    bool any;              /* false: all of it is zeros */
    /* Set by who sweeps two images side by side, before a range is begun: chunks come where either has something. */
    const struct gw_image *beside;
    unsigned beside_block;
    struct gw_pull *pull;  /* of the range; NULL: has not been begun, or is over */
    struct gw_error error; /* code 0: the chunk could be read */
    gw_examine_progress_fn progress;
    void *opaque;
    uint64_t done_bytes, total_bytes;
};

/* total_bytes: of all that will be swept, for progress. */
int gw_sweep_init(struct gw_sweep *s, struct gw_image *image, uint64_t total_bytes, gw_examine_progress_fn progress,
                  void *opaque, struct gw_error *err);
void gw_sweep_close(struct gw_sweep *s);
/* Begins pages [first, first + count) of a block, or all of it. */
void gw_sweep_range(struct gw_sweep *s, unsigned block, uint64_t first, uint64_t count);
void gw_sweep_block(struct gw_sweep *s, unsigned block);
/* The next chunk: 1 and first, count, kinds, any; 0: the range is at its end. -ECANCELED. */
int gw_sweep_next(struct gw_sweep *s, struct gw_error *err);
/* Completes data. */
int gw_sweep_read(struct gw_sweep *s, struct gw_error *err);

/* Sum of all blocks. */
uint64_t gw_image_ram_bytes(const struct gw_image *image);

bool gw_all_zero(const uint8_t *p, size_t bytes);

#endif
