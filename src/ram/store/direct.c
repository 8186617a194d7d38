/* SPDX-License-Identifier: MIT */
#include "ram/store/direct.h"

#include "wire/numbers.h"

#include <pthread.h>
#include <sys/mman.h>

#include "ram/page/zero.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

struct direct {
    struct gw_store store;
    const struct gw_ram *ram; /* its page size is known when there are blocks */
    uint64_t os_page_bytes;
    const struct gw_zero *detect;
    struct map {
        uint64_t *received; /* atomic: lanes share its words. NULL: the block was not added */
        uint64_t bits;
        uint64_t *room; /* chunks that can be written to; atomic. NULL: all */
    } * maps;           /* by block number */
    unsigned count;

    gw_room_fn make_room; /* NULL: all chunks can be written to */
    void *opaque;
    uint8_t *scratch;     /* a page of any size, used in place of memory that has no room */
    atomic_bool full;
    pthread_mutex_t lock; /* guards the error */
    struct gw_error why;
};

static struct direct *of(struct gw_store *store)
{
    return GW_CONTAINER(store, struct direct, store);
}

static uint64_t chunks(const struct gw_ram_block *b)
{
    return gw_div_up(b->max_bytes, GW_ROOM_BYTES);
}

static int add(struct gw_store *store, struct gw_ram_block *b, struct gw_error *err)
{
    struct direct *s = of(store);
    struct map *maps = gw_ram_table(s->maps, &s->count, sizeof *maps, b);

    if (!maps)
        return gw_nomem(err, "map of received pages");
    s->maps = maps;
    s->maps[b->index].bits = b->max_bytes >> s->ram->page_bits;
    s->maps[b->index].received = gw_bitmap_new(s->maps[b->index].bits);
    if (s->make_room)
        s->maps[b->index].room = gw_bitmap_new(chunks(b));
    return s->maps[b->index].received && !s->make_room == !s->maps[b->index].room
               ? 0
               : gw_nomem(err, "map of received pages");
}

/* Whether the chunk of this page can be written to. make: if not, calls make_room. */
static bool has_room(struct direct *s, const struct gw_ram_block *b, uint64_t page, bool make)
{
    uint64_t chunk = (page << s->ram->page_bits) / GW_ROOM_BYTES, at = chunk * GW_ROOM_BYTES;
    struct gw_error err = GW_ERROR_INIT;

    if (!s->make_room || gw_bitmap_test_atomic(s->maps[b->index].room, chunk))
        return true;
    if (!make || s->full)
        return false;
    if (s->make_room(s->opaque, b, at, GW_MIN((uint64_t)GW_ROOM_BYTES, b->max_bytes - at), &err) < 0) {
        pthread_mutex_lock(&s->lock);
        if (!s->full)
            s->why = err;
        s->full = true;
        pthread_mutex_unlock(&s->lock);
        return false;
    }
    gw_bitmap_set_atomic(s->maps[b->index].room, chunk);
    return true;
}

static uint8_t *where(struct gw_store *store, struct gw_ram_block *b, uint64_t page, enum gw_intent intent)
{
    struct direct *s = of(store);

    return has_room(s, b, page, true) ? b->host + (page << s->ram->page_bits) : s->scratch;
}

static int place(struct gw_store *store, struct gw_ram_block *b, uint64_t page, struct gw_error *err)
{
    struct direct *s = of(store);

    if (s->full) {
        if (err)
            *err = s->why;
        return s->why.code;
    }
    gw_bitmap_set_atomic(of(store)->maps[b->index].received, page);
    return 0;
}

static int zero(struct gw_store *store, struct gw_ram_block *b, uint64_t page, struct gw_error *err)
{
    struct direct *s = of(store);
    uint8_t *p = b->host + (page << s->ram->page_bits);
    bool came = gw_bitmap_set_atomic(s->maps[b->index].received, page);

    if ((!came && (b->flags & GW_RAM_FRESH)) || !has_room(s, b, page, false)) /* the page was never written */
        return 0;
    if (!gw_zero_page(s->detect, p, s->ram->page_bytes))
        memset(p, 0, s->ram->page_bytes);
    return 0;
}

static uint64_t missing(struct gw_store *store, const struct gw_ram_block *b)
{
    struct direct *s = of(store);
    const uint64_t *map = b->index < s->count ? s->maps[b->index].received : NULL;

    return map ? b->pages - gw_bitmap_count(map, b->pages) : 0;
}

