/* SPDX-License-Identifier: MIT */
#include "ram/layout/stream.h"

#include "base/endian.h"
#include "channel/iov.h"
#include "wire/names.h"
#include "wire/ram_record.h"

#define WINDOW    ((uint64_t)GW_BATCH_PAGES)
#define GUESS_MIN 4u
#define GUESS_MAX GW_BATCH_PAGES
#define REACH_MIN 16u
/* Enough for a hundred zero records in a call, too little to copy many page bodies through the buffer. */
#define READAHEAD_ZERO 1024u
/* Compressed pages are copied anyway, and plain ones between them may be as well. */
#define READAHEAD_CODED 32768u
#define WORD            8u

struct get {
    struct gw_layout_in layout;
    const struct gw_ram *ram;
    bool may_guess;
    struct gw_ram_listed listed;

    /* of the current call */
    struct gw_store *store;
    bool guesses;
    struct gw_ram_block *last; /* block of the previous record, for CONTINUE */

    uint64_t next;                      /* the page after the last plain one */
    struct gw_codec *beside;            /* a decoder with pages that are not placed yet; NULL: none */
    unsigned run;                       /* plain records in sequence so far */
    unsigned guess;                     /* pages to predict next time */
    /* number of vectors for one read: a few more than the transport has filled lately */
    unsigned reach;
    const struct gw_ram_block *present; /* pages of this block before present_end are known to be present */
    uint64_t present_end;
    uint64_t guessed, missed; /* pages that were read to a predicted place; those that were restored */
    uint64_t *slot;           /* the pages of a prediction */
    uint64_t *heads;          /* buffer for their headers */
    struct iovec *iov;
};

static void count(struct get *g, enum gw_form form, uint64_t pages)
{
    atomic_fetch_add_explicit(&g->layout.pages[form], pages, memory_order_relaxed);
}

/* The next page of the sequence; false: there is none. */
static bool successor(const struct get *g, uint64_t from, uint64_t *ret_page)
{
    uint64_t end = GW_MIN(g->last->pages, (g->next + WINDOW - 1) & ~(WINDOW - 1));
    uint64_t page = g->store->open(g->store, g->last, from, end);

    *ret_page = page;
    return from < end && page < end;
}

/* ---- predictions ------------------------------------------------------------------------------------------------- */

static void slot_vectors(struct get *g, unsigned i)
{
    g->iov[i * 2] = (struct iovec){&g->heads[i], WORD};
    g->iov[i * 2 + 1] =
        (struct iovec){g->store->where(g->store, g->last, g->slot[i], GW_STORE_OVERWRITE), g->ram->page_bytes};
}

/* Tells the store to expect the pages that it was not told of before. */
static void expect(struct get *g, uint64_t first, uint64_t pages)
{
    uint64_t end = first + pages;

    if (g->last == g->present && first < g->present_end)
        first = g->present_end;
    if (first >= end)
        return;
    g->present = g->last;
    g->present_end = end;
    g->store->expect(g->store, g->last, first, end - first);
}

/* Chooses the pages of a prediction; returns their number. */
static unsigned choose(struct get *g)
{
    uint64_t page, from = g->next, first = 0, pages = 0;
    unsigned n = 0;

    for (; n < g->guess && successor(g, from, &page); from = page + 1) {
        g->slot[n] = page;
        slot_vectors(g, n++);
        if (pages && page != first + pages) {
            expect(g, first, pages);
            pages = 0;
        }
        if (!pages++)
            first = page;
    }
    if (n >= 2)
        expect(g, first, pages);
    return n;
}

static bool as_guessed(const struct get *g, unsigned i)
{
    return g->heads[i] == htobe64((g->slot[i] << g->ram->page_bits) | GW_RAMF_PAGE | GW_RAMF_CONTINUE);
}

/* The bytes from slot i on are something else: returns them to the stream. */
static int missed(struct get *g, struct gw_reader *r, unsigned i, unsigned n, size_t bytes, struct gw_error *err)
{
    size_t record = WORD + g->ram->page_bytes;
    unsigned dirty = (unsigned)gw_div_up(bytes - WORD, record);
    int e;

    slot_vectors(g, i); /* the vectors may have been shortened */
    e = gw_reader_unread(r, &g->iov[i * 2], (int)(n - i) * 2, bytes, err);
    for (unsigned k = i; k < i + dirty; k++)
        g->store->unguess(g->store, g->last, g->slot[k]);
    g->missed += dirty;
    g->guess = GW_MAX(i, GUESS_MIN);
    g->run = 0;
    return e;
}

