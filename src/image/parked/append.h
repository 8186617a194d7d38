/* SPDX-License-Identifier: MIT
 *
 * append: collects consecutive bytes into pieces of a spool (spool.h).
 *
 *     gw_append_begin --> gw_append_put ... --> gw_append_end
 *
 * Threads: one owner, that of the spool.
 */
#ifndef GW_IMAGE_PARKED_APPEND_H
#define GW_IMAGE_PARKED_APPEND_H

#include "image/parked/spool.h"

struct gw_append {
    struct gw_spool *spool;
    size_t piece_bytes;
    uint8_t *piece; /* from the spool's room; NULL: none yet */
    uint64_t at;    /* offset of the piece in the file */
    size_t fill;    /* bytes of it that are filled */
};

/* Continues after the first `fill` bytes of the piece at offset `at`; piece: NULL with a fill of 0. */
void gw_append_begin(struct gw_append *a, struct gw_spool *spool, size_t piece_bytes, uint8_t *piece, uint64_t at,
                     size_t fill);
/* Returns the spool's errors. */
int gw_append_put(struct gw_append *a, const void *src, size_t bytes, struct gw_error *err);
/* Puts the last piece, with zeros up to a multiple of GW_SPOOL_ALIGN, and flushes the spool. */
int gw_append_end(struct gw_append *a, struct gw_error *err);

#endif
