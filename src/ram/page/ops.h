/* SPDX-License-Identifier: MIT
 *
 * ops: the plugs of the page pipeline.
 *
 *     send:  source --batch--> [ codec chain --> layout --bytes--> writer ]      [ ] = a lane (ram/lane/)
 *     recv:  store <--where, place, zero-- [ layout_in <--> codec, <--bytes-- reader ]
 *
 * A source chooses the pages, a codec encodes them, a layout formats the records, a store places pages. None of them
 * depends on another one. engine/plan.c chooses them, once for a session.
 *
 * Threads: a codec and a layout have one owner, their lane. A source is called by the session's thread. A store is
 * called by every lane that receives.
 */
#ifndef GW_PAGE_OPS_H
#define GW_PAGE_OPS_H

#include "channel/reader.h"
#include "channel/writer.h"
#include "live/live.h"
#include "ram/page/batch.h"

/* A point that all lanes reach before any of them continues: what was written before it arrives before what is written
 * after it. */
enum gw_barrier {
    GW_BARRIER_LISTED, /* the blocks are listed: pages follow */
    GW_BARRIER_STEP,   /* end of a PART section */
    GW_BARRIER_ROUND,  /* a pass over RAM begins: pages may come again */
    GW_BARRIER_SWITCH, /* the machine is stopped; what follows is sent once */
    /* what follows is sent once, and is for a machine that runs: whole pages, host page by host page */
    GW_BARRIER_POSTCOPY,
    GW_BARRIER_END,    /* the last page was written */
    GW_BARRIER_COUNT
};

struct gw_store;

struct gw_source_range {
    struct gw_ram_block *block;
    uint64_t first, count; /* pages */
};

struct gw_source {
    /* A migration begins. goes[i]: pages of block i are sent. After a failure end need not be called. */
    int (*begin)(struct gw_source *s, const bool *goes, struct gw_error *err);
    /* Adds at most max pages and their bodies; count 0: nothing is left for now. A page that is known to be zeros
     * without being read may be added as GW_FORM_ZERO; all others are OPEN. */
    int (*next)(struct gw_source *s, struct gw_batch *batch, unsigned max, struct gw_error *err);
    /* Finds the pages that must be sent (again), and begins a new pass. *ret_fresh: pages that were not due before. */
    int (*sync)(struct gw_source *s, uint64_t *ret_fresh, struct gw_error *err);
    /* Pages that are due, as far as is known. Any thread. */
    uint64_t (*pending)(struct gw_source *s);
    /* The bodies of this batch are no longer needed. Any thread. NULL: not needed. */
    void (*sent)(struct gw_source *s, struct gw_batch *batch);
    /* NULL: no thread ever waits for a page. Waits at most ns until a thread waits for a page; 1: one does. */
    int (*wait)(struct gw_source *s, uint64_t ns, struct gw_error *err);
    bool once; /* each page is sent once: when nothing is left, nothing more will come */
    void (*end)(struct gw_source *s);
    struct gw_source *(*free)(struct gw_source *s);

    /* Postcopy, for requested pages; all NULL: this source can only give pages in its own order. After the last sync,
     * by the session's thread. */
    /* The first run of due pages of this block that has a page at `from` or behind it. false: there is none. */
    bool (*due)(struct gw_source *s, const struct gw_ram_block *b, uint64_t from, uint64_t *ret_first, uint64_t *ret_end);
    /* Makes all of these pages due. */
    void (*owe)(struct gw_source *s, struct gw_ram_block *b, uint64_t first, uint64_t count);
    /* Makes these pages not due: the destination has them. */
    int (*settle)(struct gw_source *s, struct gw_ram_block *b, uint64_t first, uint64_t count, struct gw_error *err);
    /* Gives the due ones of these pages (at most GW_BATCH_PAGES) before all others; as next. count 0: none is due. */
    int (*take)(struct gw_source *s, struct gw_batch *batch, struct gw_ram_block *b, uint64_t first, uint64_t count,
                struct gw_error *err);
    /* Both or neither, for a source that can read ahead. Before begin: these pages will be taken first, by
     * take_expected and in this order; some may be left out. Pages that are not due, and blocks that are not sent, are
     * ignored. */
    int (*expect)(struct gw_source *s, const struct gw_source_range *ranges, size_t count, struct gw_error *err);
    /* As take. */
    int (*take_expected)(struct gw_source *s, struct gw_batch *batch, struct gw_ram_block *b, uint64_t first, uint64_t count,
                         struct gw_error *err);
};

