/* SPDX-License-Identifier: MIT
 *
 * units: the pieces in which memory is placed while the guest runs, and which of them have come.
 *
 * A unit is the host page of a block, or the target page if that is larger. It goes through these, and never back:
 *
 *     missing --claimed: somebody places it--> placed --> received: all of its target pages have come
 *
 * 1. Who claims a unit is the only one to place it. Who comes later drops what he has: nothing that is there is overwritten.
 * 2. A unit is received only after its contents are there. So who sees a fault in one that is not, and has left word (`waited`)
 *    before he looked, is found by who places it; all of these bits go by one order.
 *
 * Threads: begin and end by one while no other is in; all else by any.
 */
#ifndef GW_STORE_UNITS_H
#define GW_STORE_UNITS_H

#include "ram/page/block.h"
#include "ram/store/missing.h"

struct gw_units { /* of a block; block NULL: pages of this one do not come */
    const struct gw_ram_block *block;
    struct gw_missing memory;
    uint64_t unit_bytes, unit_pages; /* target pages in a unit, at least 1 */
    uint64_t count;
    uint64_t *received; /* by target page; borrowed */
    uint64_t *claimed;  /* by unit */
    uint64_t *waited;   /* somebody waits for it, and it has not come. For ram/store/faults.h */
    uint64_t *asked;    /* also for it, under its lock */
};

struct gw_unit_table {
    const struct gw_ram *ram;
    int uffd;
    bool has_threads; /* the kernel says whose fault it is */
    struct gw_units *of; /* by block number */
    unsigned count;
    uint8_t *zeros;
    uint64_t zeros_bytes;
    atomic_bool finished; /* nothing comes any more */
};

/* The unit of a block. */
static inline uint64_t gw_unit_bytes(const struct gw_ram *ram, const struct gw_ram_block *b)
{
    uint64_t os = (uint64_t)sysconf(_SC_PAGESIZE);

    return GW_MAX(GW_MAX(b->page_bytes, (uint64_t)ram->page_bytes), os);
}

/* received[i]: the map of block i, NULL: its pages do not come. Registers them all, and throws away what has not come: what is
 * there of it (a wrong guess, what the embedder or a huge page put there) would stand in the way. A unit that came in part is
 * complete. On failure nothing is registered. */
int gw_units_begin(struct gw_unit_table *t, const struct gw_ram *ram, uint64_t *const *received, struct gw_error *err);
/* Who waits goes on. Does nothing where nothing has begun. */
void gw_units_end(struct gw_unit_table *t);

/* The block and unit of an address; NULL: none. */
struct gw_units *gw_units_find(struct gw_unit_table *t, uintptr_t address, uint64_t *ret_unit);

static inline uint64_t gw_unit_first_page(const struct gw_units *u, uint64_t unit)
{
    return unit * u->unit_pages;
}

/* Target pages of this unit: less than unit_pages where the block ends in it. */
static inline uint64_t gw_unit_pages(const struct gw_units *u, uint64_t unit)
{
    return GW_MIN(u->unit_pages, u->block->pages - gw_unit_first_page(u, unit));
}

static inline bool gw_unit_received(const struct gw_units *u, uint64_t unit)
{
    return gw_bitmap_test_atomic(u->received, gw_unit_first_page(u, unit));
}

/* The contents of a unit (all of it, up to the end of the memory); from NULL: zeros. 0: it is received, or another one places it.
 */
int gw_unit_put(struct gw_units *u, uint64_t unit, const uint8_t *from, struct gw_error *err);
/* Zeros where nothing is, in a unit that is received: in the page of this address, or (0) in all of it. */
int gw_unit_fill(const struct gw_units *u, uint64_t unit, uintptr_t address, struct gw_error *err);

#endif
