/* SPDX-License-Identifier: MIT */
#include "ram/source/giveback.h"

#include <pthread.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "ram/page/maps.h"
#include "ram/source/around.h"

#define PIECE_BYTES (32u << 20) /* given back at a time: a thread that waits for a page has to wait for this */

struct run {
    const struct gw_ram_block *block;
    uint64_t first, end;
};

struct runs {
    struct run *run;
    size_t count, room;
    uint64_t pages;
};

struct gw_giveback {
    struct gw_around around;
    struct gw_ram *ram;
    bool *goes;       /* by block: whether its pages are sent */
    bool *can;        /* whether its memory can be given back */
    uint64_t **stays; /* by block: pages that the destination may lack. Under lock until it is open */
    unsigned count;   /* of blocks, at begin */
    void (*say)(void *opaque, const char *text);
    void *opaque;
    unsigned block; /* position up to which pages that were not due were given back */
    uint64_t page;
    struct runs marked; /* runs before the current mark; empty: there is no mark */

    pthread_mutex_t lock; /* guards the fields below */
    bool open;
    struct runs sent; /* sent since the last mark */
};

static struct gw_giveback *of(struct gw_source *source)
{
    return GW_CONTAINER(source, struct gw_giveback, around.source);
}

/* ---- what was sent ----------------------------------------------------------------------------------------------- */

/* A run for which there is no memory is not given back before the end. */
static void add(struct runs *l, const struct gw_ram_block *b, uint64_t first, uint64_t end)
{
    struct run *last = l->count ? &l->run[l->count - 1] : NULL;

    l->pages += end - first;
    if (last && last->block == b && last->end == first) {
        last->end = end;
        return;
    }
    if (l->count == l->room) {
        size_t room = l->room ? 2 * l->room : 64;
        struct run *grown = realloc(l->run, room * sizeof *grown);

        if (!grown)
            return;
        l->run = grown;
        l->room = room;
    }
    l->run[l->count++] = (struct run){b, first, end};
}

static void sent(struct gw_source *source, struct gw_batch *batch)
{
    struct gw_giveback *g = of(source);
    const struct gw_ram_block *b = batch->block;

    pthread_mutex_lock(&g->lock);
    for (unsigned i = 0; i < batch->count && g->goes[b->index]; i++)
        if (!g->open)
            gw_bitmap_clear(g->stays[b->index], batch->page[i]);
        else if (batch->from)
            add(&g->sent, b, batch->page[i], batch->page[i] + 1);
    pthread_mutex_unlock(&g->lock);
    if (g->around.inner->sent)
        g->around.inner->sent(g->around.inner, batch);
}

static int settle(struct gw_source *source, struct gw_ram_block *b, uint64_t first, uint64_t count,
                  struct gw_error *err)
{
    struct gw_giveback *g = of(source);
    int r = g->around.inner->settle(g->around.inner, b, first, count, err);

    if (r >= 0)
        gw_bitmap_clear_range(g->stays[b->index], first, count);
    return r;
}

/* ---- giving back ------------------------------------------------------------------------------------------------- */

/* Size of the host page, in target pages. */
static uint64_t unit(const struct gw_giveback *g, const struct gw_ram_block *b)
{
    uint64_t bytes = GW_MAX(b->page_bytes, (uint64_t)sysconf(_SC_PAGESIZE));

    return GW_MAX(bytes >> g->ram->page_bits, UINT64_C(1));
}

static void cannot(struct gw_giveback *g, const struct gw_ram_block *b, const char *why)
{
    char text[512];

    g->can[b->index] = false;
    snprintf(text, sizeof text, "release-ram: the memory of RAM block %s stays here: %s", b->name, why);
    g->say(g->opaque, text);
}

static void give(struct gw_giveback *g, struct gw_ram_block *b, uint64_t first, uint64_t end)
{
    unsigned bits = g->ram->page_bits;

    if (madvise(b->host + (first << bits), (size_t)((end - first) << bits), MADV_DONTNEED)) {
        cannot(g, b, strerror(errno));
        return;
    }
    atomic_store(&g->ram->given, true);
    gw_bitmap_set_range(b->given, first, end - first);
}

