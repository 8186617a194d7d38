/* SPDX-License-Identifier: MIT */
#include "ram/tracker/marks.h"

#include "ram/tracker/tracker.h"

#define CHUNK_WORDS (GW_CHUNK_PAGES / 64)

struct marks_block {
    uint64_t pages;   /* capacity in pages: for max_bytes, so that a resize between sessions changes nothing */
    uint64_t *map;    /* atomic words */
    uint64_t *chunks; /* atomic words */
};

/* A table is never changed after it was published, only replaced by a larger one; the old one is kept until close, as
 * other threads may still use it. */
struct gw_marks_table {
    struct gw_marks_table *older;
    unsigned count, owned_from; /* blocks before owned_from belong to an older table */
    struct marks_block block[];
};

static uint64_t chunks_of(uint64_t pages)
{
    return gw_div_up(pages, GW_CHUNK_PAGES);
}

static void table_free(struct gw_marks_table *t)
{
    for (unsigned i = t->owned_from; i < t->count; i++) {
        gw_bitmap_free(t->block[i].map, t->block[i].pages);
        gw_bitmap_free(t->block[i].chunks, chunks_of(t->block[i].pages));
    }
    free(t);
}

static void forget(struct marks_block *k)
{
    for (size_t i = 0; i < gw_bitmap_words(chunks_of(k->pages)); i++) {
        uint64_t some = __atomic_load_n(&k->chunks[i], __ATOMIC_SEQ_CST) ? gw_bitmap_take_word_atomic(k->chunks, i) : 0;

        for (; some; some &= some - 1) {
            size_t w = (i * 64 + (size_t)__builtin_ctzll(some)) * CHUNK_WORDS;

            for (size_t end = GW_MIN(w + CHUNK_WORDS, gw_bitmap_words(k->pages)); w < end; w++)
                gw_bitmap_take_word_atomic(k->map, w);
        }
    }
}

/* Number of the first blocks that the table has room for: after the removal of a block, those behind it use the entry
 * of another. */
static unsigned fitting(const struct gw_marks_table *t, const struct gw_ram *ram)
{
    unsigned n = 0;

    while (n < t->count && (n >= ram->count || t->block[n].pages >= ram->blocks[n]->max_bytes >> ram->page_bits))
        n++;
    return n;
}

int gw_marks_open(struct gw_marks *m, struct gw_ram *ram, struct gw_error *err)
{
    struct gw_marks_table *old = m->table, *t = old;
    unsigned have = old ? fitting(old, ram) : 0;

    if (have < ram->count || !old) {
        t = calloc(1, sizeof *t + ram->count * sizeof t->block[0]);
        if (!t)
            return gw_nomem(err, "dirty marks");
        t->older = old;
        t->owned_from = have;
        t->count = ram->count;
        if (have)
            memcpy(t->block, old->block, have * sizeof t->block[0]);
        for (unsigned i = have; i < t->count; i++) {
            uint64_t pages = ram->blocks[i]->max_bytes >> ram->page_bits;

            t->block[i].pages = pages;
            t->block[i].map = gw_bitmap_new(pages);
            t->block[i].chunks = gw_bitmap_new(chunks_of(pages));
            if (!t->block[i].map || !t->block[i].chunks) {
                table_free(t);
                return gw_nomem(err, "dirty marks");
            }
        }
    }
    __atomic_store_n(&m->table, t, __ATOMIC_SEQ_CST);
    __atomic_store_n(&m->open, true, __ATOMIC_SEQ_CST);
    /* After opening: an earlier mark belongs to a page that the caller treats as dirty anyway. */
    for (unsigned i = 0; i < t->count; i++)
        forget(&t->block[i]);
    return 0;
}

