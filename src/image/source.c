/* SPDX-License-Identifier: MIT */
#include "image/source.h"

#include <pthread.h>

#include "base/workers.h"
#include "ram/page/zero.h"

#define STRIPE      GW_IMAGE_SOURCE_STRIPE
#define THREADS_MAX 16u

/* A stripe of pages that was read. Batches share it. */
struct buffer {
    struct buffer *next;
    _Atomic unsigned users;
    uint8_t filled[STRIPE]; /* 0: the page is zeros, and its place in pages is undefined */
    uint8_t *pages;
};

struct image_source {
    struct gw_source source;
    struct gw_image *image;
    const struct gw_ram *ram;
    const unsigned *of_block;
    const struct gw_zero *zero;
    unsigned threads;

    uint64_t *before; /* number of the first stripe of each block that goes, and of the end */
    struct gw_workers *workers;
    struct buffer *slot[GW_IMAGE_SOURCE_AHEAD];
    _Atomic uint64_t due; /* pages */

    struct buffer *taken; /* stripe `number`, of which `at` pages were given; NULL: it is still to be taken */
    uint64_t number;
    unsigned at;

    pthread_mutex_t lock; /* what follows */
    struct buffer *idle;
};

static struct image_source *of(struct gw_source *source)
{
    return GW_CONTAINER(source, struct image_source, source);
}

/* ---- buffers ------------------------------------------------------------------------------------------------------
 */

static void free_buffer(struct buffer *b)
{
    if (b)
        free(b->pages);
    free(b);
}

/* An idle one, or a new one; NULL: there is no memory. */
static struct buffer *get_buffer(struct image_source *s)
{
    struct buffer *b;

    pthread_mutex_lock(&s->lock);
    b = s->idle;
    if (b)
        s->idle = b->next;
    pthread_mutex_unlock(&s->lock);
    if (!b) {
        b = calloc(1, sizeof *b);
        if (b && !(b->pages = aligned_alloc(4096, (size_t)STRIPE * s->ram->page_bytes))) {
            free(b);
            return NULL;
        }
    }
    if (b)
        b->users = 1;
    return b;
}

static void put_buffer(struct image_source *s, struct buffer *b)
{
    if (!b || atomic_fetch_sub(&b->users, 1) > 1)
        return;
    pthread_mutex_lock(&s->lock);
    b->next = s->idle;
    s->idle = b;
    pthread_mutex_unlock(&s->lock);
}

/* ---- reading ------------------------------------------------------------------------------------------------------
 */

/* The block that holds this stripe, and the stripe's first page in it. */
static unsigned locate(const struct image_source *s, uint64_t number, uint64_t *ret_first, unsigned *ret_count)
{
    unsigned block = 0;

    while (number >= s->before[block + 1])
        block++;
    *ret_first = (number - s->before[block]) * STRIPE;
    *ret_count = (unsigned)GW_MIN(s->ram->blocks[block]->pages - *ret_first, (uint64_t)STRIPE);
    return block;
}

static int work(void *opaque, unsigned thread, uint64_t n, unsigned slot, struct gw_error *err)
{
    struct image_source *s = opaque;
    struct buffer *b = s->slot[slot];
    uint32_t bytes = s->ram->page_bytes;
    uint64_t first;
    unsigned count, block = locate(s, n, &first, &count);
    int r = gw_image_fetch(s->image, s->of_block[block], first, count, b->filled, b->pages, err);

    for (unsigned i = 0; r >= 0 && i < count; i++)
        b->filled[i] = b->filled[i] && !gw_zero_page(s->zero, b->pages + (size_t)i * bytes, bytes);
    return r;
}

static const struct gw_workers_ops workers_ops = {.work = work};

/* The stripe whose turn it is. Its slot gets another buffer. */
static int take(struct image_source *s, struct gw_error *err)
{
    struct buffer **slot = &s->slot[s->number % GW_IMAGE_SOURCE_AHEAD], *other;
    int r = gw_workers_take(s->workers, s->number, err);

    if (r < 0)
        return r;
    other = get_buffer(s);
    if (!other)
        return gw_nomem(err, "pages of an image");
    s->taken = *slot;
    *slot = other;
    s->at = 0;
    gw_workers_release(s->workers, s->number + 1);
    return 0;
}

