/* SPDX-License-Identifier: MIT */
#include "ram/store/units.h"

#include <linux/userfaultfd.h>
#include <sys/mman.h>

#include "ram/page/pagemap_abi.h"
#include "ram/page/uffd.h"

/* Size of a unit; the last one ends with the memory. */
static uint64_t bytes_of(const struct gw_units *u, uint64_t unit)
{
    return GW_MIN(u->unit_bytes, u->memory.bytes - unit * u->unit_bytes);
}

/* ---- begin and end ------------------------------------------------------------------------------------------------- */

static int make(struct gw_unit_table *t, const struct gw_ram_block *b, uint64_t *received, struct gw_error *err)
{
    struct gw_units *u = &t->of[b->index];

    u->unit_bytes = gw_unit_bytes(t->ram, b);
    u->unit_pages = u->unit_bytes >> t->ram->page_bits;
    u->count = gw_div_up(b->used_bytes, u->unit_bytes);
    u->received = received;
    u->claimed = gw_bitmap_new(u->count);
    u->waited = gw_bitmap_new(u->count);
    u->asked = gw_bitmap_new(u->count);
    u->block = b;
    return u->claimed && u->waited && u->asked ? 0 : gw_nomem(err, "map of pages that are waited for");
}

/* A unit that came in part counts as complete; units that came count as claimed. */
static void settle(struct gw_units *u)
{
    uint64_t page = 0, pages = u->block->pages;

    while ((page = gw_bitmap_next_set(u->received, pages, page)) < pages) {
        uint64_t unit = page / u->unit_pages, first = gw_unit_first_page(u, unit);

        gw_bitmap_set_range(u->received, first, gw_unit_pages(u, unit));
        gw_bitmap_set(u->claimed, unit);
        page = first + gw_unit_pages(u, unit);
    }
}

static int throw_away(const struct gw_units *u, struct gw_error *err)
{
    uint64_t first = 0, end;

    for (; (first = gw_bitmap_next_clear(u->claimed, u->count, first)) < u->count; first = end) {
        uint64_t from = first * u->unit_bytes;
        int r;

        end = gw_bitmap_next_set(u->claimed, u->count, first);
        r = gw_missing_discard(u->block, u->memory.shared, from, GW_MIN(end * u->unit_bytes, u->memory.bytes) - from, err);
        if (r < 0)
            return r;
    }
    return 0;
}

/* A buffer of zeros for pages that are not present before they are placed. */
static int make_zeros(struct gw_unit_table *t, uint64_t bytes, struct gw_error *err)
{
    void *p = mmap(NULL, bytes, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (p == MAP_FAILED)
        return gw_nomem(err, "a page of zeros");
    t->zeros = p;
    t->zeros_bytes = bytes;
    return 0;
}

static int start(struct gw_unit_table *t, uint64_t *const *received, struct gw_error *err)
{
    uint64_t features, largest = 1;
    int r = gw_uffd_open_missing(&t->uffd, &features, err);

    if (r < 0)
        return r;
    t->has_threads = features & GW_UFFD_FEATURE_THREAD_ID;
    t->of = calloc(GW_MAX(t->count, 1u), sizeof *t->of);
    if (!t->of)
        return gw_nomem(err, "pages of RAM blocks");
    for (unsigned i = 0; i < t->count; i++)
        largest = GW_MAX(largest, received[i] ? t->ram->blocks[i]->page_bytes : 0);
    r = make_zeros(t, largest, err);
    /* Registers first: after that the kernel makes no huge page of a range with missing pages. */
    for (unsigned i = 0; r >= 0 && i < t->count; i++) {
        const struct gw_ram_block *b = t->ram->blocks[i];

        if (!received[i] || !b->pages)
            continue;
        r = make(t, b, received[i], err);
        if (r >= 0)
            r = gw_missing_begin(&t->of[i].memory, t->uffd, b, t->zeros, err);
    }
    for (unsigned i = 0; r >= 0 && i < t->count; i++) {
        if (!t->of[i].block)
            continue;
        settle(&t->of[i]);
        r = throw_away(&t->of[i], err);
    }
    return r;
}

int gw_units_begin(struct gw_unit_table *t, const struct gw_ram *ram, uint64_t *const *received, struct gw_error *err)
{
    int r;

    *t = (struct gw_unit_table){.ram = ram, .uffd = -1, .count = ram->count};
    r = start(t, received, err);
    if (r < 0)
        gw_units_end(t);
    return r;
}

void gw_units_end(struct gw_unit_table *t)
{
    for (unsigned i = 0; t->of && i < t->count; i++) {
        struct gw_units *u = &t->of[i];

        gw_missing_end(&u->memory);
        gw_bitmap_free(u->claimed, u->count);
        gw_bitmap_free(u->waited, u->count);
        gw_bitmap_free(u->asked, u->count);
    }
    free(t->of);
    if (t->zeros)
        munmap(t->zeros, t->zeros_bytes);
    if (t->ram && t->uffd >= 0)
        close(t->uffd);
    *t = (struct gw_unit_table){.uffd = -1};
}

/* ---- units --------------------------------------------------------------------------------------------------------- */

struct gw_units *gw_units_find(struct gw_unit_table *t, uintptr_t address, uint64_t *ret_unit)
{
    for (unsigned i = 0; i < t->count; i++) {
        struct gw_units *u = &t->of[i];
        uintptr_t start = (uintptr_t)u->memory.host;

        if (!u->block || address < start || address - start >= u->memory.bytes)
            continue;
        *ret_unit = (address - start) / u->unit_bytes;
        return u;
    }
    return NULL;
}

int gw_unit_put(struct gw_units *u, uint64_t unit, const uint8_t *from, struct gw_error *err)
{
    uint64_t offset = unit * u->unit_bytes, first = gw_unit_first_page(u, unit);
    int r;

    if (gw_bitmap_set_atomic(u->claimed, unit))
        return 0;
    r = from ? gw_missing_copy(&u->memory, offset, from, bytes_of(u, unit), err)
             : gw_missing_zero(&u->memory, offset, bytes_of(u, unit), err);
    if (r < 0) {
        gw_bitmap_clear_atomic(u->claimed, unit);
        return r;
    }
    if (u->unit_pages == 1)
        gw_bitmap_set_atomic(u->received, first);
    else
        gw_bitmap_set_range_atomic(u->received, first, gw_unit_pages(u, unit));
    return 0;
}

int gw_unit_fill(const struct gw_units *u, uint64_t unit, uintptr_t address, struct gw_error *err)
{
    const struct gw_missing *m = &u->memory;
    uint64_t offset = address - (uintptr_t)m->host;

    return address ? gw_missing_fill(m, offset - offset % m->step, m->step, err)
                   : gw_missing_fill(m, unit * u->unit_bytes, bytes_of(u, unit), err);
}
