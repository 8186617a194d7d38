/* SPDX-License-Identifier: MIT */
#include "ram/source/dirty.h"

#include "ram/page/holes.h"

struct dirty {
    struct gw_source source;
    struct gw_ram *ram;
    struct gw_tracker *tracker;
    bool wants_holes;
    struct gw_holes *holes; /* NULL: off, or the kernel cannot tell */
    unsigned block;         /* where the search continues */
    uint64_t page;
};

static struct dirty *of(struct gw_source *source)
{
    return GW_CONTAINER(source, struct dirty, source);
}

/* Finds the first dirty page at or after the position; false at the end of the pass. Under ram->lock. */
static bool find(struct dirty *s)
{
    for (; s->block < s->ram->count; s->block++, s->page = 0) {
        const struct gw_ram_block *b = s->ram->blocks[s->block];

        if (!b->dirty)
            continue;
        s->page = gw_bitmap_next_set(b->dirty, b->pages, s->page);
        if (s->page < b->pages)
            return true;
    }
    return false;
}

static void put_page(const struct dirty *s, struct gw_batch *batch, uint64_t page)
{
    unsigned i = batch->count++;

    batch->page[i] = page;
    batch->form[i] = GW_FORM_OPEN;
    batch->body[i] = (struct gw_body){batch->block->host + (page << s->ram->page_bits), s->ram->page_bytes};
}

/* Takes dirty pages of the current chunk, which is clean. Under ram->lock. */
static void gather(struct dirty *s, struct gw_batch *batch, unsigned max)
{
    struct gw_ram_block *b = s->ram->blocks[s->block];
    uint64_t end = GW_MIN(b->pages, (s->page / GW_CHUNK_PAGES + 1) * GW_CHUNK_PAGES);

    batch->block = b;
    /* A hint may have cleared the page's bit while the chunk was being cleaned. */
    s->page = gw_bitmap_next_set(b->dirty, end, s->page);
    while (batch->count < max && s->page < end) {
        gw_bitmap_clear(b->dirty, s->page);
        put_page(s, batch, s->page);
        s->page = gw_bitmap_next_set(b->dirty, end, s->page + 1);
    }
    s->ram->dirty_pages -= batch->count;
}

/* Looks for holes once for the whole batch if its pages are close together, as in a first pass; pages that became dirty
 * one by one are no holes. */
static void find_holes(struct dirty *s, struct gw_batch *batch)
{
    uint64_t first = batch->page[0], span = batch->page[batch->count - 1] - first + 1;
    uint64_t map[GW_BATCH_PAGES * 2 / 64];

    if (span > GW_BATCH_PAGES * 2 || span > batch->count * 2ull ||
        !gw_holes_find(s->holes, batch->block, first, span, map))
        return;
    for (unsigned i = 0; i < batch->count; i++)
        if (gw_bitmap_test(map, batch->page[i] - first))
            batch->form[i] = GW_FORM_ZERO;
}

static int next(struct gw_source *source, struct gw_batch *batch, unsigned max, struct gw_error *err)
{
    struct dirty *s = of(source);

    batch->count = 0;
    while (!batch->count) {
        uint64_t fresh;
        bool found;
        int r;

        pthread_mutex_lock(&s->ram->lock);
        found = find(s);
        pthread_mutex_unlock(&s->ram->lock);
        if (!found)
            return 0;
        r = gw_tracker_clean(s->tracker, s->ram->blocks[s->block], s->page, &fresh, err);
        if (r < 0)
            return r;
        pthread_mutex_lock(&s->ram->lock);
        gather(s, batch, GW_MIN(max, GW_BATCH_PAGES));
        pthread_mutex_unlock(&s->ram->lock);
    }
    if (s->holes)
        find_holes(s, batch);
    return 0;
}

static bool due(struct gw_source *source, const struct gw_ram_block *b, uint64_t from, uint64_t *ret_first, uint64_t *ret_end)
{
    struct dirty *s = of(source);
    bool found = false;

    pthread_mutex_lock(&s->ram->lock);
    if (b->dirty) {
        *ret_first = gw_bitmap_next_set(b->dirty, b->pages, from);
        found = *ret_first < b->pages;
        *ret_end = found ? gw_bitmap_next_clear(b->dirty, b->pages, *ret_first) : b->pages;
    }
    pthread_mutex_unlock(&s->ram->lock);
    return found;
}