/* ---- the source ---------------------------------------------------------------------------------------------------
 */

static int next(struct gw_source *source, struct gw_batch *batch, unsigned max, struct gw_error *err)
{
    struct image_source *s = of(source);
    uint32_t bytes = s->ram->page_bytes;
    unsigned count, block;
    uint64_t first;
    int r;

    batch->count = 0;
    if (s->number == s->before[s->ram->count])
        return 0;
    r = s->taken ? 0 : take(s, err);
    if (r < 0)
        return r;
    block = locate(s, s->number, &first, &count);
    batch->block = s->ram->blocks[block];
    for (; batch->count < GW_MIN(max, GW_BATCH_PAGES) && s->at < count; s->at++) {
        unsigned i = batch->count++;

        batch->page[i] = first + s->at;
        batch->form[i] = s->taken->filled[s->at] ? GW_FORM_OPEN : GW_FORM_ZERO;
        batch->body[i] = (struct gw_body){s->taken->pages + (size_t)s->at * bytes, bytes};
    }
    batch->held = s->taken;
    atomic_fetch_add(&s->taken->users, 1);
    atomic_fetch_sub(&s->due, batch->count);
    if (s->at == count) {
        put_buffer(s, s->taken);
        s->taken = NULL;
        s->number++;
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
    put_buffer(of(source), batch->held);
}

static void end(struct gw_source *source)
{
    struct image_source *s = of(source);

    gw_workers_free(s->workers);
    s->workers = NULL;
    put_buffer(s, s->taken);
    s->taken = NULL;
    for (unsigned i = 0; i < GW_IMAGE_SOURCE_AHEAD; i++) {
        put_buffer(s, s->slot[i]);
        s->slot[i] = NULL;
    }
    for (struct buffer *b = s->idle, *after; b; b = after) {
        after = b->next;
        free_buffer(b);
    }
    s->idle = NULL;
}

static int begin(struct gw_source *source, const bool *goes, struct gw_error *err)
{
    struct image_source *s = of(source);
    int r = 0;

    s->due = s->number = s->at = 0;
    for (unsigned i = 0; i < s->ram->count; i++) {
        uint64_t pages = goes[i] ? s->ram->blocks[i]->pages : 0;

        s->before[i + 1] = s->before[i] + gw_div_up(pages, STRIPE);
        s->due += pages;
    }
    for (unsigned i = 0; r >= 0 && i < GW_IMAGE_SOURCE_AHEAD; i++)
        if (!(s->slot[i] = get_buffer(s)))
            r = gw_nomem(err, "pages of an image");
    if (r >= 0)
        r = gw_workers_new(&workers_ops, s, gw_workers_threads(s->threads, THREADS_MAX), GW_IMAGE_SOURCE_AHEAD,
                           &s->workers, err);
    if (r < 0) {
        end(source);
        return r;
    }
    gw_workers_submit(s->workers, s->before[s->ram->count]);
    return 0;
}

static struct gw_source *source_free(struct gw_source *source)
{
    struct image_source *s = of(source);

    end(source);
    pthread_mutex_destroy(&s->lock);
    free(s->before);
    free(s);
    return NULL;
}

int gw_source_image_new(struct gw_image *image, const struct gw_ram *ram, const unsigned *of_block, unsigned threads,
                        struct gw_source **ret, struct gw_error *err)
{
    struct image_source *s = calloc(1, sizeof *s);

    if (!s)
        return gw_nomem(err, "pages of an image");
    s->source = (struct gw_source){.begin = begin,
                                   .next = next,
                                   .sync = sync_nothing,
                                   .pending = pending,
                                   .sent = sent,
                                   .end = end,
                                   .free = source_free};
    s->image = image;
    s->ram = ram;
    s->of_block = of_block;
    s->threads = threads;
    s->zero = gw_zero_pick();
    pthread_mutex_init(&s->lock, NULL);
    s->before = calloc(ram->count + 1, sizeof *s->before);
    if (!s->before) {
        source_free(&s->source);
        return gw_nomem(err, "pages of an image");
    }
    *ret = &s->source;
    return 0;
}
