/* SPDX-License-Identifier: MIT */
#include "ram/store/direct.h"

#include <sys/mman.h>

#include "ram/page/zero.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

struct direct {
    struct gw_store store;
    uint32_t page_bytes;
    unsigned page_bits;
    uint64_t os_page_bytes;
    const struct gw_ram_block *present; /* pages of it before present_end need not be made present again */
    uint64_t present_end;
    const struct gw_zero *detect;
};

static uint8_t *where(struct gw_store *store, struct gw_ram_block *b, uint64_t page)
{
    struct direct *s = GW_CONTAINER(store, struct direct, store);

    return b->host + (page << s->page_bits);
}

static void done(struct gw_store *store, struct gw_ram_block *b, uint64_t page)
{
    gw_bitmap_set(b->received, page);
}

static void zero(struct gw_store *store, struct gw_ram_block *b, uint64_t page)
{
    struct direct *s = GW_CONTAINER(store, struct direct, store);
    uint8_t *p = b->host + (page << s->page_bits);
    bool came = gw_bitmap_test(b->received, page);

    gw_bitmap_set(b->received, page);
    if (!came && (b->flags & GW_RAM_FRESH))
        return;
    if (!gw_zero_page(s->detect, p, s->page_bytes))
        memset(p, 0, s->page_bytes);
}

static uint64_t open_page(struct gw_store *store, struct gw_ram_block *b, uint64_t from, uint64_t end)
{
    return from < end ? gw_bitmap_next_clear(b->received, end, from) : end;
}

static void expect(struct gw_store *store, struct gw_ram_block *b, uint64_t first, uint64_t count)
{
    struct direct *s = GW_CONTAINER(store, struct direct, store);
    uint64_t end = first + count;

    if (b == s->present && first < s->present_end)
        first = s->present_end;
    if (first >= end)
        return;
    s->present = b;
    s->present_end = end;
    if (((uintptr_t)b->host + (first << s->page_bits)) % s->os_page_bytes || (count << s->page_bits) % s->os_page_bytes)
        return;
    /* A fault for each would cost more than the copy. Not being able to is no error: then the faults come one by one. */
    madvise(b->host + (first << s->page_bits), (end - first) << s->page_bits, MADV_POPULATE_WRITE);
}

static void unguess(struct gw_store *store, struct gw_ram_block *b, uint64_t page)
{
    struct direct *s = GW_CONTAINER(store, struct direct, store);

    memset(b->host + (page << s->page_bits), 0, s->page_bytes);
}

static struct gw_store *store_free(struct gw_store *store)
{
    free(GW_CONTAINER(store, struct direct, store));
    return NULL;
}

int gw_store_direct_new(const struct gw_ram *ram, struct gw_store **ret, struct gw_error *err)
{
    struct direct *s = calloc(1, sizeof *s);

    if (!s)
        return gw_nomem(err, "store of pages");
    *s = (struct direct){
        .store = {.where = where,
                  .done = done,
                  .zero = zero,
                  .open = open_page,
                  .expect = expect,
                  .unguess = unguess,
                  .free = store_free},
        .page_bytes = ram->page_bytes,
        .page_bits = ram->page_bits,
        .os_page_bytes = (uint64_t)sysconf(_SC_PAGESIZE),
        .detect = gw_zero_pick()};
    *ret = &s->store;
    return 0;
}