struct gw_codec {
    /* NULL: nothing to do. A migration begins. */
    int (*begin)(struct gw_codec *c, struct gw_error *err);
    /* Claims pages that are OPEN by setting their form, and their body if the record carries something else. */
    int (*encode)(struct gw_codec *c, struct gw_batch *batch, struct gw_error *err);
    /* NULL: encode does everything. Otherwise encode only starts the threads of the codec; the batch belongs to the
     * codec until finish, which is called in the same order, or until end. */
    int (*finish)(struct gw_codec *c, struct gw_batch *batch, struct gw_error *err);
    /* The other direction: decodes `bytes` bytes from the peer to the page at dst, which holds the page's contents so
     * far. Trusts nothing; -EPROTO with blame PEER, and dst is undefined then. NULL: pages are not encoded. */
    int (*decode)(struct gw_codec *c, struct gw_ram_block *b, uint64_t page, const uint8_t *coded, size_t bytes, uint8_t *dst,
                  struct gw_error *err);
    /* Instead of decode, for a codec with threads: writes all of the page at dst and places it in the store, at once or
     * later. The coded bytes are copied. at: offset of the record, for errors. */
    int (*decode_later)(struct gw_codec *c, struct gw_store *store, struct gw_ram_block *b, uint64_t page, uint64_t at,
                        const uint8_t *coded, size_t bytes, uint8_t *dst, struct gw_error *err);
    /* With decode_later: waits until this page, or all pages if b is NULL, are placed. Fails if one could not be
     * placed: nothing more is written after that. */
    int (*await)(struct gw_codec *c, struct gw_ram_block *b, uint64_t page, struct gw_error *err);
    /* NULL: nothing to do. Every page up to here has been encoded. */
    int (*barrier)(struct gw_codec *c, enum gw_barrier kind, struct gw_error *err);
    /* NULL: no figures. Adds the codec's figures. Any thread. */
    void (*progress)(struct gw_codec *c, struct gw_progress *sum);
    /* NULL: nothing to do. The migration has ended, with or without success; also called if begin failed or was not
     * called. */
    void (*end)(struct gw_codec *c);
    struct gw_codec *(*free)(struct gw_codec *c);
};

struct gw_layout {
    /* NULL: nothing to do. The entry of this block was written to the list, on the main stream: writes what follows it.
     * By the session's thread, before any pages are put. */
    int (*list)(struct gw_layout *l, struct gw_ram_block *b, struct gw_writer *w, struct gw_error *err);
    /* Writes records for all pages of the batch; each has been claimed. Bodies are referenced, not copied. */
    void (*put)(struct gw_layout *l, const struct gw_batch *batch, struct gw_writer *w);
    /* NULL: nothing to do. Writes the mark that tells the receiver of the barrier. */
    void (*barrier)(struct gw_layout *l, enum gw_barrier kind, struct gw_writer *w);
    struct gw_layout *(*free)(struct gw_layout *l);
    _Atomic uint64_t pages[GW_FORM_COUNT]; /* written, by form. Any thread may read them */
    _Atomic uint64_t packed;               /* plain pages in compressed packets. Any thread */
};

/* What the caller will do with the memory returned by `where`. */
enum gw_intent {
    GW_STORE_OVERWRITE, /* write all of the page */
    GW_STORE_MODIFY,    /* read the current contents of the page, and change them */
};

struct gw_store {
    /* Pages of this block may come from now on. Once for each block. */
    int (*add)(struct gw_store *s, struct gw_ram_block *b, struct gw_error *err);
    /* Memory of page_bytes for the contents of this page; then call place or unguess. Never fails for a page inside a
     * block that was added. */
    uint8_t *(*where)(struct gw_store *s, struct gw_ram_block *b, uint64_t page, enum gw_intent intent);
    /* The page's contents are in the memory returned by `where`. */
    int (*place)(struct gw_store *s, struct gw_ram_block *b, uint64_t page, struct gw_error *err);
    /* The page is all zeros. */
    int (*zero)(struct gw_store *s, struct gw_ram_block *b, uint64_t page, struct gw_error *err);
    /* NULL: nothing to do. Makes the placed pages visible to others. */
    int (*flush)(struct gw_store *s, struct gw_error *err);
    /* Number of pages of this block that never came; 0 for a block that was not added. */
    uint64_t (*missing)(struct gw_store *s, const struct gw_ram_block *b);
    /* Restores the state after creation: no block was added, no page came. */
    void (*reset)(struct gw_store *s);

    /* Postcopy; both NULL: received pages stay. Called between two records. */
    /* Discards the contents of these pages, in a block that was added: they count as not received, and will come
     * again. */
    int (*discard)(struct gw_store *s, struct gw_ram_block *b, uint64_t first, uint64_t count, struct gw_error *err);
    /* Copies the map of the pages of this block that have come, gw_bitmap_words(b->pages) words; zeros for a block that
     * was not added. Any thread. */
    void (*received)(struct gw_store *s, const struct gw_ram_block *b, uint64_t *map);

