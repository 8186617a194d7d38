/* SPDX-License-Identifier: MIT */
#include "image/source.h"

#include <limits.h>
#include <pthread.h>

#include "image/expected.h"
#include "image/pull.h"

struct image_source {
    struct gw_source source;
    struct gw_image *image;
    const struct gw_ram *ram;
    const unsigned *of_block;
    unsigned threads;

    struct gw_pull *pull;        /* NULL: no migration runs, or expected pages are sent first */
    struct gw_pull_range *ranges; /* the ranges that pull reads, */
    unsigned range_count;
    struct gw_pull_range *wanted; /* the expected ranges, before begin */
    unsigned wanted_count;
    struct gw_expected *expected; /* NULL: no pages are expected */
    struct gw_pull_chunk *chunk; /* the chunk being sent, held; `at` of its pages were given. NULL: take the next one */
    unsigned at;
    unsigned block; /* the chunk's block number in ram */
    pthread_mutex_t lock; /* protects the contents of map: another thread may take requested pages */
    uint64_t **map; /* for each block of ram: bits of pages that are due; NULL: none of this block */
    _Atomic uint64_t due; /* number of due pages */
};

static struct image_source *of(struct gw_source *source)
{
    return GW_CONTAINER(source, struct image_source, source);
}

static int open_pull(struct image_source *s, struct gw_error *err)
{
    const struct gw_pull_config config = {.ranges = s->ranges,
                                          .range_count = s->range_count,
                                          .chunk_pages = GW_IMAGE_SOURCE_STRIPE,
                                          .threads = s->threads,
                                          .ahead = GW_IMAGE_SOURCE_AHEAD};

    return gw_pull_new(s->image, &config, &s->pull, err);
}

/* Takes the next chunk. Returns 1; 0: there are no more. */
static int take(struct image_source *s, struct gw_error *err)
{
    struct gw_pull_chunk *c;
    int r = s->pull ? 0 : open_pull(s, err);

    if (r >= 0)
        r = gw_pull_next(s->pull, &c, err);
    if (r <= 0)
        return r;
    gw_pull_hold(c);
    s->chunk = c;
    s->at = 0;
    while (s->of_block[s->block] != c->block) /* chunks come in the order of ram's blocks */
        s->block++;
    return 1;
}

/* Gives due pages of one chunk; 1: there may be more, 0: that was all. */
static int fill(struct image_source *s, struct gw_batch *batch, unsigned max, struct gw_error *err)
{
    uint32_t bytes = s->ram->page_bytes;
    struct gw_pull_chunk *c;
    int r = s->chunk ? 1 : take(s, err);

    if (r <= 0)
        return r;
    c = s->chunk;
    batch->block = s->ram->blocks[s->block];
    pthread_mutex_lock(&s->lock);
    for (; batch->count < GW_MIN(max, GW_BATCH_PAGES) && s->at < c->count; s->at++) {
        unsigned i = batch->count;

        if (!gw_bitmap_test_clear(s->map[s->block], c->first + s->at))
            continue; /* the page was requested and sent before */
        batch->count++;
        batch->page[i] = c->first + s->at;
        batch->form[i] = c->filled[s->at] ? GW_FORM_OPEN : GW_FORM_ZERO;
        batch->body[i] = (struct gw_body){c->data + (size_t)s->at * bytes, bytes};
    }
    pthread_mutex_unlock(&s->lock);
    if (batch->count) {
        batch->held = c;
        gw_pull_hold(c);
        atomic_fetch_sub(&s->due, batch->count);
    }
    if (s->at == c->count) {
        gw_pull_put(s->pull, c);
        s->chunk = NULL;
    }
    return 1;
}

static int next(struct gw_source *source, struct gw_batch *batch, unsigned max, struct gw_error *err)
{
    struct image_source *s = of(source);
    int r = 1;

    batch->count = 0;
    while (r > 0 && !batch->count)
        r = fill(s, batch, max, err);
    return GW_MIN(r, 0);
}