/* Gives back the whole host pages with pages in [first, end), as far as the destination has all of their pages. */
static void give_units(struct gw_giveback *g, struct gw_ram_block *b, uint64_t first, uint64_t end)
{
    uint64_t n = unit(g, b), from, to = first / n * n;
    const uint64_t *stays = g->stays[b->index];

    end = GW_MIN(gw_div_up(end, n) * n, b->pages / n * n);
    while (g->can[b->index] && to < end) {
        from = gw_div_up(gw_bitmap_next_clear(stays, end, to), n) * n;
        to = GW_MAX(gw_bitmap_next_set(stays, end, from), from) / n * n;
        if (from < to)
            give(g, b, from, to);
        if (to < end)
            to += n; /* a part of it stays */
    }
}

/* Host pages that belong partly to another block, and memory that is shared, stay. */
static void judge(struct gw_giveback *g, const struct gw_ram_block *b, struct gw_error *err)
{
    uint64_t bytes = unit(g, b) << g->ram->page_bits;
    enum gw_maps_kind kind = GW_MAPS_SHARED;

    g->can[b->index] = true;
    if (!(b->flags & GW_RAM_SHARED) &&
        gw_maps_kind((uintptr_t)b->host, (uintptr_t)b->host + b->used_bytes, &kind, err) < 0)
        cannot(g, b, err->text);
    else if (kind == GW_MAPS_SHARED)
        cannot(g, b, "other processes can see it (memfd, tmpfs or a file, mapped shared)");
    else if (kind == GW_MAPS_HOLES)
        cannot(g, b, "not all of it is mapped");
    else if ((uintptr_t)b->host % bytes)
        cannot(g, b, "it does not begin on a page of the host");
}

int gw_giveback_open(struct gw_giveback *g, void (*say)(void *opaque, const char *text), void *opaque,
                     struct gw_error *err)
{
    struct gw_source *inner = g->around.inner;
    struct gw_error why = GW_ERROR_INIT;

    g->say = say;
    g->opaque = opaque;
    pthread_mutex_lock(&g->lock);
    g->open = true;
    pthread_mutex_unlock(&g->lock);
    for (unsigned i = 0; i < g->count; i++) {
        struct gw_ram_block *b = g->ram->blocks[i];
        uint64_t first, end = 0;

        if (!g->goes[i])
            continue;
        while (inner->due(inner, b, end, &first, &end))
            gw_bitmap_set_range(g->stays[i], first, end - first);
        judge(g, b, &why);
        if (g->can[i] && !b->given && !(b->given = gw_bitmap_new(b->max_bytes >> g->ram->page_bits)))
            return gw_nomem(err, "map of the memory that was given back");
    }
    return 0;
}

bool gw_giveback_runs(struct gw_giveback *g)
{
    uint64_t left = GW_MAX(PIECE_BYTES >> g->ram->page_bits, 1u), end;

    while (left && g->block < g->count) {
        struct gw_ram_block *b = g->ram->blocks[g->block];
        uint64_t n = unit(g, b);

        end = g->can[g->block] ? GW_MIN(b->pages, gw_div_up(g->page + left, n) * n) : b->pages;
        if (g->can[g->block])
            give_units(g, b, g->page, end);
        left -= g->can[g->block] ? GW_MIN(left, end - g->page) : 0;
        g->page = end < b->pages ? end : 0;
        g->block += end == b->pages;
    }
    return g->block < g->count;
}

/* Pages that came back late, from before the switch, may be due again. */
static void mark(struct gw_giveback *g, const struct run *run)
{
    struct gw_source *inner = g->around.inner;
    uint64_t at = run->first, first, end;

    while (at < run->end) {
        if (!inner->due(inner, run->block, at, &first, &end))
            first = end = run->end;
        if (at < first)
            add(&g->marked, run->block, at, GW_MIN(first, run->end));
        at = end;
    }
}