uint64_t gw_marks_set(struct gw_marks *m, const struct gw_ram_block *b, uint64_t first, uint64_t pages)
{
    struct gw_marks_table *t;
    struct marks_block *k;
    uint64_t fresh = 0;

    /* The reported write must be visible before the read of `open`. */
    __sync_synchronize();
    t = __atomic_load_n(&m->table, __ATOMIC_SEQ_CST);
    if (!t || !__atomic_load_n(&m->open, __ATOMIC_SEQ_CST) || b->index >= t->count)
        return 0;
    k = &t->block[b->index];
    if (first >= k->pages)
        return 0;
    pages = GW_MIN(pages, k->pages - first);
    while (pages) {
        uint64_t bit = first % 64, n = GW_MIN(pages, 64 - bit), chunk = first / GW_CHUNK_PAGES;
        uint64_t mask = (n == 64 ? ~0ull : (1ull << n) - 1) << bit;

        /* Always an atomic read-modify-write, even if the bits are set: it is the barrier between the caller's write
         * and the reading of bits that were set before. The chunk's bit may be tested first, since this operation
         * orders it. */
        fresh += (uint64_t)__builtin_popcountll(mask & ~__atomic_fetch_or(&k->map[first / 64], mask, __ATOMIC_SEQ_CST));
        if (!(__atomic_load_n(&k->chunks[chunk / 64], __ATOMIC_SEQ_CST) >> (chunk % 64) & 1))
            gw_bitmap_set_atomic(k->chunks, chunk);
        first += n;
        pages -= n;
    }
    return fresh;
}

/* Takes the pages of a chunk whose bit was taken before. */
static uint64_t take_chunk(struct marks_block *k, struct gw_tracker *t, struct gw_ram_block *b, uint64_t chunk, bool unclean)
{
    uint64_t first = chunk * GW_CHUNK_PAGES, pages = GW_MIN(GW_CHUNK_PAGES, k->pages - first), taken[CHUNK_WORDS];

    for (size_t w = 0; w < gw_bitmap_words(pages); w++)
        taken[w] = gw_bitmap_take_word_atomic(k->map, first / 64 + w);
    return gw_tracker_found_map(t, b, first, pages, taken, unclean);
}

uint64_t gw_marks_take(struct gw_marks *m, struct gw_tracker *t, struct gw_ram_block *b)
{
    uint64_t found = 0;
    struct marks_block *k;

    if (!m->table || b->index >= m->table->count)
        return 0;
    k = &m->table->block[b->index];
    for (size_t i = 0; i < gw_bitmap_words(chunks_of(k->pages)); i++) {
        /* Reads first: an exchange would make memory resident that was never marked. */
        uint64_t some = __atomic_load_n(&k->chunks[i], __ATOMIC_SEQ_CST) ? gw_bitmap_take_word_atomic(k->chunks, i) : 0;

        for (; some; some &= some - 1)
            found += take_chunk(k, t, b, i * 64 + (size_t)__builtin_ctzll(some), true);
    }
    return found;
}

uint64_t gw_marks_take_chunks(struct gw_marks *m, struct gw_tracker *t, struct gw_ram_block *b, uint64_t first, uint64_t pages)
{
    uint64_t found = 0;
    struct marks_block *k;

    if (!m->table || b->index >= m->table->count)
        return 0;
    k = &m->table->block[b->index];
    for (uint64_t c = first / GW_CHUNK_PAGES; c < gw_div_up(GW_MIN(first + pages, k->pages), GW_CHUNK_PAGES); c++) {
        uint64_t bit = 1ull << (c % 64);

        if (__atomic_load_n(&k->chunks[c / 64], __ATOMIC_SEQ_CST) & bit &&
            __atomic_fetch_and(&k->chunks[c / 64], ~bit, __ATOMIC_SEQ_CST) & bit)
            found += take_chunk(k, t, b, c, false);
    }
    return found;
}

void gw_marks_shut(struct gw_marks *m)
{
    __atomic_store_n(&m->open, false, __ATOMIC_SEQ_CST);
    for (unsigned i = 0; m->table && i < m->table->count; i++)
        forget(&m->table->block[i]);
}

void gw_marks_close(struct gw_marks *m)
{
    while (m->table) {
        struct gw_marks_table *t = m->table;

        m->table = t->older;
        table_free(t);
    }
    m->open = false;
}