static bool due(struct gw_source *source, const struct gw_ram_block *b, uint64_t from, uint64_t *ret_first, uint64_t *ret_end)
{
    struct image_source *s = of(source);
    const uint64_t *map = s->map[b->index];

    pthread_mutex_lock(&s->lock);
    *ret_first = map ? gw_bitmap_next_set(map, b->pages, from) : b->pages;
    *ret_end = *ret_first < b->pages ? gw_bitmap_next_clear(map, b->pages, *ret_first) : b->pages;
    pthread_mutex_unlock(&s->lock);
    return *ret_first < b->pages;
}

static void owe(struct gw_source *source, struct gw_ram_block *b, uint64_t first, uint64_t count)
{
    struct image_source *s = of(source);

    pthread_mutex_lock(&s->lock);
    atomic_fetch_add(&s->due, gw_bitmap_set_range_count(s->map[b->index], first, count));
    pthread_mutex_unlock(&s->lock);
}

static int settle(struct gw_source *source, struct gw_ram_block *b, uint64_t first, uint64_t count, struct gw_error *err)
{
    struct image_source *s = of(source);

    pthread_mutex_lock(&s->lock);
    atomic_fetch_sub(&s->due, gw_bitmap_count_range(s->map[b->index], first, count));
    gw_bitmap_clear_range(s->map[b->index], first, count);
    pthread_mutex_unlock(&s->lock);
    return 0;
}

static bool any_due(struct image_source *s, const uint64_t *map, uint64_t first, uint64_t count)
{
    bool any;

    pthread_mutex_lock(&s->lock);
    any = map && gw_bitmap_next_set(map, first + count, first) < first + count;
    pthread_mutex_unlock(&s->lock);
    return any;
}

/* Gives background pages, in memory of the batch. */
static int take_some(struct image_source *s, struct gw_expected *from, struct gw_batch *batch, struct gw_ram_block *b, uint64_t first,
                     uint64_t count, struct gw_error *err)
{
    uint32_t bytes = s->ram->page_bytes;
    uint64_t *map = s->map[b->index];
    uint8_t kinds[GW_BATCH_PAGES], *data;
    int r;

    batch->count = 0;
    batch->block = b;
    if (!any_due(s, map, first, count))
        return 0;
    data = gw_batch_room(batch, 0, bytes);
    if (!data)
        return gw_nomem(err, "pages that were asked for");
    r = from ? gw_expected_fetch(from, s->of_block[b->index], first, count, kinds, data, err)
             : gw_image_fetch(s->image, s->of_block[b->index], first, count, kinds, data, err);
    if (r < 0)
        return r;
    pthread_mutex_lock(&s->lock);
    for (unsigned i = 0; i < count; i++) {
        unsigned n = batch->count;

        if (!gw_bitmap_test_clear(map, first + i))
            continue;
        batch->count++;
        batch->page[n] = first + i;
        batch->form[n] = kinds[i] ? GW_FORM_OPEN : GW_FORM_ZERO;
        batch->body[n] = (struct gw_body){data + (size_t)i * bytes, bytes};
    }
    pthread_mutex_unlock(&s->lock);
    atomic_fetch_sub(&s->due, batch->count);
    return 0;
}

/* Gives requested pages, which are not read ahead. */
static int take_asked(struct gw_source *source, struct gw_batch *batch, struct gw_ram_block *b, uint64_t first, uint64_t count,
                      struct gw_error *err)
{
    return take_some(of(source), NULL, batch, b, first, count, err);
}

static int take_expected(struct gw_source *source, struct gw_batch *batch, struct gw_ram_block *b, uint64_t first, uint64_t count,
                         struct gw_error *err)
{
    return take_some(of(source), of(source)->expected, batch, b, first, count, err);
}

