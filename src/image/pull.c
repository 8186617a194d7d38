/* SPDX-License-Identifier: MIT */
#include "image/pull.h"

#include <pthread.h>

#include "ram/page/zero.h"

#define THREADS_MAX 16u

struct slot {
    struct gw_pull_chunk chunk;
    bool ready;
    int r;
    struct gw_error err;
};

/* Chunk number n is in slot n % slots. Those in [taken, claimed) are being read or wait to be taken. */
struct gw_pull {
    struct gw_image *image;
    const struct gw_zero *zero; /* NULL: zeros that are read are not looked for */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct slot *slots;
    unsigned slot_count, thread_count;
    pthread_t threads[THREADS_MAX];
    uint64_t claimed, taken;
    unsigned block; /* of the next chunk to be claimed */
    uint64_t page;
    unsigned last_block;
    uint64_t last_end; /* of its pages */
    unsigned chunk_pages;
    bool stop, lent; /* lent: the owner has chunk number `taken` */
};

static int read_chunk(struct gw_pull *p, struct gw_pull_chunk *c, struct gw_error *err)
{
    uint32_t bytes = p->image->page_bytes;
    int r = gw_image_fetch(p->image, c->block, c->first, c->count, c->filled, c->data, err);

    for (unsigned i = 0; r >= 0 && p->zero && i < c->count; i++)
        c->filled[i] = c->filled[i] && !gw_zero_page(p->zero, c->data + (size_t)i * bytes, bytes);
    return r;
}

static uint64_t block_end(const struct gw_pull *p, unsigned block)
{
    return block == p->last_block ? p->last_end : p->image->blocks[block].pages;
}

/* False: there is nothing more to claim. */
static bool claim(struct gw_pull *p, struct slot **ret)
{
    struct slot *s;

    while (p->block <= p->last_block && p->page == block_end(p, p->block)) {
        p->block++;
        p->page = 0;
    }
    if (p->block > p->last_block)
        return false;
    s = &p->slots[p->claimed++ % p->slot_count];
    s->ready = false;
    s->chunk.block = p->block;
    s->chunk.first = p->page;
    s->chunk.count = (unsigned)GW_MIN(block_end(p, p->block) - p->page, p->chunk_pages);
    p->page += s->chunk.count;
    *ret = s;
    return true;
}

static void *reader(void *opaque)
{
    struct gw_pull *p = opaque;
    struct slot *s;

    pthread_mutex_lock(&p->lock);
    for (;;) {
        while (!p->stop && p->claimed - p->taken == p->slot_count)
            pthread_cond_wait(&p->changed, &p->lock);
        if (p->stop || !claim(p, &s))
            break;
        pthread_mutex_unlock(&p->lock);
        s->err = (struct gw_error)GW_ERROR_INIT;
        s->r = read_chunk(p, &s->chunk, &s->err);
        pthread_mutex_lock(&p->lock);
        s->ready = true;
        pthread_cond_broadcast(&p->changed);
    }
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

/* range: where it begins and ends, and how; takes none of it. */
static int new_pull(const struct gw_pull *range, unsigned threads, struct gw_pull **ret_pull, struct gw_error *err)
{
    struct gw_pull *p = calloc(1, sizeof *p);
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    int r = 0;

    if (!p)
        return gw_nomem(err, "reading ahead");
    *p = *range;
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->changed, NULL);
    threads = GW_MIN(threads ? threads : (unsigned)GW_MAX(processors, 1), THREADS_MAX);
    p->slot_count = threads + 2;
    p->slots = calloc(p->slot_count, sizeof *p->slots);
    for (unsigned i = 0; p->slots && i < p->slot_count; i++)
        if (!(p->slots[i].chunk.data = aligned_alloc(64, (size_t)p->chunk_pages * p->image->page_bytes)))
            r = -ENOMEM;
    if (!p->slots || r < 0) {
        gw_pull_free(p);
        return gw_nomem(err, "reading ahead");
    }
    for (; p->thread_count < threads && !r; p->thread_count += !r)
        r = pthread_create(&p->threads[p->thread_count], NULL, reader, p);
    if (!p->thread_count) {
        gw_pull_free(p);
        return gw_fail(err, -r, GW_BLAME_LOCAL, "starting a thread: %s", strerror(r));
    }
    *ret_pull = p;
    return 0;
}

int gw_pull_new(struct gw_image *image, unsigned threads, struct gw_pull **ret_pull, struct gw_error *err)
{
    unsigned last = GW_MAX(image->block_count, 1u) - 1;
    struct gw_pull range = {.image = image,
                            .zero = gw_zero_pick(),
                            .last_block = last,
                            .last_end = image->block_count ? image->blocks[last].pages : 0,
                            .chunk_pages = GW_PULL_PAGES};

    return new_pull(&range, threads, ret_pull, err);
}

int gw_pull_new_range(struct gw_image *image, unsigned block, uint64_t first, uint64_t count, unsigned chunk_pages,
                      struct gw_pull **ret_pull, struct gw_error *err)
{
    struct gw_pull range = {.image = image,
                            .block = block,
                            .page = first,
                            .last_block = block,
                            .last_end = first + count,
                            .chunk_pages = GW_MIN(chunk_pages, GW_PULL_PAGES)};

    return new_pull(&range, 0, ret_pull, err);
}

/* Whether a chunk that was not claimed yet is left. */
static bool more(const struct gw_pull *p)
{
    for (unsigned b = p->block; b <= p->last_block; b++)
        if (block_end(p, b) > (b == p->block ? p->page : 0))
            return true;
    return false;
}

int gw_pull_next(struct gw_pull *p, const struct gw_pull_chunk **ret_chunk, struct gw_error *err)
{
    struct slot *s;
    int r;

    pthread_mutex_lock(&p->lock);
    if (p->lent) {
        p->taken++;
        p->lent = false;
        pthread_cond_broadcast(&p->changed);
    }
    while (p->claimed == p->taken ? more(p) : !p->slots[p->taken % p->slot_count].ready)
        pthread_cond_wait(&p->changed, &p->lock);
    if (p->claimed == p->taken) {
        r = 0;
    } else {
        s = &p->slots[p->taken % p->slot_count];
        p->lent = true;
        *ret_chunk = &s->chunk;
        r = s->r < 0 ? s->r : 1;
        if (r < 0 && err)
            *err = s->err;
    }
    pthread_mutex_unlock(&p->lock);
    return r;
}

void gw_pull_free(struct gw_pull *p)
{
    if (!p)
        return;
    pthread_mutex_lock(&p->lock);
    p->stop = true;
    pthread_cond_broadcast(&p->changed);
    pthread_mutex_unlock(&p->lock);
    for (unsigned i = 0; i < p->thread_count; i++)
        pthread_join(p->threads[i], NULL);
    for (unsigned i = 0; p->slots && i < p->slot_count; i++)
        free(p->slots[i].chunk.data);
    free(p->slots);
    pthread_cond_destroy(&p->changed);
    pthread_mutex_destroy(&p->lock);
    free(p);
}
