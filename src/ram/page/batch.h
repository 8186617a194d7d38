/* SPDX-License-Identifier: MIT
 *
 * batch: pages of one block on their way out, from a source through the codecs to a layout.
 *
 * Life of a batch: a pool (ram/lane/lanes.h) lends it empty; a source fills it; codecs claim its pages; a layout writes
 * records that reference the bodies; when the writer has passed all of these bytes on, the source gets it back (sent),
 * and the pool after it. Until then no code changes a body.
 *
 * A body is what a record carries. The source sets it to the page as it is (guest memory, or memory of the source); a
 * codec that claims a page may set it to something else. Codecs look at the body, never at the block's memory.
 */
#ifndef GW_PAGE_BATCH_H
#define GW_PAGE_BATCH_H

#include "ram/page/block.h"

/* With a header and a body for each page, one batch fills one call of the transport. */
#define GW_BATCH_PAGES 512

enum gw_form {
    GW_FORM_OPEN,  /* no codec has claimed the page yet */
    GW_FORM_ZERO,  /* all zeros; the body is not used */
    GW_FORM_PLAIN, /* the body is the page */
    /* the body is the difference from the contents that were sent the last time (docs/formats/xbzrle.md) */
    GW_FORM_XBZRLE,
    GW_FORM_DEFLATE, /* the body is a zlib stream of the page (docs/formats/compress.md) */
    GW_FORM_SAME,   /* the receiver has these contents: nothing is written */
    GW_FORM_COUNT
};

struct gw_body {
    const uint8_t *data;
    uint32_t bytes;
};

struct gw_source;

struct gw_batch {
    struct gw_ram_block *block;
    unsigned count;
    uint64_t page[GW_BATCH_PAGES]; /* ascending */
    uint8_t form[GW_BATCH_PAGES];  /* enum gw_form */
    struct gw_body body[GW_BATCH_PAGES];

    struct gw_source *from; /* set by the pool: the source that gets the batch back. NULL: none */
    bool urgent;            /* set by the source: threads wait for these pages, so they are flushed at once */
    /* set by the source: it begins inside a host page, and must travel on the lane of the batch before it */
    bool goes_on;
    void *held;             /* belongs to the source: the memory of the bodies */

    /* belong to the pool */
    uint8_t *room;
    struct gw_batch *next;
    uint64_t end; /* offset of the writer after the last record */
};

/* A buffer of page_bytes for the encoded page i; it belongs to the batch. NULL: no memory. */
static inline uint8_t *gw_batch_room(struct gw_batch *batch, unsigned i, uint32_t page_bytes)
{
    if (!batch->room)
        batch->room = aligned_alloc(GW_RAM_ALIGNMENT, (size_t)GW_BATCH_PAGES * page_bytes);
    return batch->room ? batch->room + (size_t)i * page_bytes : NULL;
}

#endif
