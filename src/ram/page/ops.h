/* SPDX-License-Identifier: MIT
 *
 * ops: the plugs of the page pipeline.
 *
 *     send:  source --batch--> [ codec chain --> layout --bytes--> writer ]      [ ] = a lane (ram/lane/)
 *     recv:  store <--where, place, zero-- [ layout + codecs <--bytes-- reader ]
 *
 * A source knows which pages, a codec what a page becomes, a layout how records look, a store where pages go. None of
 * them knows another one. engine/plan.c chooses them, once for a session.
 *
 * Threads: a codec and a layout have one owner, their lane. A source is asked by the session's thread. A store is
 * called by every lane that receives.
 */
#ifndef GW_PAGE_OPS_H
#define GW_PAGE_OPS_H

#include "channel/reader.h"
#include "channel/writer.h"
#include "ram/page/batch.h"

/* A point that all lanes reach before anybody goes on: what was put before it arrives before what is put after it. */
enum gw_barrier {
    GW_BARRIER_STEP,   /* end of a PART section */
    GW_BARRIER_ROUND,  /* a pass over RAM begins: pages may come again */
    GW_BARRIER_SWITCH, /* the machine stands; what follows is sent once */
    GW_BARRIER_END,    /* the last page has been put */
    GW_BARRIER_COUNT
};

struct gw_source {
    /* A migration begins. goes[i]: pages of block i are sent. On failure end need not come. */
    int (*begin)(struct gw_source *s, const bool *goes, struct gw_error *err);
    /* Fills at most max pages and their bodies; count 0: nothing is left for now. A page that is known to be zeros,
     * without looking at it, may be given as GW_FORM_ZERO; all others are OPEN. */
    int (*next)(struct gw_source *s, struct gw_batch *batch, unsigned max, struct gw_error *err);
    /* Looks which pages have to be sent (again), and begins a new pass. *ret_fresh: pages that were not due before. */
    int (*sync)(struct gw_source *s, uint64_t *ret_fresh, struct gw_error *err);
    /* Pages that are due, as far as is known. Any thread. */
    uint64_t (*pending)(struct gw_source *s);
    /* The bodies of this batch are no longer needed. Any thread. NULL: the source does not care. */
    void (*sent)(struct gw_source *s, struct gw_batch *batch);
    void (*end)(struct gw_source *s);
    struct gw_source *(*free)(struct gw_source *s);
};

struct gw_codec {
    /* NULL: nothing to do. A migration begins. */
    int (*begin)(struct gw_codec *c, struct gw_error *err);
    /* Claims pages that are OPEN by setting their form, and their body if the record carries something else. */
    int (*encode)(struct gw_codec *c, struct gw_batch *batch, struct gw_error *err);
    /* NULL: nothing to do. Every page up to here has been encoded. */
    int (*barrier)(struct gw_codec *c, enum gw_barrier kind, struct gw_error *err);
    /* NULL: nothing to do. It has ended, well or not, also when begin failed or never came. */
    void (*end)(struct gw_codec *c);
    struct gw_codec *(*free)(struct gw_codec *c);
};

struct gw_layout {
    /* Writes records for all pages of the batch; each has been claimed. Bodies are referenced, not copied. */
    void (*put)(struct gw_layout *l, const struct gw_batch *batch, struct gw_writer *w);
    /* NULL: nothing to do. Writes what tells the receiver that the barrier was reached. */
    void (*barrier)(struct gw_layout *l, enum gw_barrier kind, struct gw_writer *w);
    struct gw_layout *(*free)(struct gw_layout *l);
    _Atomic uint64_t pages[GW_FORM_COUNT]; /* put, by form. Any thread may read them */
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
