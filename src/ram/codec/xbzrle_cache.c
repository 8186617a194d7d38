/* SPDX-License-Identifier: MIT */
#include "ram/codec/xbzrle_cache.h"

#include <assert.h>
#include <sys/mman.h>

/* Fresh anonymous memory is zero: EMPTY must be 0. */
enum state { EMPTY, DATA, ZEROS /* the slot itself is garbage */ };

struct entry {
    uint64_t key;
    uint32_t used; /* the sync count when the page was put or found last */
    uint32_t state;
};

struct table {
    uint64_t slots; /* a power of two */
    struct entry *entries;
    uint8_t *data;
};

struct gw_xbzrle_cache {
    uint32_t page_bytes;
    uint32_t syncs;
    struct table *now;
    _Atomic uint64_t slots;         /* now->slots, for other threads */
    _Atomic(struct table *) wanted; /* made by resize, taken by adopt; NULL: nothing to do */
};

static void *reserve(uint64_t bytes)
{
    void *p = mmap(NULL, (size_t)bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    return p == MAP_FAILED ? NULL : p;
}

static struct table *table_free(struct table *t, uint32_t page_bytes)
{
    if (!t)
        return NULL;
    if (t->entries)
        munmap(t->entries, (size_t)(t->slots * sizeof *t->entries));
    if (t->data)
        munmap(t->data, (size_t)(t->slots * page_bytes));
    free(t);
    return NULL;
}

static int table_new(uint64_t slots, uint32_t page_bytes, struct table **ret, struct gw_error *err)
{
    struct table *t = calloc(1, sizeof *t);

    if (t) {
        t->slots = slots;
        t->entries = reserve(slots * sizeof *t->entries);
        t->data = reserve(slots * page_bytes);
    }
    if (!t || !t->entries || !t->data) {
        table_free(t, page_bytes);
        return gw_fail(err, -ENOMEM, GW_BLAME_LOCAL, "out of memory (xbzrle cache of %" PRIu64 " pages)", slots);
    }
    *ret = t;
    return 0;
}

static int slots_of(uint64_t bytes, uint32_t page_bytes, uint64_t *ret, struct gw_error *err)
{
    if (bytes < page_bytes)
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "xbzrle cache of %" PRIu64 " bytes is too small: it must hold at least one "
                       "page (%u bytes)",
                       bytes, page_bytes);
    if (bytes > SIZE_MAX / 2)
        return gw_fail(err, -ERANGE, GW_BLAME_CALLER,
                       "xbzrle cache of %" PRIu64 " bytes is larger than the address space", bytes);
    *ret = 1ull << (63 - __builtin_clzll(bytes / page_bytes));
    return 0;
}

int gw_xbzrle_cache_new(uint64_t bytes, uint32_t page_bytes, struct gw_xbzrle_cache **ret_cache, struct gw_error *err)
{
    struct gw_xbzrle_cache *c;
    uint64_t slots;
    int r;

    assert(gw_is_pow2(page_bytes) && page_bytes >= 1024);
    r = slots_of(bytes, page_bytes, &slots, err);
    if (r < 0)
        return r;
    c = calloc(1, sizeof *c);
    if (!c)
        return gw_nomem(err, "xbzrle cache");
    r = table_new(slots, page_bytes, &c->now, err);
    if (r < 0) {
        free(c);
        return r;
    }
    c->page_bytes = page_bytes;
    c->slots = slots;
    *ret_cache = c;
    return 0;
}

struct gw_xbzrle_cache *gw_xbzrle_cache_free(struct gw_xbzrle_cache *c)
{
    if (c) {
        table_free(c->now, c->page_bytes);
        table_free(c->wanted, c->page_bytes);
        free(c);
    }
    return NULL;
}

static uint8_t *data_at(const struct gw_xbzrle_cache *c, const struct table *t, uint64_t slot)
{
    return t->data + slot * c->page_bytes;
}

static bool has(const struct entry *e, uint64_t key)
{
    return e->state != EMPTY && e->key == key;
}

/* The difference of the counts is right even after the count has wrapped. */
static uint32_t age(const struct gw_xbzrle_cache *c, const struct entry *e)
{
    return c->syncs - e->used;
}

uint8_t *gw_xbzrle_cache_find(struct gw_xbzrle_cache *c, uint64_t key)
{
    uint64_t slot = key & (c->now->slots - 1);
    struct entry *e = &c->now->entries[slot];
    uint8_t *data = data_at(c, c->now, slot);

    if (!has(e, key))
        return NULL;
    e->used = c->syncs;
    if (e->state == ZEROS) {
        memset(data, 0, c->page_bytes);
        e->state = DATA;
    }
    return data;
}

/* The page's entry, taken over from another page if needed; NULL: that page is too young. */
static struct entry *claim(struct gw_xbzrle_cache *c, uint64_t key)
{
    struct entry *e = &c->now->entries[key & (c->now->slots - 1)];

    if (e->state != EMPTY && e->key != key && age(c, e) < GW_XBZRLE_CACHE_SYNCS)
        return NULL;
    e->key = key;
    e->used = c->syncs;
    return e;
}

uint8_t *gw_xbzrle_cache_put(struct gw_xbzrle_cache *c, uint64_t key)
{
    struct entry *e = claim(c, key);

    if (!e)
        return NULL;
    e->state = DATA;
    return data_at(c, c->now, key & (c->now->slots - 1));
}