static void owe(struct gw_source *source, struct gw_ram_block *b, uint64_t first, uint64_t count)
{
    struct dirty *s = of(source);

    pthread_mutex_lock(&s->ram->lock);
    s->ram->dirty_pages += gw_bitmap_set_range_count(b->dirty, first, count);
    pthread_mutex_unlock(&s->ram->lock);
}

/* Cleans the chunks of these pages. */
static int clean(struct dirty *s, struct gw_ram_block *b, uint64_t first, uint64_t count, struct gw_error *err)
{
    uint64_t fresh;
    int r = 0;

    for (uint64_t p = first; r >= 0 && p < first + count; p = (p / GW_CHUNK_PAGES + 1) * GW_CHUNK_PAGES)
        r = gw_tracker_clean(s->tracker, b, p, &fresh, err);
    return r;
}

/* A chunk that is cleaned for the first time may report everything that was ever written in it: so clean it before
 * clearing bits. */
static int settle(struct gw_source *source, struct gw_ram_block *b, uint64_t first, uint64_t count, struct gw_error *err)
{
    struct dirty *s = of(source);
    int r = clean(s, b, first, count, err);

    if (r < 0)
        return r;
    pthread_mutex_lock(&s->ram->lock);
    s->ram->dirty_pages -= gw_bitmap_count_range(b->dirty, first, count);
    gw_bitmap_clear_range(b->dirty, first, count);
    pthread_mutex_unlock(&s->ram->lock);
    return 0;
}

static int take(struct gw_source *source, struct gw_batch *batch, struct gw_ram_block *b, uint64_t first, uint64_t count,
                struct gw_error *err)
{
    struct dirty *s = of(source);
    int r;

    batch->count = 0;
    batch->block = b;
    if (!b->dirty)
        return 0;
    r = clean(s, b, first, count, err);
    if (r < 0)
        return r;
    pthread_mutex_lock(&s->ram->lock);
    for (uint64_t p = first; p < first + count && batch->count < GW_BATCH_PAGES; p++)
        if (gw_bitmap_test_clear(b->dirty, p))
            put_page(s, batch, p);
    s->ram->dirty_pages -= batch->count;
    pthread_mutex_unlock(&s->ram->lock);
    return 0;
}

static int sync_dirty(struct gw_source *source, uint64_t *ret_fresh, struct gw_error *err)
{
    struct dirty *s = of(source);
    int r = gw_tracker_sync(s->tracker, ret_fresh, err);

    s->block = 0;
    s->page = 0;
    return r;
}

static uint64_t pending(struct gw_source *source)
{
    struct dirty *s = of(source);
    uint64_t n;

    pthread_mutex_lock(&s->ram->lock);
    n = s->ram->dirty_pages;
    pthread_mutex_unlock(&s->ram->lock);
    return n;
}

static void end(struct gw_source *source)
{
    struct dirty *s = of(source);

    gw_tracker_stop(s->tracker);
    s->holes = gw_holes_free(s->holes);
}

static int begin(struct gw_source *source, const bool *goes, struct gw_error *err)
{
    struct dirty *s = of(source);
    int r = s->wants_holes ? gw_holes_new(s->ram, &s->holes, err) : 0;

    if (r >= 0)
        r = gw_tracker_start(s->tracker, goes, err);
    if (r < 0)
        s->holes = gw_holes_free(s->holes);
    s->block = 0;
    s->page = 0;
    return r;
}

static struct gw_source *source_free(struct gw_source *source)
{
    gw_holes_free(of(source)->holes);
    free(of(source));
    return NULL;
}

int gw_source_dirty_new(struct gw_ram *ram, struct gw_tracker *tracker, bool holes, struct gw_source **ret,
                        struct gw_error *err)
{
    struct dirty *s = calloc(1, sizeof *s);

    if (!s)
        return gw_nomem(err, "source of dirty pages");
    *s = (struct dirty){
        .source =
            {.begin = begin, .next = next, .sync = sync_dirty, .pending = pending, .end = end, .free = source_free,
             .due = due, .owe = owe, .settle = settle, .take = take},
        .ram = ram,
        .tracker = tracker,
        .wants_holes = holes};
    *ret = &s->source;
    return 0;
}
