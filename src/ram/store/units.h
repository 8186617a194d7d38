/* SPDX-License-Identifier: MIT
 *
 * units: the units in which memory is placed while the guest runs, and their state.
 *
 * A unit is the host page of a block, or the target page if that is larger. It goes through these states, and never
 * back:
 *
 *     missing --claimed by the thread that places it--> placed --> received: all of its target pages have come
 *
 * 1. Only the thread that has claimed a unit places it. A later thread drops its contents: a present unit is never
 * overwritten.
 * 2. A unit is received only after its contents are present. So if the thread that reads faults sets `waited` before it
 * sees that a unit is not received, the thread that places the unit sees `waited`; all these bits are accessed in
 * sequentially consistent order.
 *
 * Threads: begin and end by one thread while no other uses the table; all other functions by any.
 */
#ifndef GW_STORE_UNITS_H
#define GW_STORE_UNITS_H

#include "ram/page/block.h"
#include "ram/store/missing.h"

struct gw_units { /* the units of a block; block NULL: its pages do not come */
    const struct gw_ram_block *block;
    struct gw_missing memory;
    uint64_t unit_bytes, unit_pages; /* target pages in a unit, at least 1 */
    uint64_t count;
    uint64_t *received; /* by target page; borrowed */
    uint64_t *claimed;  /* by unit */
    uint64_t *waited;   /* threads wait for it, and it has not come. Used by ram/store/faults.h */
    uint64_t *asked;    /* used there too, under its lock */
};

struct gw_unit_table {
    const struct gw_ram *ram;
    int uffd;
    bool has_threads; /* the kernel reports the thread of a fault */
    struct gw_units *of; /* by block number */
    unsigned count;
    uint8_t *zeros;
    uint64_t zeros_bytes;
    atomic_bool finished; /* no more pages will come */
};

/* Size of the units of a block. */
static inline uint64_t gw_unit_bytes(const struct gw_ram *ram, const struct gw_ram_block *b)
{
    uint64_t os = (uint64_t)sysconf(_SC_PAGESIZE);

    return GW_MAX(GW_MAX(b->page_bytes, (uint64_t)ram->page_bytes), os);
}

/* received[i]: the map of block i, NULL: its pages do not come. Registers all blocks, and removes the contents of pages
 * that have not come: pages that are present (a wrong prediction, contents by the embedder or of a huge page) could not
 * be placed. A unit that came in part counts as complete. On failure nothing is registered. */
int gw_units_begin(struct gw_unit_table *t, const struct gw_ram *ram, uint64_t *const *received, struct gw_error *err);
/* Waiting threads continue. Does nothing if begin was not called. */
void gw_units_end(struct gw_unit_table *t);

/* The block and unit of an address; NULL: none. */
struct gw_units *gw_units_find(struct gw_unit_table *t, uintptr_t address, uint64_t *ret_unit);

static inline uint64_t gw_unit_first_page(const struct gw_units *u, uint64_t unit)
{
    return unit * u->unit_pages;
}

/* Number of target pages in this unit: less than unit_pages if the block ends in it. */
static inline uint64_t gw_unit_pages(const struct gw_units *u, uint64_t unit)
{
    return GW_MIN(u->unit_pages, u->block->pages - gw_unit_first_page(u, unit));
}

static inline bool gw_unit_received(const struct gw_units *u, uint64_t unit)
{
    return gw_bitmap_test_atomic(u->received, gw_unit_first_page(u, unit));
}

/* Places the contents of a unit (all of it, up to the end of the memory); from NULL: zeros. 0 also if it is received
 * already, or another thread places it. */
int gw_unit_put(struct gw_units *u, uint64_t unit, const uint8_t *from, struct gw_error *err);
/* Places zeros in a received unit where nothing is present: in the page of this address, or (0) in all of it. */
int gw_unit_fill(const struct gw_units *u, uint64_t unit, uintptr_t address, struct gw_error *err);

#endif