void gw_xbzrle_cache_zero(struct gw_xbzrle_cache *c, uint64_t key)
{
    struct entry *e = claim(c, key);

    /* Most zero pages are never written again: the slot is cleared only when the page is found. */
    if (e)
        e->state = ZEROS;
}

void gw_xbzrle_cache_prefetch(const struct gw_xbzrle_cache *c, uint64_t key)
{
    uint64_t slot = key & (c->now->slots - 1);

    __builtin_prefetch(&c->now->entries[slot]);
    __builtin_prefetch(data_at(c, c->now, slot));
}

void gw_xbzrle_cache_sync(struct gw_xbzrle_cache *c)
{
    c->syncs++;
}

void gw_xbzrle_cache_clear(struct gw_xbzrle_cache *c)
{
    struct table *t = c->now;

    /* Private anonymous memory reads as zeros afterwards, so all entries are EMPTY. */
    if (madvise(t->entries, (size_t)(t->slots * sizeof *t->entries), MADV_DONTNEED))
        memset(t->entries, 0, (size_t)(t->slots * sizeof *t->entries));
    madvise(t->data, (size_t)(t->slots * c->page_bytes), MADV_DONTNEED);
}

int gw_xbzrle_cache_resize(struct gw_xbzrle_cache *c, uint64_t bytes, struct gw_error *err)
{
    struct table *t = NULL;
    uint64_t slots;
    int r;

    r = slots_of(bytes, c->page_bytes, &slots, err);
    if (r < 0)
        return r;
    /* Even if this is the current size: the owner may be about to adopt another one that was requested earlier. */
    r = table_new(slots, c->page_bytes, &t, err);
    if (r < 0)
        return r;
    table_free(atomic_exchange(&c->wanted, t), c->page_bytes);
    return 0;
}

/* The memory of the old table is freed step by step, so that both tables are not resident at the same time. */
#define MOVE_SLOTS 1024

static void move(const struct gw_xbzrle_cache *c, struct table *from, struct table *to)
{
    for (uint64_t i = 0; i < from->slots; i++) {
        const struct entry *e = &from->entries[i];
        uint64_t slot = e->key & (to->slots - 1);
        struct entry *other = &to->entries[slot];

        if (e->state != EMPTY && (other->state == EMPTY || age(c, e) < age(c, other))) {
            *other = *e;
            if (e->state == DATA)
                memcpy(data_at(c, to, slot), data_at(c, from, i), c->page_bytes);
        }
        if ((i + 1) % MOVE_SLOTS == 0)
            madvise(data_at(c, from, i + 1 - MOVE_SLOTS), (size_t)MOVE_SLOTS * c->page_bytes, MADV_DONTNEED);
    }
}

bool gw_xbzrle_cache_adopt(struct gw_xbzrle_cache *c)
{
    struct table *t, *old = c->now;

    if (!atomic_load_explicit(&c->wanted, memory_order_relaxed))
        return false;
    t = atomic_exchange(&c->wanted, NULL);
    if (!t || t->slots == old->slots) {
        table_free(t, c->page_bytes);
        return false;
    }
    move(c, old, t);
    c->now = t;
    atomic_store(&c->slots, t->slots);
    table_free(old, c->page_bytes);
    return true;
}

uint64_t gw_xbzrle_cache_bytes(const struct gw_xbzrle_cache *c)
{
    return atomic_load(&c->slots) * c->page_bytes;
}

/* ---- counters ---- */

#define ADD(field, n) __atomic_store_n(&(field), (field) + (n), __ATOMIC_RELAXED)

void gw_xbzrle_counters_add(struct gw_xbzrle_counters *c, enum gw_xbzrle_outcome outcome, uint32_t record_bytes)
{
    switch (outcome) {
    case GW_XBZRLE_MISSED:
        ADD(c->cache_miss, 1);
        return;
    case GW_XBZRLE_UNCHANGED:
        break;
    case GW_XBZRLE_OVERFLOWED:
        ADD(c->overflow, 1);
        ADD(c->bytes, record_bytes);
        break;
    case GW_XBZRLE_CODED:
        ADD(c->bytes, record_bytes);
        break;
    }
    ADD(c->pages, 1);
}

void gw_xbzrle_counters_period(struct gw_xbzrle_counters *c, uint64_t handled_pages, uint32_t page_bytes)
{
    double miss = gw_ratio(c->cache_miss - c->period_cache_miss, handled_pages);
    double encoding = gw_ratio((c->pages - c->period_pages) * page_bytes, c->bytes - c->period_bytes);

    __atomic_store(&c->cache_miss_rate, &miss, __ATOMIC_RELAXED);
    __atomic_store(&c->encoding_rate, &encoding, __ATOMIC_RELAXED);
    ADD(c->period_cache_miss, c->cache_miss - c->period_cache_miss);
    ADD(c->period_pages, c->pages - c->period_pages);
    ADD(c->period_bytes, c->bytes - c->period_bytes);
}

#define GET(field) __atomic_load(&c->field, &ret_copy->field, __ATOMIC_RELAXED)

void gw_xbzrle_counters_get(const struct gw_xbzrle_counters *c, struct gw_xbzrle_counters *ret_copy)
{
    GET(bytes);
    GET(pages);
    GET(cache_miss);
    GET(overflow);
    GET(cache_miss_rate);
    GET(encoding_rate);
    GET(period_bytes);
    GET(period_pages);
    GET(period_cache_miss);
}
