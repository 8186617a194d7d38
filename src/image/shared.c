/* SPDX-License-Identifier: MIT */
#include "image/shared.h"

#include <pthread.h>

#include "base/sized.h"
#include "ram/page/zero.h"

#define VIEW_READERS 2u /* read-ahead threads of each view: views share the chunks they read */

struct chunk {
    unsigned block;
    uint64_t index; /* number of the chunk in its block */
    unsigned pins;
    uint8_t ready, busy; /* bitmaps of pieces */
    uint8_t kinds[GW_SHARED_CHUNK_PAGES];
    uint8_t *data;
    struct chunk *older, *newer; /* list by last use */
};

struct gw_shared {
    struct gw_image *image;
    const struct gw_zero *zero;
    unsigned chunk_pages, piece_pages;
    uint64_t chunks_max;

    pthread_mutex_t lock; /* protects the members below */
    pthread_cond_t changed;
    struct chunk ***chunks; /* for each block */
    struct chunk *oldest, *newest;
    uint64_t chunk_count;
    unsigned views;
    struct gw_shared_counts counts;
};

static uint64_t chunks_of(const struct gw_shared *s, unsigned block)
{
    return gw_div_up(s->image->blocks[block].pages, s->chunk_pages);
}

/* ---- chunks, under the lock -------------------------------------------------------------------------------------- */

static void unlink_chunk(struct gw_shared *s, struct chunk *c)
{
    *(c->older ? &c->older->newer : &s->oldest) = c->newer;
    *(c->newer ? &c->newer->older : &s->newest) = c->older;
    c->older = c->newer = NULL;
}

static void link_newest(struct gw_shared *s, struct chunk *c)
{
    c->older = s->newest;
    *(s->newest ? &s->newest->newer : &s->oldest) = c;
    s->newest = c;
}

static struct chunk *new_chunk(const struct gw_shared *s)
{
    struct chunk *c = calloc(1, sizeof *c);
    uint64_t bytes = (uint64_t)s->chunk_pages * s->image->page_bytes;

    if (c && !(c->data = aligned_alloc(4096, gw_div_up(bytes, 4096) * 4096))) {
        free(c);
        return NULL;
    }
    return c;
}

/* An empty chunk: a new one while there is room, else the least recently used; NULL: all are in use. */
static int get_empty(struct gw_shared *s, struct chunk **ret, struct gw_error *err)
{
    struct chunk *c = s->oldest;

    if (s->chunk_count < s->chunks_max) {
        *ret = new_chunk(s);
        s->chunk_count += *ret ? 1 : 0;
        return *ret ? 0 : gw_nomem(err, "pages of a shared image");
    }
    while (c && c->pins)
        c = c->newer;
    if (c) {
        unlink_chunk(s, c);
        s->chunks[c->block][c->index] = NULL;
        s->counts.dropped_chunks++;
        c->ready = c->busy = 0;
    }
    *ret = c;
    return 0;
}

static int pin(struct gw_shared *s, unsigned block, uint64_t index, struct chunk **ret, struct gw_error *err)
{
    struct chunk **at = &s->chunks[block][index], *c = NULL;

    while (!*at) {
        int r = get_empty(s, &c, err);

        if (r < 0)
            return r;
        if (c) {
            c->block = block;
            c->index = index;
            *at = c;
            link_newest(s, c);
        } else {
            pthread_cond_wait(&s->changed, &s->lock);
        }
    }
    c = *at;
    c->pins++;
    unlink_chunk(s, c);
    link_newest(s, c);
    *ret = c;
    return 0;
}

static void unpin(struct gw_shared *s, struct chunk *c)
{
    if (!--c->pins)
        pthread_cond_broadcast(&s->changed);
}

/* ---- what is in them --------------------------------------------------------------------------------------------- */

static uint8_t bits(unsigned first, unsigned end)
{
    return (uint8_t)((1u << end) - (1u << first));
}

/* Reads these pieces from the image. Called without the lock: `busy` reserves the pieces for this thread. */
static int load(struct gw_shared *s, struct chunk *c, unsigned first, unsigned end, uint64_t *ret_read, struct gw_error *err)
{
    uint64_t page = c->index * s->chunk_pages + first * s->piece_pages;
    uint64_t count = GW_MIN((end - first) * (uint64_t)s->piece_pages, s->image->blocks[c->block].pages - page);
    uint8_t *kinds = c->kinds + first * s->piece_pages, *data;
    uint32_t bytes = s->image->page_bytes;
    int r;

    data = c->data + (size_t)first * s->piece_pages * bytes;
    r = gw_image_fetch(s->image, c->block, page, count, kinds, data, err);
    for (uint64_t i = 0; r >= 0 && i < count; i++) {
        *ret_read += kinds[i];
        kinds[i] = kinds[i] && !gw_zero_page(s->zero, data + i * bytes, bytes);
    }
    return r;
}

