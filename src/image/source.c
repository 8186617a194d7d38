/* SPDX-License-Identifier: MIT */
#include "image/source.h"

#include "image/pull.h"

struct image_source {
    struct gw_source source;
    struct gw_image *image;
    const struct gw_ram *ram;
    const unsigned *of_block;
    unsigned threads;

    struct gw_pull *pull;        /* NULL: no migration runs */
    struct gw_pull_chunk *chunk; /* of which `at` pages were given; it is held. NULL: the next one is still to be taken */
    unsigned at;
    unsigned block; /* the chunk's, in ram */
    _Atomic uint64_t due; /* pages */
};

static struct image_source *of(struct gw_source *source)
{
    return GW_CONTAINER(source, struct image_source, source);
}

/* Takes the next chunk. Returns 1, or 0: that was all. */
static int take(struct image_source *s, struct gw_error *err)
{
    struct gw_pull_chunk *c;
    int r = gw_pull_next(s->pull, &c, err);

    if (r <= 0)
        return r;
    gw_pull_hold(c);
    s->chunk = c;
    s->at = 0;
    while (s->of_block[s->block] != c->block) /* chunks come in the order of ram's blocks */
        s->block++;
    return 1;
}

static int next(struct gw_source *source, struct gw_batch *batch, unsigned max, struct gw_error *err)
{
    struct image_source *s = of(source);
    uint32_t bytes = s->ram->page_bytes;
    struct gw_pull_chunk *c;
    int r = s->chunk ? 1 : take(s, err);

    batch->count = 0;
    if (r <= 0)
        return r;
    c = s->chunk;
    batch->block = s->ram->blocks[s->block];
    for (; batch->count < GW_MIN(max, GW_BATCH_PAGES) && s->at < c->count; s->at++) {
        unsigned i = batch->count++;

        batch->page[i] = c->first + s->at;
        batch->form[i] = c->filled[s->at] ? GW_FORM_OPEN : GW_FORM_ZERO;
        batch->body[i] = (struct gw_body){c->data + (size_t)s->at * bytes, bytes};
    }
    batch->held = c;
    gw_pull_hold(c);
    atomic_fetch_sub(&s->due, batch->count);
    if (s->at == c->count) {
        gw_pull_put(s->pull, c);
        s->chunk = NULL;
    }
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
}

static void end(struct gw_source *source)
{
    struct image_source *s = of(source);

    if (s->chunk)
        gw_pull_put(s->pull, s->chunk);
    s->chunk = NULL;
    gw_pull_free(s->pull);
    s->pull = NULL;
}

static int begin(struct gw_source *source, const bool *goes, struct gw_error *err)
{
    struct image_source *s = of(source);
    struct gw_pull_range *ranges = calloc(s->ram->count + 1, sizeof *ranges);
    struct gw_pull_config config = {.ranges = ranges,
                                    .chunk_pages = GW_IMAGE_SOURCE_STRIPE,
                                    .threads = s->threads,
                                    .ahead = GW_IMAGE_SOURCE_AHEAD};
    int r;

    if (!ranges)
        return gw_nomem(err, "pages of an image");
    s->due = s->block = 0;
    for (unsigned i = 0; i < s->ram->count; i++) {
        if (!goes[i])
            continue;
        ranges[config.range_count++] = (struct gw_pull_range){s->of_block[i], 0, s->ram->blocks[i]->pages};
        s->due += s->ram->blocks[i]->pages;
    }
    r = gw_pull_new(s->image, &config, &s->pull, err);
    free(ranges);
    return r;
}

static struct gw_source *source_free(struct gw_source *source)
{
    end(source);
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
                                          .free = source_free},
                               .image = image,
                               .ram = ram,
                               .of_block = of_block,
                               .threads = threads};
    *ret = &s->source;
    return 0;
}