bool gw_giveback_mark(struct gw_giveback *g)
{
    bool due;

    if (g->marked.count)
        return false;
    pthread_mutex_lock(&g->lock);
    due = g->sent.pages >= GW_GIVEBACK_MARK_PAGES;
    for (size_t i = 0; due && i < g->sent.count; i++)
        mark(g, &g->sent.run[i]);
    if (due)
        g->sent.count = g->sent.pages = 0;
    pthread_mutex_unlock(&g->lock);
    return due && g->marked.count;
}

void gw_giveback_came(struct gw_giveback *g)
{
    struct runs *l = &g->marked;

    for (size_t i = 0; i < l->count; i++)
        gw_bitmap_clear_range(g->stays[l->run[i].block->index], l->run[i].first, l->run[i].end - l->run[i].first);
    for (size_t i = 0; i < l->count; i++)
        give_units(g, g->ram->blocks[l->run[i].block->index], l->run[i].first, l->run[i].end);
    l->count = 0;
    l->pages = 0;
}

void gw_giveback_all(struct gw_giveback *g)
{
    for (unsigned i = 0; i < g->count; i++)
        if (g->can[i])
            gw_bitmap_clear_range(g->stays[i], 0, g->ram->blocks[i]->pages);
    for (unsigned i = 0; i < g->count; i++)
        if (g->can[i])
            give_units(g, g->ram->blocks[i], 0, g->ram->blocks[i]->pages);
}

/* ---- the source -------------------------------------------------------------------------------------------------- */

static void forget(struct gw_giveback *g)
{
    for (unsigned i = 0; g->stays && i < g->count; i++)
        gw_bitmap_free(g->stays[i], g->ram->blocks[i]->max_bytes >> g->ram->page_bits);
    free(g->stays);
    free(g->goes);
    free(g->can);
    g->stays = NULL;
    g->goes = g->can = NULL;
    g->count = 0;
}

static void end(struct gw_source *source)
{
    struct gw_giveback *g = of(source);

    forget(g); /* after this, blocks may be added and removed */
    g->around.inner->end(g->around.inner);
}

static int begin(struct gw_source *source, const bool *goes, struct gw_error *err)
{
    struct gw_giveback *g = of(source);
    unsigned n = g->ram->count;

    forget(g);
    g->stays = calloc(GW_MAX(n, 1u), sizeof *g->stays);
    g->goes = calloc(GW_MAX(n, 1u), sizeof *g->goes);
    g->can = calloc(GW_MAX(n, 1u), sizeof *g->can);
    if (!g->stays || !g->goes || !g->can)
        return gw_nomem(err, "map of the memory to give back");
    g->count = n;
    for (unsigned i = 0; i < n; i++) {
        struct gw_ram_block *b = g->ram->blocks[i];

        if (b->given && !atomic_load(&g->ram->given))
            gw_bitmap_clear_range(b->given, 0, b->max_bytes >> g->ram->page_bits);
        g->goes[i] = goes[i];
        if (goes[i] && !(g->stays[i] = gw_bitmap_new(b->max_bytes >> g->ram->page_bits)))
            return gw_nomem(err, "map of the memory to give back");
        if (goes[i])
            gw_bitmap_set_range(g->stays[i], 0, b->pages);
    }
    return g->around.inner->begin(g->around.inner, goes, err);
}

static struct gw_source *source_free(struct gw_source *source)
{
    struct gw_giveback *g = of(source);

    g->around.inner->free(g->around.inner);
    forget(g);
    free(g->sent.run);
    free(g->marked.run);
    pthread_mutex_destroy(&g->lock);
    free(g);
    return NULL;
}

int gw_source_giveback_new(struct gw_source *take_inner, struct gw_ram *ram, struct gw_source **ret,
                           struct gw_giveback **ret_giveback, struct gw_error *err)
{
    struct gw_giveback *g = calloc(1, sizeof *g);

    if (!g) {
        take_inner->free(take_inner);
        return gw_nomem(err, "memory to give back");
    }
    pthread_mutex_init(&g->lock, NULL);
    g->ram = ram;
    gw_around_init(&g->around, take_inner);
    g->around.source.begin = begin;
    g->around.source.sent = sent;
    g->around.source.settle = settle;
    g->around.source.end = end;
    g->around.source.free = source_free;
    *ret = &g->around.source;
    *ret_giveback = g;
    return 0;
}
