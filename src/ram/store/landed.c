/* SPDX-License-Identifier: MIT */
#include "ram/store/landed.h"

struct landed {
    struct gw_store store;
    struct gw_store *next;
};

static struct gw_store *next(struct gw_store *store)
{
    return GW_CONTAINER(store, struct landed, store)->next;
}

static uint8_t *where(struct gw_store *store, struct gw_ram_block *b, uint64_t page)
{
    return next(store)->where(next(store), b, page);
}

static void done(struct gw_store *store, struct gw_ram_block *b, uint64_t page)
{
    next(store)->done(next(store), b, page);
    gw_bitmap_set_atomic(b->landed, page);
}

static void zero(struct gw_store *store, struct gw_ram_block *b, uint64_t page)
{
    bool changes = gw_bitmap_test(b->received, page) || !(b->flags & GW_RAM_FRESH);

    next(store)->zero(next(store), b, page);
    if (changes)
        gw_bitmap_set_atomic(b->landed, page);
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
    free(GW_CONTAINER(store, struct landed, store));
    return NULL;
}

int gw_store_landed_new(struct gw_store *take_next, struct gw_store **ret, struct gw_error *err)
{
    struct landed *s = calloc(1, sizeof *s);

    if (!s) {
        take_next->free(take_next);
        return gw_nomem(err, "store of pages");
    }
    *s = (struct landed){
        .store = {.where = where,
                  .done = done,
                  .zero = zero,
                  .open = open_page,
                  .expect = expect,
                  .unguess = unguess,
                  .free = store_free},
        .next = take_next};
    *ret = &s->store;
    return 0;
}