/* Reads until the records that have come are complete or wrong. */
static int read_guess(struct get *g, struct gw_reader *r, unsigned n, unsigned *ret_hits, struct gw_error *err)
{
    size_t record = WORD + g->ram->page_bytes, have = 0; /* bytes of slot `hits` and of the slots after it */
    unsigned hits = 0, at = 0;

    do {
        unsigned vectors = GW_MIN(n * 2 - at, g->reach);
        uint64_t asked = gw_iov_bytes(&g->iov[at], (int)vectors);
        ssize_t got = gw_reader_scatter(r, &g->iov[at], (int)vectors, err);

        if (got < 0)
            return (int)got;
        g->reach = (uint64_t)got == asked ? GW_MIN(g->reach * 2, GW_IOV_MAX)
                                          : GW_MAX((unsigned)((size_t)got / record + 2) * 4, REACH_MIN);
        for (have += (size_t)got; have >= record && as_guessed(g, hits); have -= record, hits++) {
            int e = g->store->place(g->store, g->last, g->slot[hits], err);

            if (e < 0)
                return e;
        }
        *ret_hits = hits;
        if (have >= WORD && !as_guessed(g, hits))
            return missed(g, r, hits, n, have, err);
        /* A part of a record: the next read begins with its rest. */
        at = hits * 2;
        if (have >= WORD) {
            at++;
            g->iov[at].iov_base = g->store->where(g->store, g->last, g->slot[hits], GW_STORE_OVERWRITE) + (have - WORD);
            g->iov[at].iov_len = record - have;
        } else if (have) {
            g->iov[at] = (struct iovec){(uint8_t *)&g->heads[hits] + have, WORD - have};
        }
    } while (have);
    if (hits == n)
        g->guess = GW_MIN(g->guess * 2, GUESS_MAX);
    return 0;
}

/* Reads ahead into the places of the next pages. 1: something was read; 0: no prediction is possible here. */
static int guess(struct get *g, struct gw_reader *r, struct gw_error *err)
{
    unsigned n, hits = 0;
    int e;

    if (!g->guesses || g->beside || g->run < 2 || gw_reader_buffered(r) || !r->channel)
        return 0;
    n = choose(g);
    if (n < 2)
        return 0;
    e = read_guess(g, r, n, &hits, err);
    g->guessed += hits;
    count(g, GW_FORM_PLAIN, hits);
    if (hits)
        g->next = g->slot[hits - 1] + 1;
    return e < 0 ? e : 1;
}

/* ---- records ------------------------------------------------------------------------------------------------------
 */

static int bad_flags(uint64_t word, uint64_t at, uint32_t mask, bool follows, struct gw_error *err)
{
    return gw_fail(err, -EPROTO, GW_BLAME_PEER,
                   "RAM record at byte %" PRIu64 ": flags 0x%03" PRIx64 " (%s) are not known here%s", at, word & mask,
                   gw_wire_ram_flag(word & mask), follows ? ", where the machine has been switched to postcopy" : "");
}

/* Finds the block and page that a record names, and checks them. */
static int place(struct get *g, struct gw_reader *r, uint64_t word, uint64_t at, uint64_t *ret_page,
                 struct gw_error *err)
{
    uint64_t offset = word & ~(uint64_t)(g->ram->page_bytes - 1);

    if (!(word & GW_RAMF_CONTINUE)) {
        char name[256];
        struct gw_ram_block *b;
        int e = gw_get_str8(r, name, err);

        if (e < 0)
            return e;
        b = gw_ram_listed_find(&g->listed, g->ram, name);
        if (!b)
            return gw_fail(err, -EPROTO, GW_BLAME_PEER, "RAM record at byte %" PRIu64 ": no RAM block is called %s", at,
                           name);
        g->last = b;
    }
    if (!g->last)
        return gw_fail(err, -EPROTO, GW_BLAME_PEER,
                       "RAM record at byte %" PRIu64 " continues a block, but none was named yet", at);
    if (offset >= g->last->used_bytes)
        return gw_fail(err, -EPROTO, GW_BLAME_PEER,
                       "RAM record at byte %" PRIu64 ": offset 0x%" PRIx64 " is beyond RAM block %s (0x%" PRIx64
                       " bytes)",
                       at, offset, g->last->name, g->last->used_bytes);
    *ret_page = offset >> g->ram->page_bits;
    return 0;
}