/* Reads the missing parts of [first, end) that no other thread is reading. Called with the lock held, which is released meanwhile. */
static int load_missing(struct gw_shared *s, struct chunk *c, unsigned first, unsigned end, struct gw_error *err)
{
    int r = 0;

    while (r >= 0 && first < end) {
        unsigned last = first;
        uint64_t read = 0;

        if ((c->ready | c->busy) & 1u << first) {
            first++;
            continue;
        }
        while (last < end && !((c->ready | c->busy) & 1u << last))
            last++;
        c->busy |= bits(first, last);
        pthread_mutex_unlock(&s->lock);
        r = load(s, c, first, last, &read, err);
        pthread_mutex_lock(&s->lock);
        c->busy &= (uint8_t)~bits(first, last);
        if (r >= 0)
            c->ready |= bits(first, last);
        s->counts.read_pages += read;
        pthread_cond_broadcast(&s->changed);
        first = last;
    }
    return r;
}

/* Returns when pages [first, first + count) of the chunk are present. */
static int have(struct gw_shared *s, unsigned block, uint64_t index, unsigned first, unsigned count, struct chunk **ret,
                struct gw_error *err)
{
    unsigned from = first / s->piece_pages, to = (first + count - 1) / s->piece_pages + 1;
    struct chunk *c = NULL;
    int r;

    pthread_mutex_lock(&s->lock);
    r = pin(s, block, index, &c, err);
    while (r >= 0 && (c->ready & bits(from, to)) != bits(from, to)) {
        r = load_missing(s, c, from, to, err);
        if (r >= 0 && (c->ready & bits(from, to)) != bits(from, to))
            pthread_cond_wait(&s->changed, &s->lock);
    }
    if (r < 0 && c)
        unpin(s, c);
    pthread_mutex_unlock(&s->lock);
    *ret = c;
    return r;
}

/* kinds NULL: zeros are written to dst. */
static int copy(struct gw_shared *s, unsigned block, uint64_t page, unsigned count, uint8_t *kinds, uint8_t *dst,
                struct gw_error *err)
{
    unsigned first = (unsigned)(page % s->chunk_pages);
    uint32_t bytes = s->image->page_bytes;
    uint64_t filled = 0;
    struct chunk *c;
    int r = have(s, block, page / s->chunk_pages, first, count, &c, err);

    if (r < 0)
        return r;
    for (unsigned i = 0; i < count; i++) {
        if (c->kinds[first + i])
            memcpy(dst + (size_t)i * bytes, c->data + (size_t)(first + i) * bytes, bytes);
        else if (!kinds)
            memset(dst + (size_t)i * bytes, 0, bytes);
        filled += c->kinds[first + i];
        if (kinds)
            kinds[i] = c->kinds[first + i];
    }
    pthread_mutex_lock(&s->lock);
    s->counts.given_pages += filled;
    unpin(s, c);
    pthread_mutex_unlock(&s->lock);
    return 0;
}

/* Whether all of these pages are known to be zeros. They lie in one chunk. */
static int all_zeros(struct gw_shared *s, unsigned block, uint64_t page, unsigned count, bool *ret, struct gw_error *err)
{
    uint8_t kinds[GW_SHARED_CHUNK_PAGES];
    int r = 0;

    *ret = gw_image_empty(s->image, block, page / GW_IMAGE_GROUP) && (page + count - 1) / GW_IMAGE_GROUP == page / GW_IMAGE_GROUP;
    if (!*ret) {
        r = gw_image_map(s->image, block, page, count, kinds, err);
        *ret = r >= 0 && !memchr(kinds, 1, count);
    }
    return r;
}

static int each(struct gw_shared *s, unsigned block, uint64_t first, uint64_t count, uint8_t *kinds, uint8_t *dst,
                struct gw_error *err)
{
    uint32_t bytes = s->image->page_bytes;
    int r = 0;

    for (uint64_t done = 0, n; r >= 0 && done < count; done += n) {
        uint64_t page = first + done;
        bool zeros;

        n = GW_MIN(count - done, s->chunk_pages - page % s->chunk_pages);
        r = all_zeros(s, block, page, (unsigned)n, &zeros, err);
        if (r < 0)
            return r;
        if (!zeros)
            r = copy(s, block, page, (unsigned)n, kinds ? kinds + done : NULL, dst + done * bytes, err);
        else if (kinds)
            memset(kinds + done, 0, n);
        else
            memset(dst + done * bytes, 0, n * bytes);
    }
    return r;
}

/* ---- views ------------------------------------------------------------------------------------------------------- */

