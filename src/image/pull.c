/* SPDX-License-Identifier: MIT */
#include "image/pull.h"

#include <pthread.h>

#include "base/workers.h"
#include "ram/page/zero.h"

#define THREADS_MAX 16u

struct range {
    struct gw_pull_range pages;
    uint64_t begin; /* number of its first chunk */
};

struct gw_pull {
    struct gw_image *image;
    struct range *ranges; /* each has pages */
    size_t range_count, range_cap;
    unsigned chunk_pages;
    const struct gw_zero *zero; /* NULL: pages that were read are not compared with zeros */

    struct gw_workers *workers;
    struct gw_pull_chunk **slots; /* while a slot has a chunk's number in progress, the chunk belongs to the workers */
    unsigned slot_count;
    uint64_t next, total; /* chunks */

    pthread_mutex_t lock; /* protects the members below */
    struct gw_pull_chunk *idle;
};

/* ---- chunks -------------------------------------------------------------------------------------------------------- */

static void free_chunk(struct gw_pull_chunk *c)
{
    if (c)
        free(c->data);
    free(c);
}

/* An idle chunk, or a new one; NULL: no memory. */
static struct gw_pull_chunk *get_chunk(struct gw_pull *p)
{
    struct gw_pull_chunk *c;

    pthread_mutex_lock(&p->lock);
    c = p->idle;
    if (c)
        p->idle = c->next;
    pthread_mutex_unlock(&p->lock);
    if (!c) {
        c = calloc(1, sizeof *c);
        if (c && !(c->data = aligned_alloc(4096, gw_div_up((uint64_t)p->chunk_pages * p->image->page_bytes, 4096) * 4096))) {
            free(c);
            return NULL;
        }
    }
    if (c)
        c->users = 1;
    return c;
}

void gw_pull_hold(struct gw_pull_chunk *c)
{
    atomic_fetch_add(&c->users, 1);
}

void gw_pull_put(struct gw_pull *p, struct gw_pull_chunk *c)
{
    if (atomic_fetch_sub(&c->users, 1) > 1)
        return;
    pthread_mutex_lock(&p->lock);
    c->next = p->idle;
    p->idle = c;
    pthread_mutex_unlock(&p->lock);
}

/* ---- reading ------------------------------------------------------------------------------------------------------- */

/* Sets the pages of chunk number n. */
static void find(const struct gw_pull *p, uint64_t n, struct gw_pull_chunk *c)
{
    const struct range *r = p->ranges;

    for (size_t count = p->range_count; count > 1;) { /* the last range whose first chunk is n or lower */
        size_t half = count / 2;

        r += r[half].begin <= n ? half : 0;
        count = r[half].begin <= n ? count - half : half;
    }
    n = (n - r->begin) * p->chunk_pages;
    c->block = r->pages.block;
    c->first = r->pages.first + n;
    c->count = (unsigned)GW_MIN(r->pages.count - n, p->chunk_pages);
}

static int work(void *opaque, unsigned thread, uint64_t n, unsigned slot, struct gw_error *err)
{
    struct gw_pull *p = opaque;
    struct gw_pull_chunk *c = p->slots[slot];
    uint32_t bytes = p->image->page_bytes;
    int r;

    find(p, n, c);
    r = gw_image_fetch(p->image, c->block, c->first, c->count, c->filled, c->data, err);
    for (unsigned i = 0; r >= 0 && p->zero && i < c->count; i++)
        c->filled[i] = c->filled[i] && !gw_zero_page(p->zero, c->data + (size_t)i * bytes, bytes);
    return r;
}

static int add(struct gw_pull *p, unsigned block, uint64_t first, uint64_t count)
{
    if (!count)
        return 0;
    if (p->range_count == p->range_cap) {
        size_t cap = p->range_cap ? p->range_cap * 2 : 16;
        struct range *grown = reallocarray(p->ranges, cap, sizeof *grown);

        if (!grown)
            return -ENOMEM;
        p->ranges = grown;
        p->range_cap = cap;
    }
    p->ranges[p->range_count++] = (struct range){{block, first, count}, p->total};
    p->total += gw_div_up(count, p->chunk_pages);
    return 0;
}

/* Adds the range without groups that are known to be zeros. */
static int add_filled(struct gw_pull *p, const struct gw_pull_config *config, const struct gw_pull_range *r)
{
    uint64_t begin = r->first, end = r->first + r->count, next;
    int e = 0;

    for (uint64_t at = r->first; at < end && e >= 0; at = next) {
        uint64_t group = at / GW_IMAGE_GROUP;

        next = GW_MIN((group + 1) * GW_IMAGE_GROUP, end);
        if (!gw_image_empty(p->image, r->block, group) ||
            (config->beside && !gw_image_empty(config->beside, config->beside_block, group)))
            continue;
        e = add(p, r->block, begin, at - begin);
        begin = next;
    }
    return e < 0 ? e : add(p, r->block, begin, end - begin);
}