/* Pages of a local file are read when they are taken: read-ahead would gain little. */
static int expect(struct gw_source *source, const struct gw_source_range *ranges, size_t count, struct gw_error *err)
{
    struct image_source *s = of(source);

    free(s->wanted);
    s->wanted = NULL;
    s->wanted_count = 0;
    if (!s->image->depth || !count || count > UINT_MAX)
        return 0;
    s->wanted = calloc(count, sizeof *s->wanted);
    if (!s->wanted)
        return gw_nomem(err, "working set");
    s->wanted_count = (unsigned)count;
    for (size_t i = 0; i < count; i++)
        s->wanted[i] = (struct gw_pull_range){s->of_block[ranges[i].block->index], ranges[i].first, ranges[i].count};
    return 0;
}

static int sync_nothing(struct gw_source *source, uint64_t *ret_fresh, struct gw_error *err)
{
    *ret_fresh = 0;
    return 0;
}

static uint64_t pending(struct gw_source *source)
{
    return of(source)->due;
}

static void sent(struct gw_source *source, struct gw_batch *batch)
{
    if (batch->held)
        gw_pull_put(of(source)->pull, batch->held);
    batch->held = NULL;
}

static void free_maps(struct image_source *s)
{
    for (unsigned i = 0; s->map && i < s->ram->count; i++)
        gw_bitmap_free(s->map[i], s->ram->blocks[i]->pages);
    free(s->map);
    s->map = NULL;
}

static void end(struct gw_source *source)
{
    struct image_source *s = of(source);

    if (s->chunk)
        gw_pull_put(s->pull, s->chunk);
    s->chunk = NULL;
    gw_pull_free(s->pull);
    s->pull = NULL;
    s->expected = gw_expected_free(s->expected);
    free(s->ranges);
    s->ranges = NULL;
    s->range_count = 0;
    free_maps(s);
}

static int begin(struct gw_source *source, const bool *goes, struct gw_error *err)
{
    struct image_source *s = of(source);
    free_maps(s);
    free(s->ranges);
    s->range_count = 0;
    s->ranges = calloc(s->ram->count + 1, sizeof *s->ranges);
    s->map = calloc(s->ram->count + 1, sizeof *s->map);
    if (!s->ranges || !s->map)
        return gw_nomem(err, "pages of an image");
    s->due = s->block = 0;
    for (unsigned i = 0; i < s->ram->count; i++) {
        if (!goes[i])
            continue;
        s->map[i] = gw_bitmap_new(s->ram->blocks[i]->pages);
        if (!s->map[i])
            return gw_nomem(err, "pages of an image");
        gw_bitmap_set_range(s->map[i], 0, s->ram->blocks[i]->pages);
        s->ranges[s->range_count++] = (struct gw_pull_range){s->of_block[i], 0, s->ram->blocks[i]->pages};
        s->due += s->ram->blocks[i]->pages;
    }
    /* Expected pages get the whole connection first. */
    return s->wanted ? gw_expected_new(s->image, s->wanted, s->wanted_count, &s->expected, err) : open_pull(s, err);
}

static struct gw_source *source_free(struct gw_source *source)
{
    end(source);
    free(of(source)->wanted);
    pthread_mutex_destroy(&of(source)->lock);
    free(of(source));
    return NULL;
}

int gw_source_image_new(struct gw_image *image, const struct gw_ram *ram, const unsigned *of_block, unsigned threads,
                        struct gw_source **ret, struct gw_error *err)
{
    struct image_source *s = calloc(1, sizeof *s);

    if (!s)
        return gw_nomem(err, "pages of an image");
    *s = (struct image_source){.source = {.begin = begin,
                                          .next = next,
                                          .sync = sync_nothing,
                                          .pending = pending,
                                          .sent = sent,
                                          .end = end,
                                          .free = source_free,
                                          .due = due,
                                          .owe = owe,
                                          .settle = settle,
                                          .take = take_asked,
                                          .expect = expect,
                                          .take_expected = take_expected},
                               .image = image,
                               .ram = ram,
                               .of_block = of_block,
                               .threads = threads};
    pthread_mutex_init(&s->lock, NULL);
    *ret = &s->source;
    return 0;
}