static int view_map(struct gw_image *image, unsigned block, uint64_t first, uint64_t count, uint8_t *kinds, struct gw_error *err)
{
    const struct gw_shared *s = image->own;

    return gw_image_map(s->image, block, first, count, kinds, err);
}

static int view_read(struct gw_image *image, unsigned block, uint64_t first, uint64_t count, uint8_t *dst, struct gw_error *err)
{
    return each(image->own, block, first, count, NULL, dst, err);
}

static int view_fetch(struct gw_image *image, unsigned block, uint64_t first, uint64_t count, uint8_t *kinds, uint8_t *dst,
                      struct gw_error *err)
{
    return each(image->own, block, first, count, kinds, dst, err);
}

static bool view_empty(const struct gw_image *image, unsigned block, uint64_t group)
{
    const struct gw_shared *s = image->own;

    return gw_image_empty(s->image, block, group);
}

/* The view borrows the image's fields, except its own. */
static void lend(struct gw_image *view)
{
    view->blocks = NULL;
    view->early = view->devices = NULL;
    view->description = view->libvirt_xml = view->libvirt_cookie = NULL;
    view->head = NULL;
    view->others.list = NULL;
    view->others.data = NULL;
}

static void view_close(struct gw_image *view)
{
    struct gw_shared *s = view->own;

    lend(view);
    pthread_mutex_lock(&s->lock);
    s->views--;
    pthread_mutex_unlock(&s->lock);
}

int gw_shared_view(struct gw_shared *s, struct gw_image **ret_view, struct gw_error *err)
{
    static const struct gw_image_ops ops = {
        .map = view_map, .read = view_read, .close = view_close, .fetch = view_fetch, .empty = view_empty};
    const struct gw_image *image = s->image;
    struct gw_image *view = calloc(1, sizeof *view);

    if (!view)
        return gw_nomem(err, "view of a shared image");
    memcpy(view, image, sizeof *view);
    view->ops = &ops;
    view->own = s;
    view->readers = VIEW_READERS;
    view->origin = (struct gw_image_origin){.fd = -1};
    view->kept = NULL;
    view->stage = NULL;
    view->far_uri = NULL;
    view->guest = NULL;
    view->free_guest = NULL;
    pthread_mutex_lock(&s->lock);
    s->views++;
    pthread_mutex_unlock(&s->lock);
    *ret_view = view;
    return 0;
}

int gw_shared_new(struct gw_image *image, uint64_t cache_bytes, struct gw_shared **ret_shared, struct gw_error *err)
{
    struct gw_shared *s;
    bool made;

    if (image->format == GW_IMAGE_MEMORY)
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "a machine in memory cannot be shared: write it to a file first");
    s = calloc(1, sizeof *s);
    if (!s)
        return gw_nomem(err, "shared image");
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->changed, NULL);
    s->image = image;
    s->zero = gw_zero_pick();
    s->chunk_pages = GW_MAX(1u, GW_MIN(GW_SHARED_CHUNK_BYTES / image->page_bytes, GW_SHARED_CHUNK_PAGES));
    s->piece_pages = GW_MAX(1u, s->chunk_pages / GW_SHARED_PIECES);
    s->chunks_max = GW_MAX(cache_bytes / ((uint64_t)s->chunk_pages * image->page_bytes), (uint64_t)GW_SHARED_LEAST);
    s->chunks = calloc(GW_MAX(image->block_count, 1u), sizeof *s->chunks);
    made = s->chunks;
    for (unsigned i = 0; made && i < image->block_count; i++)
        made = (s->chunks[i] = calloc(GW_MAX(chunks_of(s, i), UINT64_C(1)), sizeof *s->chunks[i]));
    if (!made) {
        gw_shared_free(s);
        return gw_nomem(err, "shared image");
    }
    *ret_shared = s;
    return 0;
}

void gw_shared_get_counts_sized(struct gw_shared *s, struct gw_shared_counts *ret_counts, size_t counts_bytes)
{
    struct gw_shared_counts counts;

    pthread_mutex_lock(&s->lock);
    counts = s->counts;
    counts.kept_bytes = s->chunk_count * s->chunk_pages * s->image->page_bytes;
    pthread_mutex_unlock(&s->lock);
    gw_sized_out(ret_counts, counts_bytes, &counts, sizeof counts);
}

struct gw_shared *gw_shared_free(struct gw_shared *s)
{
    if (!s)
        return NULL;
    for (struct chunk *c = s->oldest, *next; c; c = next) {
        next = c->newer;
        free(c->data);
        free(c);
    }
    for (unsigned i = 0; s->chunks && i < s->image->block_count; i++)
        free(s->chunks[i]);
    free(s->chunks);
    pthread_cond_destroy(&s->changed);
    pthread_mutex_destroy(&s->lock);
    free(s);
    return NULL;
}