/* In a fresh block a page that has not come reads as zeros; so it must again after this. */
static int discard(struct gw_store *store, struct gw_ram_block *b, uint64_t first, uint64_t count, struct gw_error *err)
{
    struct direct *s = of(store);
    uint64_t *map = s->maps[b->index].received;

    for (uint64_t at = first, end = first; (at = gw_bitmap_next_set(map, first + count, at)) < first + count; at = end) {
        end = gw_bitmap_next_clear(map, first + count, at);
        for (uint64_t page = at; page < end; page++) {
            uint8_t *p = b->host + (page << s->ram->page_bits);

            if (has_room(s, b, page, false) && !gw_zero_page(s->detect, p, s->ram->page_bytes))
                memset(p, 0, s->ram->page_bytes);
            gw_bitmap_clear_atomic(map, page);
        }
    }
    return 0;
}

static void received(struct gw_store *store, const struct gw_ram_block *b, uint64_t *map)
{
    struct direct *s = of(store);
    const uint64_t *from = b->index < s->count ? s->maps[b->index].received : NULL;

    for (size_t i = 0; i < gw_bitmap_words(b->pages); i++)
        map[i] = from ? __atomic_load_n(&from[i], __ATOMIC_SEQ_CST) : 0;
}

static void reset(struct gw_store *store)
{
    struct direct *s = of(store);

    for (unsigned i = 0; i < s->count; i++)
        gw_bitmap_free(s->maps[i].received, s->maps[i].bits);
    for (unsigned i = 0; i < s->count; i++)
        free(s->maps[i].room);
    s->full = false;
    free(s->maps);
    s->maps = NULL;
    s->count = 0;
}

static uint64_t open_page(struct gw_store *store, struct gw_ram_block *b, uint64_t from, uint64_t end)
{
    const uint64_t *map = of(store)->maps[b->index].received;

    if (from + 1 == end) /* also while other threads place other pages */
        return gw_bitmap_test_atomic(map, from) ? end : from;
    return from < end ? gw_bitmap_next_clear(map, end, from) : end;
}

static void expect(struct gw_store *store, struct gw_ram_block *b, uint64_t first, uint64_t count)
{
    struct direct *s = of(store);
    uint8_t *p = b->host + (first << s->ram->page_bits);

    for (uint64_t at = first; s->make_room && at < first + count; at += GW_ROOM_BYTES >> s->ram->page_bits)
        if (!has_room(s, b, at, true))
            return;
    if (s->make_room && !has_room(s, b, first + count - 1, true))
        return;
    if ((uintptr_t)p % s->os_page_bytes || (count << s->ram->page_bits) % s->os_page_bytes)
        return;
    /* A page fault for each page would cost more than the copy. A failure is no error: the faults come one by one
     * then. */
    madvise(p, count << s->ram->page_bits, MADV_POPULATE_WRITE);
}

static void unguess(struct gw_store *store, struct gw_ram_block *b, uint64_t page)
{
    struct direct *s = of(store);

    if (has_room(s, b, page, false))
        memset(b->host + (page << s->ram->page_bits), 0, s->ram->page_bytes);
}

static struct gw_store *store_free(struct gw_store *store)
{
    reset(store);
    pthread_mutex_destroy(&of(store)->lock);
    free(of(store)->scratch);
    free(of(store));
    return NULL;
}

void gw_store_direct_set_room(struct gw_store *store, gw_room_fn room, void *opaque)
{
    of(store)->make_room = room;
    of(store)->opaque = opaque;
}

uint64_t *gw_store_direct_received(struct gw_store *store, const struct gw_ram_block *b)
{
    return b->index < of(store)->count ? of(store)->maps[b->index].received : NULL;
}

int gw_store_direct_new(const struct gw_ram *ram, struct gw_store **ret, struct gw_error *err)
{
    struct direct *s = calloc(1, sizeof *s);

    if (!s)
        return gw_nomem(err, "store of pages");
    *s = (struct direct){.store = {.add = add,
                                   .where = where,
                                   .place = place,
                                   .zero = zero,
                                   .missing = missing,
                                   .reset = reset,
                                   .discard = discard,
                                   .received = received,
                                   .open = open_page,
                                   .expect = expect,
                                   .unguess = unguess,
                                   .free = store_free},
                         .ram = ram,
                         .os_page_bytes = (uint64_t)sysconf(_SC_PAGESIZE),
                         .detect = gw_zero_pick()};
    pthread_mutex_init(&s->lock, NULL);
    s->scratch = aligned_alloc(GW_RAM_ALIGNMENT, 1u << GW_PAGE_BITS_MAX);
    if (!s->scratch) {
        store_free(&s->store);
        return gw_nomem(err, "store of pages");
    }
    *ret = &s->store;
    return 0;
}