    /* Postcopy of a machine that runs here; all NULL: no thread touches a page that has not come. */
    /* From now on a thread that touches such a page waits for it, and the page is requested. */
    int (*listen)(struct gw_store *s, struct gw_error *err);
    /* hold: pages cannot be requested now. ask_again: they can be again, and all that threads wait for are
     * requested. */
    void (*hold)(struct gw_store *s);
    void (*ask_again)(struct gw_store *s);
    /* Pages that have not come will never come, and are zeros. Then listening ends: plain memory. */
    int (*finish)(struct gw_store *s, struct gw_error *err);
    /* After listen: a store for one more thread that reads pages: where, place, zero and free. Its pages go to s;
     * freeing it discards an incomplete host page. NULL: several threads may call s itself. */
    int (*lane)(struct gw_store *s, struct gw_store **ret, struct gw_error *err);

    /* Prediction, for layouts that read ahead; all NULL: this store does not allow it. */
    /* The first page of [from, end) that has no contents yet: only such pages may be overwritten by a wrong prediction;
     * `end` if there is none. */
    uint64_t (*open)(struct gw_store *s, struct gw_ram_block *b, uint64_t from, uint64_t end);
    /* These pages are about to be written: makes them present in one call. */
    void (*expect)(struct gw_store *s, struct gw_ram_block *b, uint64_t first, uint64_t count);
    /* This page was overwritten by a wrong prediction: restores it. */
    void (*unguess)(struct gw_store *s, struct gw_ram_block *b, uint64_t page);

    struct gw_store *(*free)(struct gw_store *s);
};

/* Reads records that do not belong to the layout: HOOK. */
struct gw_hook {
    /* Called after the record's head: reads all of the record. */
    int (*record)(struct gw_hook *h, struct gw_reader *r, struct gw_store *store, struct gw_error *err);
    /* Pages of this block may come from now on. */
    int (*add)(struct gw_hook *h, struct gw_ram_block *b, struct gw_error *err);
    /* The load has ended. ok: with success. Restores the state after creation. */
    void (*over)(struct gw_hook *h, bool ok);
    struct gw_hook *(*free)(struct gw_hook *h);
};

/* The receiving half of a layout. */
struct gw_layout_in {
    /* NULL: nothing to do. The entry of this block, which may have so many bytes, was read from the list: reads what
     * follows it. Changes nothing else: the rest of the list may be invalid. */
    int (*list)(struct gw_layout_in *l, struct gw_ram_block *b, uint64_t used_bytes, struct gw_reader *r,
                struct gw_error *err);
    /* Pages of this block may come from now on. */
    int (*add)(struct gw_layout_in *l, struct gw_ram_block *b, struct gw_error *err);
    /* Reads records, and puts their pages into the store, up to and including the next mark. 1: lanes must be waited
     * for at this mark (MULTIFD_FLUSH on the main stream), and more follows. */
    int (*get)(struct gw_layout_in *l, struct gw_reader *r, struct gw_store *store, struct gw_error *err);
    /* NULL without postcopy. The stream broke off inside a record; the next stream begins without a block name. */
    void (*broke)(struct gw_layout_in *l);
    /* Restores the state after creation. */
    void (*reset)(struct gw_layout_in *l);
    struct gw_layout_in *(*free)(struct gw_layout_in *l);

    struct gw_codec *decoder[GW_FORM_COUNT]; /* freed with the layout. NULL: records of this form are refused */
    struct gw_hook *hook;                    /* freed with the layout. NULL: HOOK records are refused */
    /* the machine runs: records that change a page are refused, and pages are not predicted */
    bool follows;
    atomic_bool over;                        /* the machine has arrived: a lane refuses more pages */
    atomic_bool *touched;                    /* set before the first page is written; may be NULL */
    _Atomic uint64_t pages[GW_FORM_COUNT];   /* read, by form. Any thread may read them */
};

/* Adds the pages of a layout, by form. */
static inline void gw_progress_add(struct gw_progress *sum, const _Atomic uint64_t *pages)
{
    sum->zero_pages += atomic_load_explicit(&pages[GW_FORM_ZERO], memory_order_relaxed);
    sum->plain_pages += atomic_load_explicit(&pages[GW_FORM_PLAIN], memory_order_relaxed);
    sum->coded_pages += atomic_load_explicit(&pages[GW_FORM_XBZRLE], memory_order_relaxed) +
                        atomic_load_explicit(&pages[GW_FORM_DEFLATE], memory_order_relaxed);
}

#endif