static int plain_record(struct get *g, struct gw_reader *r, uint64_t page, struct gw_error *err)
{
    uint8_t *dst = g->store->where(g->store, g->last, page, GW_STORE_OVERWRITE);
    uint64_t next;
    bool follows = g->guesses && !g->beside && g->run && successor(g, g->next, &next) && next == page;
    int e;

    g->next = page + 1;
    /* If no prediction follows, the next header can be read together with this body. */
    r->readahead = g->beside ? READAHEAD_CODED : g->guesses && successor(g, page + 1, &next) ? 0 : WORD;
    e = gw_reader_direct_ahead(r, dst, g->ram->page_bytes, err);
    r->readahead = g->beside ? READAHEAD_CODED : 0;
    if (e < 0)
        return e;
    g->run = follows ? g->run + 1 : 1;
    count(g, GW_FORM_PLAIN, 1);
    return g->store->place(g->store, g->last, page, err);
}

static int zero_record(struct get *g, struct gw_reader *r, uint64_t page, uint64_t at, struct gw_error *err)
{
    uint8_t fill;
    int e = gw_get_u8(r, &fill, err);

    if (e < 0)
        return e;
    if (fill)
        return gw_fail(err, -EPROTO, GW_BLAME_PEER, "zero page at byte %" PRIu64 " has the fill value %u", at, fill);
    g->run = 0;
    count(g, GW_FORM_ZERO, 1);
    r->readahead = READAHEAD_ZERO;
    return g->store->zero(g->store, g->last, page, err);
}

static int decode(struct get *g, struct gw_codec *codec, uint64_t page, uint64_t at, const uint8_t *coded, uint32_t bytes,
                  struct gw_error *err)
{
    struct gw_store *store = g->store;
    int e;

    if (codec->decode_later) {
        g->beside = codec;
        return codec->decode_later(codec, store, g->last, page, at, coded, bytes,
                                   store->where(store, g->last, page, GW_STORE_OVERWRITE), err);
    }
    e = codec->decode(codec, g->last, page, coded, bytes, store->where(store, g->last, page, GW_STORE_MODIFY), err);
    if (e >= 0)
        return store->place(store, g->last, page, err);
    gw_context(err, "XBZRLE record at byte %" PRIu64 ": page 0x%" PRIx64 " of RAM block %s", at,
               page << g->ram->page_bits, g->last->name);
    return e;
}

/* A record with an encoded page: the fields before the encoded bytes contain their length. */
static int coded_record(struct get *g, struct gw_reader *r, enum gw_form form, uint64_t word, uint64_t page, uint64_t at,
                        struct gw_error *err)
{
    uint32_t kind = form == GW_FORM_XBZRLE ? GW_RAMF_XBZRLE : GW_RAMF_COMPRESS, bytes;
    const struct gw_ram_record record = {.at = at, .word = word, .kind = kind};
    const uint8_t *coded;
    int e = gw_ram_coded_get(&r->in, &record, g->ram->page_bytes, &bytes, err);

    if (e >= 0)
        e = gw_reader_need(r, bytes, &coded, err);
    if (e >= 0)
        e = decode(g, g->layout.decoder[form], page, at, coded, bytes, err);
    if (e < 0)
        return e;
    gw_reader_skip(r, bytes);
    if (form == GW_FORM_DEFLATE)
        r->readahead = READAHEAD_CODED;
    g->run = 0;
    count(g, form, 1);
    return 0;
}

/* The form that the flags of a record name; GW_FORM_OPEN: unknown. */
static enum gw_form form_of(const struct get *g, uint64_t flags)
{
    switch (flags) {
    case GW_RAMF_PAGE:
        return GW_FORM_PLAIN;
    case GW_RAMF_ZERO:
        return GW_FORM_ZERO;
    case GW_RAMF_XBZRLE:
        return g->layout.decoder[GW_FORM_XBZRLE] && !g->layout.follows ? GW_FORM_XBZRLE : GW_FORM_OPEN;
    case GW_RAMF_COMPRESS:
        return g->layout.decoder[GW_FORM_DEFLATE] && !g->layout.follows ? GW_FORM_DEFLATE : GW_FORM_OPEN;
    default:
        return GW_FORM_OPEN;
    }
}

enum { END = 1, FLUSH = 2 }; /* marks */

