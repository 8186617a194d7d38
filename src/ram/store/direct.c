/* SPDX-License-Identifier: MIT */
#include "ram/store/direct.h"

#include <sys/mman.h>

#include "ram/page/zero.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

static uint8_t *where(struct gw_store *store, struct gw_ram_block *b, uint64_t page)
{
    struct gw_store_direct *s = GW_CONTAINER(store, struct gw_store_direct, store);

    return b->host + (page << s->page_bits);
}

static void done(struct gw_store *store, struct gw_ram_block *b, uint64_t page)
{
    gw_bitmap_set(b->received, page);
}

static void zero(struct gw_store *store, struct gw_ram_block *b, uint64_t page)
{
    struct gw_store_direct *s = GW_CONTAINER(store, struct gw_store_direct, store);
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
    struct gw_store_direct *s = GW_CONTAINER(store, struct gw_store_direct, store);
    uint64_t end = first + count;

    if (b == s->present && first < s->present_end)
        first = s->present_end;
    if (first >= end)
        return;
    s->present = b;
    s->present_end = end;
    if (((uintptr_t)b->host + (first << s->page_bits)) % s->os_page_bytes || (count << s->page_bits) % s->os_page_bytes)
        return;
    /* A fault for each would cost more than the copy. Not being able to is no error: the faults will come one by one.
     */
    if (!madvise(b->host + (first << s->page_bits), (end - first) << s->page_bits, MADV_POPULATE_WRITE))
        s->populated += end - first;
}

static void unguess(struct gw_store *store, struct gw_ram_block *b, uint64_t page)
{
    struct gw_store_direct *s = GW_CONTAINER(store, struct gw_store_direct, store);

    memset(b->host + (page << s->page_bits), 0, s->page_bytes);
}

void gw_store_direct_init(struct gw_store_direct *s, const struct gw_ram *ram)
{
    *s = (struct gw_store_direct){
        .store = {.where = where, .done = done, .zero = zero, .open = open_page, .expect = expect, .unguess = unguess},
        .page_bytes = ram->page_bytes,
        .page_bits = ram->page_bits,
        .os_page_bytes = (uint64_t)sysconf(_SC_PAGESIZE),
        .detect = gw_zero_pick()};
}
