/* SPDX-License-Identifier: MIT */
#include "ram/store/staging.h"

#include <sys/mman.h>

#include "ram/page/batch.h"

struct slot {
    uint64_t unit;
    uint64_t came;      /* number of target pages that have come */
    bool contents;      /* some are not zeros; else nothing was written to the slot yet */
    bool used;
};

/* Slots first to first + count, in a ring, for units of one block; some in the middle may be free again. */
struct gw_staging {
    const struct gw_units *u; /* NULL: no slot is in use */
    uint8_t *memory, *scratch;
    uint64_t bytes;
    struct slot *slot;
    unsigned slots; /* hold units of this block */
    unsigned first, count;
    uint64_t *came; /* slots * unit_pages bits, for units with several target pages */
    uint64_t bits;
    unsigned page_bits;
};

/* Enough for the target pages of one batch. */
static uint64_t slots_for(const struct gw_units *u)
{
    return u->unit_pages == 1 ? GW_BATCH_PAGES : GW_BATCH_PAGES / u->unit_pages + 2;
}

int gw_staging_new(const struct gw_unit_table *t, struct gw_staging **ret, struct gw_error *err)
{
    uint64_t bytes = 0, slots = 1, bits = 1, page = t->ram->page_bytes;
    struct gw_staging *s = calloc(1, sizeof *s);

    for (unsigned i = 0; i < t->count; i++) {
        const struct gw_units *u = &t->of[i];

        if (!u->block)
            continue;
        slots = GW_MAX(slots, slots_for(u));
        bytes = GW_MAX(bytes, slots_for(u) * u->unit_bytes);
        bits = GW_MAX(bits, slots_for(u) * u->unit_pages);
    }
    if (!s)
        return gw_nomem(err, "pages that are put together");
    s->page_bits = t->ram->page_bits;
    s->bits = bits;
    s->bytes = bytes + page;
    s->slot = calloc(slots, sizeof *s->slot);
    s->came = gw_bitmap_new(bits);
    s->memory = mmap(NULL, s->bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (s->memory == MAP_FAILED)
        s->memory = NULL;
    if (!s->slot || !s->came || !s->memory) {
        gw_staging_free(s);
        return gw_nomem(err, "pages that are put together");
    }
    s->scratch = s->memory + bytes;
    *ret = s;
    return 0;
}

struct gw_staging *gw_staging_free(struct gw_staging *s)
{
    if (!s)
        return NULL;
    if (s->memory)
        munmap(s->memory, s->bytes);
    gw_bitmap_free(s->came, s->bits);
    free(s->slot);
    free(s);
    return NULL;
}

void gw_staging_forget(struct gw_staging *s)
{
    for (; s->count; s->count--) {
        s->slot[s->first].used = false;
        s->first = (s->first + 1) % s->slots;
    }
    s->u = NULL;
}

static uint8_t *memory_of(const struct gw_staging *s, unsigned slot)
{
    return s->memory + slot * s->u->unit_bytes;
}

/* -1: not found. */
static int find(const struct gw_staging *s, uint64_t unit)
{
    for (unsigned i = 0; i < s->count; i++) {
        unsigned slot = (s->first + i) % s->slots;

        if (s->slot[slot].used && s->slot[slot].unit == unit)
            return (int)slot;
    }
    return -1;
}

/* -1: no slot is free, or they hold units of another block. */
static int take(struct gw_staging *s, const struct gw_units *u, uint64_t unit)
{
    unsigned slot;

    if (!s->count) {
        s->u = u;
        s->slots = (unsigned)slots_for(u);
        s->first = 0;
    }
    if (s->u != u || s->count == s->slots)
        return -1;
    slot = (s->first + s->count++) % s->slots;
    s->slot[slot] = (struct slot){.unit = unit, .used = true};
    if (u->unit_pages > 1)
        gw_bitmap_clear_range(s->came, slot * u->unit_pages, u->unit_pages);
    return (int)slot;
}

static void give_back(struct gw_staging *s, unsigned slot)
{
    s->slot[slot].used = false;
    while (s->count && !s->slot[s->first].used) {
        s->first = (s->first + 1) % s->slots;
        s->count--;
    }
}

static int slot_of(struct gw_staging *s, const struct gw_units *u, uint64_t unit)
{
    int slot = s->u == u ? find(s, unit) : -1;

    return slot >= 0 ? slot : take(s, u, unit);
}

/* Before the first contents that are not zeros: clears the slot, since the pages so far, and the range beyond the
 * block, are zeros. */
static void clear(const struct gw_staging *s, unsigned slot)
{
    const struct gw_units *u = s->u;
    uint8_t *p = memory_of(s, slot);
    uint64_t pages = u->unit_pages > 1 ? gw_unit_pages(u, s->slot[slot].unit) : 0;

    for (uint64_t i = 0; i < pages; i++)
        if (gw_bitmap_test(s->came, slot * u->unit_pages + i))
            memset(p + (i << s->page_bits), 0, (size_t)1 << s->page_bits);
    if (pages < u->unit_pages && u->unit_pages > 1)
        memset(p + (pages << s->page_bits), 0, (u->unit_pages - pages) << s->page_bits);
}

uint8_t *gw_staging_where(struct gw_staging *s, const struct gw_units *u, uint64_t page)
{
    uint64_t unit = page / u->unit_pages;
    int slot = slot_of(s, u, unit);

    if (slot < 0)
        return s->scratch;
    if (!s->slot[slot].contents)
        clear(s, (unsigned)slot);
    s->slot[slot].contents = true;
    return memory_of(s, (unsigned)slot) + ((page - unit * u->unit_pages) << s->page_bits);
}

/* A unit that was begun, other than this one; NULL: there is none. */
static const struct slot *begun(const struct gw_staging *s, int slot)
{
    for (unsigned i = 0; i < s->count; i++) {
        unsigned at = (s->first + i) % s->slots;

        if ((int)at != slot && s->slot[at].used && s->slot[at].came)
            return &s->slot[at];
    }
    return NULL;
}

static int out_of_order(const struct gw_staging *s, const struct gw_units *u, uint64_t page, const struct slot *left,
                        struct gw_error *err)
{
    uint64_t offset = page << s->page_bits;

    if (!left)
        return gw_fail(err, -EPROTO, GW_BLAME_PEER,
                       "RAM block %s: the page at 0x%" PRIx64 " comes between pages of block %s, or is too far from those that were named "
                       "before it", u->block->name, offset, s->u->block->name);
    return gw_fail(err, -EPROTO, GW_BLAME_PEER,
                   "RAM block %s: the page at 0x%" PRIx64 " comes while the host page at 0x%" PRIx64 " of block %s is not complete (%" PRIu64
                   " of %" PRIu64 " pages)", u->block->name, offset, left->unit * s->u->unit_bytes, s->u->block->name, left->came,
                   gw_unit_pages(s->u, left->unit));
}

int gw_staging_put(struct gw_staging *s, const struct gw_units *u, uint64_t page, bool zeros, const uint8_t **ret_from,
                   struct gw_error *err)
{
    uint64_t unit = page / u->unit_pages, at = page - unit * u->unit_pages;
    int slot = slot_of(s, u, unit);
    const struct slot *left = u->unit_pages > 1 || s->u != u ? begun(s, slot) : NULL;
    struct slot *mine;

    if (slot < 0 || left)
        return out_of_order(s, u, page, left, err);
    mine = &s->slot[slot];
    if (!zeros && !mine->contents)
        return gw_fail(err, -EPROTO, GW_BLAME_PEER, "RAM block %s: the page at 0x%" PRIx64 " comes twice at the same "
                       "time", u->block->name,
                       page << s->page_bits);
    if (u->unit_pages == 1) {
        *ret_from = zeros ? NULL : memory_of(s, (unsigned)slot);
        give_back(s, (unsigned)slot);
        return 1;
    }
    if (zeros && mine->contents)
        memset(memory_of(s, (unsigned)slot) + (at << s->page_bits), 0, (size_t)1 << s->page_bits);
    if (!gw_bitmap_test(s->came, slot * u->unit_pages + at)) {
        gw_bitmap_set(s->came, slot * u->unit_pages + at);
        mine->came++;
    }
    if (mine->came < gw_unit_pages(u, unit))
        return 0;
    *ret_from = mine->contents ? memory_of(s, (unsigned)slot) : NULL;
    give_back(s, (unsigned)slot);
    return 1;
}