/* Reads one record. > 0: it was this mark. */
static int record(struct get *g, struct gw_reader *r, struct gw_error *err)
{
    uint64_t word, page, at = gw_reader_offset(r), mask = g->ram->page_bytes - 1;
    enum gw_form form;
    int e = gw_get_u64(r, &word, err);

    if (e < 0)
        return e;
    if (word == GW_RAMF_EOS)
        return END;
    if (word == GW_RAMF_MULTIFD_FLUSH)
        return FLUSH;
    if (word == GW_RAMF_HOOK && g->layout.hook)
        return g->layout.hook->record(g->layout.hook, r, g->store, err);
    form = form_of(g, word & mask & ~(uint64_t)GW_RAMF_CONTINUE);
    if (form == GW_FORM_OPEN)
        return bad_flags(word, at, (uint32_t)mask, g->layout.follows, err);
    e = place(g, r, word, at, &page, err);
    if (e >= 0 && g->beside) /* an earlier record of this page is placed first */
        e = g->beside->await(g->beside, g->last, page, err);
    if (e < 0)
        return e;
    if (g->layout.touched) /* predictions are only made after a record */
        atomic_store_explicit(g->layout.touched, true, memory_order_relaxed);
    return form == GW_FORM_PLAIN  ? plain_record(g, r, page, err)
           : form == GW_FORM_ZERO ? zero_record(g, r, page, at, err)
                                  : coded_record(g, r, form, word, page, at, err);
}

static int get(struct gw_layout_in *layout, struct gw_reader *r, struct gw_store *store, struct gw_error *err)
{
    struct get *g = GW_CONTAINER(layout, struct get, layout);
    size_t old_readahead = r->readahead;
    int e;

    g->store = store;
    g->guesses = g->may_guess && store->open && !layout->follows;
    r->readahead = 0;
    for (;;) {
        e = guess(g, r, err);
        if (e > 0)
            continue;
        if (e >= 0)
            e = record(g, r, err);
        if (e)
            break;
    }
    if (g->beside) { /* also after a failure, since the memory may be freed soon */
        int later = g->beside->await(g->beside, NULL, 0, e < 0 ? NULL : err);

        g->beside = NULL;
        e = e < 0 ? e : later < 0 ? later : e;
    }
    r->readahead = old_readahead;
    return e < 0 ? e : e == FLUSH;
}

static int add(struct gw_layout_in *layout, struct gw_ram_block *b, struct gw_error *err)
{
    return gw_ram_listed_add(&GW_CONTAINER(layout, struct get, layout)->listed, b, err);
}

static void broke(struct gw_layout_in *layout)
{
    struct get *g = GW_CONTAINER(layout, struct get, layout);

    g->last = NULL;
    g->run = 0;
}

static void reset(struct gw_layout_in *layout)
{
    struct get *g = GW_CONTAINER(layout, struct get, layout);

    gw_ram_listed_clear(&g->listed);
    g->last = NULL;
    g->layout.follows = false;
    g->present = NULL;
    g->run = 0;
    g->guess = GUESS_MIN;
    g->reach = GW_IOV_MAX;
}

static struct gw_layout_in *layout_free(struct gw_layout_in *layout)
{
    struct get *g = GW_CONTAINER(layout, struct get, layout);

    for (unsigned i = 0; i < GW_FORM_COUNT; i++)
        if (layout->decoder[i])
            layout->decoder[i]->free(layout->decoder[i]);
    if (layout->hook)
        layout->hook->free(layout->hook);
    gw_ram_listed_clear(&g->listed);
    free(g->slot);
    free(g->heads);
    free(g->iov);
    free(g);
    return NULL;
}

void gw_layout_stream_guesses(const struct gw_layout_in *layout, uint64_t *ret_guessed, uint64_t *ret_missed)
{
    const struct get *g = GW_CONTAINER(layout, const struct get, layout);

    *ret_guessed = g->guessed;
    *ret_missed = g->missed;
}

int gw_layout_stream_in_new(const struct gw_ram *ram, bool guess, struct gw_layout_in **ret, struct gw_error *err)
{
    struct get *g = calloc(1, sizeof *g);

    if (!g)
        return gw_nomem(err, "RAM record reader");
    *g = (struct get){.layout = {.add = add, .get = get, .broke = broke, .reset = reset, .free = layout_free},
                      .ram = ram,
                      .may_guess = guess,
                      .guess = GUESS_MIN,
                      .reach = GW_IOV_MAX,
                      .slot = calloc(GUESS_MAX, sizeof *g->slot),
                      .heads = calloc(GUESS_MAX, sizeof *g->heads),
                      .iov = calloc(GUESS_MAX * 2, sizeof *g->iov)};
    if (!g->slot || !g->heads || !g->iov) {
        layout_free(&g->layout);
        return gw_nomem(err, "RAM record reader");
    }
    *ret = &g->layout;
    return 0;
}
