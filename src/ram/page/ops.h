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
    /* NULL: nobody ever does. Waits until somebody waits for a page, at most ns; 1: somebody does. */
    int (*wait)(struct gw_source *s, uint64_t ns, struct gw_error *err);
    bool once; /* each page goes once: when nothing is left, nothing will come */
    void (*end)(struct gw_source *s);
    struct gw_source *(*free)(struct gw_source *s);

    /* Postcopy, for pages that are asked for; all NULL: this source can only give them in its own order. After the last
     * sync, by the session's thread. */
    /* The first run of due pages of this block that has a page at `from` or behind it. false: there is none. */
    bool (*due)(struct gw_source *s, const struct gw_ram_block *b, uint64_t from, uint64_t *ret_first, uint64_t *ret_end);
    /* All of these pages are due, whether or not they were. */
    void (*owe)(struct gw_source *s, struct gw_ram_block *b, uint64_t first, uint64_t count);
    /* None of these pages is due: the other side has them. */
    int (*settle)(struct gw_source *s, struct gw_ram_block *b, uint64_t first, uint64_t count, struct gw_error *err);
    /* Of these pages, at most GW_BATCH_PAGES, those that are due, in front of all others: as next. count 0: none is. */
    int (*take)(struct gw_source *s, struct gw_batch *batch, struct gw_ram_block *b, uint64_t first, uint64_t count,
                struct gw_error *err);
    /* Both or neither, of a source that can read ahead. Before begin: these pages will be taken first, by take_expected and in this order; some may be left
     * out. What is not due, and blocks that do not go, are none of it. */
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
    /* NULL: encode does it all. Else encode only begins, threads of the codec go on, and the batch is the codec's until
     * finish, which comes in the same order, or end. */
    int (*finish)(struct gw_codec *c, struct gw_batch *batch, struct gw_error *err);
    /* The other direction: `bytes` coded bytes from the peer become the page at dst, which holds what the page was
     * before. Trusts nothing; -EPROTO with blame PEER, and dst is undefined then. NULL: pages are not coded. */
    int (*decode)(struct gw_codec *c, struct gw_ram_block *b, uint64_t page, const uint8_t *coded, size_t bytes, uint8_t *dst,
                  struct gw_error *err);
    /* Instead of decode, of a codec with threads: all of the page at dst is written and then placed in the store, sooner
     * or later. The coded bytes are copied. at: of the record, for errors. */
    int (*decode_later)(struct gw_codec *c, struct gw_store *store, struct gw_ram_block *b, uint64_t page, uint64_t at,
                        const uint8_t *coded, size_t bytes, uint8_t *dst, struct gw_error *err);
    /* With decode_later: waits until this page, or where b is NULL all pages, are placed. Fails if one could not be: nothing
     * is written any more after that either. */
    int (*await)(struct gw_codec *c, struct gw_ram_block *b, uint64_t page, struct gw_error *err);
    /* NULL: nothing to do. Every page up to here has been encoded. */
    int (*barrier)(struct gw_codec *c, enum gw_barrier kind, struct gw_error *err);
    /* NULL: it has none. Adds its figures. Any thread. */
    void (*progress)(struct gw_codec *c, struct gw_progress *sum);
    /* NULL: nothing to do. It has ended, well or not, also when begin failed or never came. */
    void (*end)(struct gw_codec *c);
    struct gw_codec *(*free)(struct gw_codec *c);
};

struct gw_layout {
    /* NULL: nothing to do. The entry of this block was put into the list, on the main stream; what stands behind it. By the
     * session's thread, before anything is put. */
    int (*list)(struct gw_layout *l, struct gw_ram_block *b, struct gw_writer *w, struct gw_error *err);
    /* Writes records for all pages of the batch; each has been claimed. Bodies are referenced, not copied. */
    void (*put)(struct gw_layout *l, const struct gw_batch *batch, struct gw_writer *w);
    /* NULL: nothing to do. Writes what tells the receiver that the barrier was reached. */
    void (*barrier)(struct gw_layout *l, enum gw_barrier kind, struct gw_writer *w);
    struct gw_layout *(*free)(struct gw_layout *l);
    _Atomic uint64_t pages[GW_FORM_COUNT]; /* put, by form. Any thread may read them */
    _Atomic uint64_t packed;               /* of the plain ones, in compressed packets. Any thread */
};

/* What the caller will do with the memory that `where` gives. */
enum gw_intent {
    GW_STORE_OVERWRITE, /* write all of the page */
    GW_STORE_MODIFY,    /* read what the page holds now, and change it */
};

