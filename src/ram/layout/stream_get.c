/* SPDX-License-Identifier: MIT */
#include "ram/layout/stream.h"

#include "base/endian.h"
#include "channel/iov.h"
#include "wire/names.h"

#define WINDOW    ((uint64_t)GW_BATCH_PAGES)
#define GUESS_MIN 4u
#define GUESS_MAX GW_BATCH_PAGES
#define REACH_MIN 16u
/* Enough for a hundred zero records in a call, too little to drag page bodies through the buffer. */
#define READAHEAD_ZERO 1024u
#define WORD           8u

int gw_stream_get_init(struct gw_stream_get *g, const struct gw_ram *ram, struct gw_store *store, struct gw_error *err)
{
    *g = (struct gw_stream_get){.ram = ram, .store = store, .guess = GUESS_MIN, .reach = GW_IOV_MAX};
    g->slot = calloc(GUESS_MAX, sizeof *g->slot);
    g->heads = calloc(GUESS_MAX, sizeof *g->heads);
    g->iov = calloc(GUESS_MAX * 2, sizeof *g->iov);
    if (!g->slot || !g->heads || !g->iov) {
        gw_stream_get_close(g);
        return gw_nomem(err, "RAM record reader");
    }
    return 0;
}

void gw_stream_get_close(struct gw_stream_get *g)
{
    free(g->slot);
    free(g->heads);
    free(g->iov);
    g->slot = NULL;
    g->heads = NULL;
    g->iov = NULL;
}

/* The page that comes next if the sequence goes on; false when it cannot. */
static bool successor(const struct gw_stream_get *g, uint64_t from, uint64_t *ret_page)
{
    uint64_t end = GW_MIN(g->last->pages, (g->next + WINDOW - 1) & ~(WINDOW - 1));
    uint64_t page = g->store->open(g->store, g->last, from, end);

    *ret_page = page;
    return from < end && page < end;
}

/* ---- guesses ------------------------------------------------------------------------------------------------------
 */

static void slot_vectors(struct gw_stream_get *g, unsigned i)
{
    g->iov[i * 2] = (struct iovec){&g->heads[i], WORD};
    g->iov[i * 2 + 1] = (struct iovec){g->store->where(g->store, g->last, g->slot[i]), g->ram->page_bytes};
}

/* Chooses the pages of a guess; returns how many. */
static unsigned choose(struct gw_stream_get *g)
{
    uint64_t page, from = g->next, first = 0, count = 0;
    unsigned n = 0;

    for (; n < g->guess && successor(g, from, &page); from = page + 1) {
        g->slot[n] = page;
        slot_vectors(g, n++);
        if (count && page != first + count) {
            g->store->expect(g->store, g->last, first, count);
            count = 0;
        }
        if (!count++)
            first = page;
    }
    if (n >= 2)
        g->store->expect(g->store, g->last, first, count);
    return n;
}

static bool as_guessed(const struct gw_stream_get *g, unsigned i)
{
    return g->heads[i] == htobe64((g->slot[i] << g->ram->page_bits) | GW_RAMF_PAGE | GW_RAMF_CONTINUE);
}

/* What came from slot i on, `bytes` of it, is something else: back into the stream with it. */
static int missed(struct gw_stream_get *g, struct gw_reader *r, unsigned i, unsigned n, size_t bytes,
                  struct gw_error *err)
{
    size_t record = WORD + g->ram->page_bytes;
    unsigned dirty = (unsigned)gw_div_up(bytes - WORD, record);
    int e;

    slot_vectors(g, i); /* they may have been cut */
    e = gw_reader_unread(r, &g->iov[i * 2], (int)(n - i) * 2, bytes, err);
    for (unsigned k = i; k < i + dirty; k++)
        g->store->unguess(g->store, g->last, g->slot[k]);
    g->missed += dirty;
    g->guess = GW_MAX(i, GUESS_MIN);
    g->run = 0;
    return e;
}

/* Reads until the records read are whole or wrong. */
static int read_guess(struct gw_stream_get *g, struct gw_reader *r, unsigned n, unsigned *ret_hits,
                      struct gw_error *err)
{
    size_t record = WORD + g->ram->page_bytes, have = 0; /* bytes of slot `hits` and of what is behind it */
    unsigned hits = 0, at = 0;

    do {
        unsigned vectors = GW_MIN(n * 2 - at, g->reach);
        uint64_t asked = gw_iov_bytes(&g->iov[at], (int)vectors);
        ssize_t got = gw_reader_scatter(r, &g->iov[at], (int)vectors, err);

        if (got < 0)
            return (int)got;
        g->reach = (uint64_t)got == asked ? GW_MIN(g->reach * 2, GW_IOV_MAX)
                                          : GW_MAX((unsigned)((size_t)got / record + 2) * 4, REACH_MIN);
        for (have += (size_t)got; have >= record && as_guessed(g, hits); have -= record, hits++)
            g->store->done(g->store, g->last, g->slot[hits]);
        *ret_hits = hits;
        if (have >= WORD && !as_guessed(g, hits))
            return missed(g, r, hits, n, have, err);
        /* A part of a record; its rest comes first in the next read. */
        at = hits * 2;
        if (have >= WORD) {
            at++;
            g->iov[at].iov_base = (uint8_t *)g->store->where(g->store, g->last, g->slot[hits]) + (have - WORD);
            g->iov[at].iov_len = record - have;
        } else if (have) {
            g->iov[at] = (struct iovec){(uint8_t *)&g->heads[hits] + have, WORD - have};
        }
    } while (have);
    if (hits == n)
        g->guess = GW_MIN(g->guess * 2, GUESS_MAX);
    return 0;
}

