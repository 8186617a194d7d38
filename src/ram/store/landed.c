/* SPDX-License-Identifier: MIT */
#include "ram/store/landed.h"

struct landed {
    struct gw_store store;
    struct gw_store *next;
    gw_landed_map_fn map;
    void *opaque;
    uint64_t **maps; /* by block number; NULL: the block was not added */
    unsigned count;
};

static struct landed *of(struct gw_store *store)
{
    return GW_CONTAINER(store, struct landed, store);
}

static struct gw_store *next(struct gw_store *store)
{
    return of(store)->next;
}

static int add(struct gw_store *store, struct gw_ram_block *b, struct gw_error *err)
{
    struct landed *s = of(store);
    int r = s->next->add(s->next, b, err);
    uint64_t **maps;

    if (r < 0)
        return r;
    maps = gw_ram_table(s->maps, &s->count, sizeof *maps, b);
    if (!maps)
        return gw_nomem(err, "map of landed pages");
    s->maps = maps;
    return s->map(s->opaque, b, &s->maps[b->index], err);
}

static uint8_t *where(struct gw_store *store, struct gw_ram_block *b, uint64_t page, enum gw_intent intent)
{
    return next(store)->where(next(store), b, page, intent);
}

static int place(struct gw_store *store, struct gw_ram_block *b, uint64_t page, struct gw_error *err)
{
    int r = next(store)->place(next(store), b, page, err);

    gw_bitmap_set_atomic(of(store)->maps[b->index], page);
    return r;
}

static int zero(struct gw_store *store, struct gw_ram_block *b, uint64_t page, struct gw_error *err)
{
    bool changes = !(b->flags & GW_RAM_FRESH) || next(store)->open(next(store), b, page, page + 1) != page;
    int r = next(store)->zero(next(store), b, page, err);

    if (changes)
        gw_bitmap_set_atomic(of(store)->maps[b->index], page);
    return r;
}

static int flush(struct gw_store *store, struct gw_error *err)
{
    return next(store)->flush ? next(store)->flush(next(store), err) : 0;
}

static uint64_t missing(struct gw_store *store, const struct gw_ram_block *b)
{
    return next(store)->missing(next(store), b);
}

/* The watcher may have the old contents: mark the pages again, so that it reads their zeros, until they come again. */
static int discard(struct gw_store *store, struct gw_ram_block *b, uint64_t first, uint64_t count, struct gw_error *err)
{
    struct landed *s = of(store);
    uint64_t end = first + count, at = first, stop;
    int r = 0;

    for (; at < end && r >= 0; at = stop + 1) {
        stop = s->next->open(s->next, b, at, end); /* all pages before it have come */
        if (stop > at)
            r = s->next->discard(s->next, b, at, stop - at, err);
        for (; r >= 0 && at < stop; at++)
            gw_bitmap_set_atomic(s->maps[b->index], at);
    }
    return r;
}

static void received(struct gw_store *store, const struct gw_ram_block *b, uint64_t *map)
{
    next(store)->received(next(store), b, map);
}

static void reset(struct gw_store *store)
{
    struct landed *s = of(store);

    free(s->maps);
    s->maps = NULL;
    s->count = 0;
    s->next->reset(s->next);
}

static uint64_t open_page(struct gw_store *store, struct gw_ram_block *b, uint64_t from, uint64_t end)
{
    return next(store)->open(next(store), b, from, end);
}

static void expect(struct gw_store *store, struct gw_ram_block *b, uint64_t first, uint64_t count)
{
    next(store)->expect(next(store), b, first, count);
}

static void unguess(struct gw_store *store, struct gw_ram_block *b, uint64_t page)
{
    next(store)->unguess(next(store), b, page);
}

static struct gw_store *store_free(struct gw_store *store)
{
    next(store)->free(next(store));
    free(of(store)->maps);
    free(of(store));
    return NULL;
}

int gw_store_landed_new(struct gw_store *take_next, gw_landed_map_fn map, void *opaque, struct gw_store **ret,
                        struct gw_error *err)
{
    struct landed *s = calloc(1, sizeof *s);

    if (!s) {
        take_next->free(take_next);
        return gw_nomem(err, "store of pages");
    }
    *s = (struct landed){.store = {.add = add,
                                   .where = where,
                                   .place = place,
                                   .zero = zero,
                                   .flush = flush,
                                   .missing = missing,
                                   .reset = reset,
                                   .discard = take_next->discard ? discard : NULL,
                                   .received = take_next->received ? received : NULL,
                                   .open = open_page,
                                   .expect = expect,
                                   .unguess = unguess,
                                   .free = store_free},
                         .next = take_next,
                         .map = map,
                         .opaque = opaque};
    *ret = &s->store;
    return 0;
}
