/* SPDX-License-Identifier: MIT */
#include "image/pull.h"

#include "base/workers.h"
#include "ram/page/zero.h"

#define THREADS_MAX 16u

/* From page `first` of block `block` up to page `end` of block `last`. */
struct gw_pull {
    struct gw_image *image;
    const struct gw_zero *zero; /* NULL: zeros that are read are not looked for */
    unsigned block, last;
    uint64_t first, end;
    unsigned chunk_pages;

    struct gw_workers *workers;
    struct gw_pull_chunk *chunks; /* one for each slot */
    unsigned slots;
    uint64_t next, total; /* chunks */
};

/* Chunk number n. Returns whether there is one; if not, *ret_n is what remains of n. */
static bool find(const struct gw_pull *p, uint64_t n, struct gw_pull_chunk *c, uint64_t *ret_n)
{
    uint64_t first = p->first;

    for (unsigned b = p->block; b <= p->last; b++, first = 0) {
        uint64_t pages = (b == p->last ? p->end : p->image->blocks[b].pages) - first;
        uint64_t count = gw_div_up(pages, p->chunk_pages);

        if (n < count) {
            c->block = b;
            c->first = first + n * p->chunk_pages;
            c->count = (unsigned)GW_MIN(pages - n * p->chunk_pages, p->chunk_pages);
            return true;
        }
        n -= count;
    }
    *ret_n = n;
    return false;
}

static int read_chunk(void *opaque, unsigned thread, uint64_t n, unsigned slot, struct gw_error *err)
{
    struct gw_pull *p = opaque;
    struct gw_pull_chunk *c = &p->chunks[slot];
    uint32_t bytes = p->image->page_bytes;
    int r;

    find(p, n, c, &n);
    r = gw_image_fetch(p->image, c->block, c->first, c->count, c->filled, c->data, err);
    for (unsigned i = 0; r >= 0 && p->zero && i < c->count; i++)
        c->filled[i] = c->filled[i] && !gw_zero_page(p->zero, c->data + (size_t)i * bytes, bytes);
    return r;
}

/* range: where it begins and ends, and how. It is copied. */
static int new_pull(const struct gw_pull *range, unsigned threads, struct gw_pull **ret_pull, struct gw_error *err)
{
    static const struct gw_workers_ops ops = {.work = read_chunk};
    struct gw_pull *p = calloc(1, sizeof *p);
    struct gw_pull_chunk none;
    int r = 0;

    if (!p)
        return gw_nomem(err, "reading ahead");
    *p = *range;
    threads = gw_workers_threads(threads, THREADS_MAX);
    find(p, UINT64_MAX, &none, &p->total);
    p->total = UINT64_MAX - p->total;
    p->slots = threads + 2;
    p->chunks = calloc(p->slots, sizeof *p->chunks);
    for (unsigned i = 0; p->chunks && i < p->slots; i++)
        if (!(p->chunks[i].data = aligned_alloc(64, (size_t)p->chunk_pages * p->image->page_bytes)))
            r = -ENOMEM;
    r = !p->chunks || r < 0 ? gw_nomem(err, "reading ahead")
                            : gw_workers_new(&ops, p, threads, p->slots, &p->workers, err);
    if (r < 0) {
        gw_pull_free(p);
        return r;
    }
    gw_workers_submit(p->workers, p->total);
    *ret_pull = p;
    return 0;
}

int gw_pull_new(struct gw_image *image, unsigned threads, struct gw_pull **ret_pull, struct gw_error *err)
{
    unsigned last = GW_MAX(image->block_count, 1u) - 1;
    struct gw_pull range = {.image = image,
                            .zero = gw_zero_pick(),
                            .last = last,
                            .end = image->block_count ? image->blocks[last].pages : 0,
                            .chunk_pages = GW_PULL_PAGES};

    return new_pull(&range, threads, ret_pull, err);
}

int gw_pull_new_range(struct gw_image *image, unsigned block, uint64_t first, uint64_t count, unsigned chunk_pages,
                      struct gw_pull **ret_pull, struct gw_error *err)
{
    struct gw_pull range = {.image = image,
                            .block = block,
                            .first = first,
                            .last = block,
                            .end = first + count,
                            .chunk_pages = GW_MIN(chunk_pages, GW_PULL_PAGES)};

    return new_pull(&range, 0, ret_pull, err);
}

int gw_pull_next(struct gw_pull *p, const struct gw_pull_chunk **ret_chunk, struct gw_error *err)
{
    int r;

    if (p->next == p->total)
        return 0;
    r = gw_workers_take(p->workers, p->next, err);
    *ret_chunk = &p->chunks[p->next++ % p->slots];
    return r < 0 ? r : 1;
}

void gw_pull_free(struct gw_pull *p)
{
    if (!p)
        return;
    gw_workers_free(p->workers);
    for (unsigned i = 0; p->chunks && i < p->slots; i++)
        free(p->chunks[i].data);
    free(p->chunks);
    free(p);
}