/* Reads ahead into the places where the next pages would go. 1: something was read; 0: no guess is possible here. */
static int guess(struct gw_stream_get *g, struct gw_reader *r, struct gw_error *err)
{
    unsigned n, hits = 0;
    int e;

    if (g->run < 2 || gw_reader_buffered(r) || !r->channel)
        return 0;
    n = choose(g);
    if (n < 2)
        return 0;
    e = read_guess(g, r, n, &hits, err);
    g->guessed += hits;
    g->plain += hits;
    if (hits)
        g->next = g->slot[hits - 1] + 1;
    return e < 0 ? e : 1;
}

/* ---- records ------------------------------------------------------------------------------------------------------
 */

static int bad_flags(uint64_t word, uint64_t at, uint32_t mask, struct gw_error *err)
{
    return gw_fail(err, -EPROTO, GW_BLAME_PEER,
                   "RAM record at byte %" PRIu64 ": flags 0x%03" PRIx64 " (%s) are not known here", at, word & mask,
                   gw_wire_ram_flag(word & mask));
}

/* The block and page that a record names, checked. */
static int place(struct gw_stream_get *g, struct gw_reader *r, uint64_t word, uint64_t at, uint64_t *ret_page,
                 struct gw_error *err)
{
    uint64_t offset = word & ~(uint64_t)(g->ram->page_bytes - 1);

    if (!(word & GW_RAMF_CONTINUE)) {
        char name[256];
        struct gw_ram_block *b;
        int e = gw_get_str8(r, name, err);

        if (e < 0)
            return e;
        b = gw_ram_find(g->ram, name);
        if (!b || !b->received)
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

static int plain_record(struct gw_stream_get *g, struct gw_reader *r, uint64_t page, struct gw_error *err)
{
    uint64_t next;
    bool follows = g->run && successor(g, g->next, &next) && next == page;
    int e;

    g->next = page + 1;
    /* Where no guess will be made the next header can come with this body. */
    r->readahead = successor(g, page + 1, &next) ? 0 : WORD;
    e = gw_reader_direct_ahead(r, g->store->where(g->store, g->last, page), g->ram->page_bytes, err);
    r->readahead = 0;
    if (e < 0)
        return e;
    g->store->done(g->store, g->last, page);
    g->run = follows ? g->run + 1 : 1;
    g->plain++;
    return 0;
}

static int zero_record(struct gw_stream_get *g, struct gw_reader *r, uint64_t page, uint64_t at, struct gw_error *err)
{
    uint8_t fill;
    int e = gw_get_u8(r, &fill, err);

    if (e < 0)
        return e;
    if (fill)
        return gw_fail(err, -EPROTO, GW_BLAME_PEER, "zero page at byte %" PRIu64 " has the fill value %u", at, fill);
    g->store->zero(g->store, g->last, page);
    g->run = 0;
    g->zero++;
    r->readahead = READAHEAD_ZERO;
    return 0;
}

int gw_stream_get_records(struct gw_stream_get *g, struct gw_reader *r, struct gw_error *err)
{
    uint32_t mask = g->ram->page_bytes - 1;
    size_t old_readahead = r->readahead;
    int e;

    r->readahead = 0;
    for (;;) {
        uint64_t word, page, at;

        e = guess(g, r, err);
        if (e < 0)
            break;
        if (e)
            continue;
        at = gw_reader_offset(r);
        e = gw_get_u64(r, &word, err);
        if (e < 0)
            break;
        if ((word & mask) == GW_RAMF_EOS) {
            if (word & ~(uint64_t)mask)
                e = bad_flags(word, at, mask, err);
            break;
        }
        if ((word & mask & ~(uint64_t)GW_RAMF_CONTINUE) != GW_RAMF_PAGE &&
            (word & mask & ~(uint64_t)GW_RAMF_CONTINUE) != GW_RAMF_ZERO) {
            e = bad_flags(word, at, mask, err);
            break;
        }
        e = place(g, r, word, at, &page, err);
        if (e < 0)
            break;
        if (g->touched) /* guesses come only behind records */
            atomic_store_explicit(g->touched, true, memory_order_relaxed);
        e = word & GW_RAMF_PAGE ? plain_record(g, r, page, err) : zero_record(g, r, page, at, err);
        if (e < 0)
            break;
    }
    r->readahead = old_readahead;
    return e;
}