/* Copies the ranges, or makes those of the whole image. */
static int set_ranges(struct gw_pull *p, const struct gw_pull_config *config)
{
    unsigned count = config->ranges ? config->range_count : p->image->block_count;
    int r = 0;

    for (unsigned i = 0; i < count && r >= 0; i++) {
        const struct gw_pull_range all = {i, 0, config->ranges ? 0 : p->image->blocks[i].pages};
        const struct gw_pull_range *one = config->ranges ? &config->ranges[i] : &all;

        r = config->without_empty ? add_filled(p, config, one) : add(p, one->block, one->first, one->count);
    }
    return r;
}

int gw_pull_new(struct gw_image *image, const struct gw_pull_config *config, struct gw_pull **ret_pull,
                struct gw_error *err)
{
    static const struct gw_workers_ops ops = {.work = work};
    unsigned threads = gw_workers_threads(config->threads ? config->threads : image->depth, THREADS_MAX);
    struct gw_pull *p = calloc(1, sizeof *p);
    int r;

    if (!p)
        return gw_nomem(err, "pages of an image");
    pthread_mutex_init(&p->lock, NULL);
    p->image = image;
    p->zero = config->zeros_as_told ? NULL : gw_zero_pick();
    p->chunk_pages = config->chunk_pages ? GW_MIN(config->chunk_pages, GW_PULL_PAGES) : GW_PULL_PAGES;
    p->slot_count = config->ahead ? config->ahead : threads + 2;
    p->slots = calloc(p->slot_count, sizeof *p->slots);
    r = p->slots ? set_ranges(p, config) : -ENOMEM;
    for (unsigned i = 0; r >= 0 && i < p->slot_count; i++)
        if (!(p->slots[i] = get_chunk(p)))
            r = -ENOMEM;
    r = r < 0 ? gw_nomem(err, "pages of an image")
              : gw_workers_new(&ops, p, threads, p->slot_count, &p->workers, err);
    if (r < 0) {
        gw_pull_free(p);
        return r;
    }
    gw_workers_submit(p->workers, p->total);
    *ret_pull = p;
    return 0;
}

int gw_pull_next(struct gw_pull *p, struct gw_pull_chunk **ret_chunk, struct gw_error *err)
{
    struct gw_pull_chunk **last = &p->slots[(p->next + p->slot_count - 1) % p->slot_count], *other;
    int r;

    /* The slot of the last chunk is reused; a held chunk is replaced by another one. */
    if (p->next && atomic_load(&(*last)->users) > 1) {
        other = get_chunk(p);
        if (!other)
            return gw_nomem(err, "pages of an image");
        gw_pull_put(p, *last);
        *last = other;
    }
    if (p->next == p->total)
        return 0;
    r = gw_workers_take(p->workers, p->next, err);
    *ret_chunk = p->slots[p->next++ % p->slot_count];
    return r < 0 ? r : 1;
}

void gw_pull_free(struct gw_pull *p)
{
    if (!p)
        return;
    gw_workers_free(p->workers);
    for (unsigned i = 0; p->slots && i < p->slot_count; i++)
        free_chunk(p->slots[i]);
    for (struct gw_pull_chunk *c = p->idle, *after; c; c = after) {
        after = c->next;
        free_chunk(c);
    }
    free(p->slots);
    free(p->ranges);
    pthread_mutex_destroy(&p->lock);
    free(p);
}

int gw_pull_all(struct gw_image *image, bool without_empty, const struct gw_image_write_options *options,
                int (*chunk)(void *opaque, const struct gw_pull_chunk *chunk, struct gw_error *err), void *opaque,
                struct gw_error *err)
{
    const struct gw_pull_config config = {.threads = options->threads, .without_empty = without_empty};
    struct gw_pull_chunk *c = NULL;
    struct gw_pull *pull = NULL;
    uint64_t before = 0, total = 0; /* bytes of the finished blocks, and of all */
    unsigned block = 0;
    int r = gw_pull_new(image, &config, &pull, err);

    for (unsigned i = 0; i < image->block_count; i++)
        total += image->blocks[i].used_bytes;
    while (r >= 0 && (r = gw_pull_next(pull, &c, err)) > 0) {
        r = chunk(opaque, c, err);
        while (block < c->block)
            before += image->blocks[block++].used_bytes;
        if (r >= 0 && options->progress &&
            options->progress(options->opaque, before + (c->first + c->count) * image->page_bytes, total))
            r = gw_fail(err, -ECANCELED, GW_BLAME_CALLER, "cancelled");
    }
    gw_pull_free(pull);
    return r;
}