struct gw_store {
    /* Pages of this block may come from now on. Once for each block. */
    int (*add)(struct gw_store *s, struct gw_ram_block *b, struct gw_error *err);
    /* Memory of page_bytes for the contents of this page; place or unguess follows. Never fails for a page inside a block
     * that was added. */
    uint8_t *(*where)(struct gw_store *s, struct gw_ram_block *b, uint64_t page, enum gw_intent intent);
    /* The page's contents are in the memory that `where` gave. */
    int (*place)(struct gw_store *s, struct gw_ram_block *b, uint64_t page, struct gw_error *err);
    /* The page is all zeros. */
    int (*zero)(struct gw_store *s, struct gw_ram_block *b, uint64_t page, struct gw_error *err);
    /* NULL: nothing to do. What was placed must be where others find it. */
    int (*flush)(struct gw_store *s, struct gw_error *err);
    /* Pages of this block that never came. 0 for one that was not added. */
    uint64_t (*missing)(struct gw_store *s, const struct gw_ram_block *b);
    /* Back to as it was made: no block was added, nothing came. */
    void (*reset)(struct gw_store *s);

    /* Postcopy; both NULL: what came here stays. Between two records. */
    /* What came of these pages is forgotten: they have not come, and will come again. Of a block that was added. */
    int (*discard)(struct gw_store *s, struct gw_ram_block *b, uint64_t first, uint64_t count, struct gw_error *err);
    /* Copies the map of the pages of this block that have come, gw_bitmap_words(b->pages) words; zeros for one that was not
     * added. Any thread. */
    void (*received)(struct gw_store *s, const struct gw_ram_block *b, uint64_t *map);

    /* Postcopy of a machine that runs here; all NULL: nobody touches a page that has not come. */
    /* From now on who touches such a page waits for it, and it is asked for. */
    int (*listen)(struct gw_store *s, struct gw_error *err);
    /* Nobody can be asked now; and: somebody can again, and is asked for all that is waited for. */
    void (*hold)(struct gw_store *s);
    void (*ask_again)(struct gw_store *s);
    /* What has not come never will, and is zeros. Then listen ends: plain memory. */
    int (*finish)(struct gw_store *s, struct gw_error *err);
    /* After listen: a store for one more thread that reads pages: where, place, zero and free. What it gets goes to s; what came of a
     * host page in part is forgotten with it. NULL: several threads may call s itself. */
    int (*lane)(struct gw_store *s, struct gw_store **ret, struct gw_error *err);

    /* Guessing, for layouts that read ahead of what is known; all NULL: this store does not allow it. */
    /* The first page of [from, end) that has no contents yet, which is the only kind that may be scribbled on before it
     * is known what comes; `end` when there is none. */
    uint64_t (*open)(struct gw_store *s, struct gw_ram_block *b, uint64_t from, uint64_t end);
    /* These pages are about to be written to: make them present in one go. */
    void (*expect)(struct gw_store *s, struct gw_ram_block *b, uint64_t first, uint64_t count);
    /* This open page was scribbled on and did not come. */
    void (*unguess)(struct gw_store *s, struct gw_ram_block *b, uint64_t page);

    struct gw_store *(*free)(struct gw_store *s);
};

/* Who reads records that are another's than the layout's: HOOK. */
struct gw_hook {
    /* Behind the record's head: reads all of it. */
    int (*record)(struct gw_hook *h, struct gw_reader *r, struct gw_store *store, struct gw_error *err);
    /* Pages of this block may come from now on. */
    int (*add)(struct gw_hook *h, struct gw_ram_block *b, struct gw_error *err);
    /* The load has ended, well or not. Back to as it was made. */
    void (*over)(struct gw_hook *h, bool ok);
    struct gw_hook *(*free)(struct gw_hook *h);
};

/* The receiving half of a layout. */
struct gw_layout_in {
    /* NULL: nothing to do. The entry of this block was read from the list, and the block is one that may come with so many
     * bytes; what stands behind it. Changes nothing else: the rest of the list may be bad. */
    int (*list)(struct gw_layout_in *l, struct gw_ram_block *b, uint64_t used_bytes, struct gw_reader *r,
                struct gw_error *err);
    /* Pages of this block may come from now on. */
    int (*add)(struct gw_layout_in *l, struct gw_ram_block *b, struct gw_error *err);
    /* Reads records, and puts what they carry into the store, up to and with the next mark. 1: it was the mark that the
     * lanes are to be waited for (MULTIFD_FLUSH on the main stream), and not the last one. */
    int (*get)(struct gw_layout_in *l, struct gw_reader *r, struct gw_store *store, struct gw_error *err);
    /* NULL where postcopy is not. The stream broke off inside of a record: another one begins, in which nothing was named yet. */
    void (*broke)(struct gw_layout_in *l);
    /* Back to as it was made. */
    void (*reset)(struct gw_layout_in *l);
    struct gw_layout_in *(*free)(struct gw_layout_in *l);

    struct gw_codec *decoder[GW_FORM_COUNT]; /* freed with the layout. NULL: records of this form are refused */
    struct gw_hook *hook;                    /* freed with the layout. NULL: HOOK records are refused */
    bool follows;                            /* the machine runs: records that change a page are refused, and no page is guessed at */
    atomic_bool *touched;                    /* is set before the first page is written; may be NULL */
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
