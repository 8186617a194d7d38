/* SPDX-License-Identifier: MIT
 *
 * ops: the plugs of the page pipeline.
 *
 *     send:  source --batch--> codec chain --> layout --bytes--> writer
 *     recv:  store <--where/zero-- layout <--bytes-- reader
 *
 * A source knows which pages, a codec what a page becomes, a layout how records look, a store where pages go. None of
 * them knows another. Threads: one owner, the lane.
 */
#ifndef GW_PAGE_OPS_H
#define GW_PAGE_OPS_H

#include "channel/reader.h"
#include "channel/writer.h"
#include "ram/page/block.h"

/* With a header and a body for each page, one batch is one full call of the transport. */
#define GW_BATCH_PAGES 512

enum gw_form {
    GW_FORM_OPEN,  /* no codec has claimed the page yet */
    GW_FORM_ZERO,
    GW_FORM_PLAIN,
    GW_FORM_COUNT
};

/* Pages of one block, ascending. */
struct gw_batch {
    struct gw_ram_block *block;
    unsigned count;
    uint64_t page[GW_BATCH_PAGES];
    uint8_t form[GW_BATCH_PAGES];  /* enum gw_form */
    const uint8_t *const *body;    /* where the contents of each page are; NULL: in the block's memory */
};

struct gw_source {
    /* Fills at most `max` pages; count 0: nothing is left for now. */
    int (*next)(struct gw_source *s, struct gw_batch *batch, unsigned max, struct gw_error *err);
};

struct gw_codec {
    /* Optional: a migration begins; the blocks are mapped as they will stay. Comes again for the next one. */
    int (*begin)(struct gw_codec *c, struct gw_error *err);
    /* Claims pages that are OPEN by setting their form. */
    int (*encode)(struct gw_codec *c, struct gw_batch *batch, struct gw_error *err);
    /* Optional: it has ended, well or not, also when begin failed or never came. */
    void (*end)(struct gw_codec *c);
    struct gw_codec *(*free)(struct gw_codec *c); /* NULL: whose codec it is frees it */
};

struct gw_layout {
    /* Writes records for all pages of the batch; each has been claimed. */
    void (*put)(struct gw_layout *l, const struct gw_batch *batch, struct gw_writer *w);
    struct gw_layout *(*free)(struct gw_layout *l);
    uint64_t pages[GW_FORM_COUNT]; /* put, by form */
};

struct gw_store {
    /* Where the contents of this page go. The pointer holds page_bytes. Never fails for a page inside the block. */
    uint8_t *(*where)(struct gw_store *s, struct gw_ram_block *b, uint64_t page);
    /* The page's contents are in place. */
    void (*done)(struct gw_store *s, struct gw_ram_block *b, uint64_t page);
    /* The page is all zeros. */
    void (*zero)(struct gw_store *s, struct gw_ram_block *b, uint64_t page);
    /* The first page of [from, end) that has no contents yet, which is the only kind that may be scribbled on before it
     * is known what comes; `end` when there is none. */
    uint64_t (*open)(struct gw_store *s, struct gw_ram_block *b, uint64_t from, uint64_t end);
    /* These pages are about to be written to: make them present in one go. */
    void (*expect)(struct gw_store *s, struct gw_ram_block *b, uint64_t first, uint64_t count);
    /* This open page was scribbled on and did not come. */
    void (*unguess)(struct gw_store *s, struct gw_ram_block *b, uint64_t page);
    struct gw_store *(*free)(struct gw_store *s);
};

#endif
