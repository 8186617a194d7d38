/* SPDX-License-Identifier: MIT
 *
 * working_set: runs of pages in the order in which a guest wanted them (godwit/working_set.h), and as the bytes of a file
 * (docs/formats/working-set.md).
 *
 * Hostile: get trusts nothing: counts are bounded by the bytes that there are, runs lie inside their block as the file tells it.
 * Whether a machine has such a block and page is for who uses it.
 *
 * Threads: one owner.
 */
#ifndef GW_SOURCE_WORKING_SET_H
#define GW_SOURCE_WORKING_SET_H

#include "base/cursor.h"
#include "godwit/working_set.h"

#define GW_WORKING_SET_MAGIC     "gdwtwset"
#define GW_WORKING_SET_VERSION   1u
#define GW_WORKING_SET_BYTES_MAX (32u << 20) /* of a file */
#define GW_WORKING_SET_BLOCKS    4096u
#define GW_WORKING_SET_RUNS      (1u << 20)

struct gw_working_block {
    char name[256];
    uint64_t pages; /* that it had when that was recorded */
};

struct gw_working_run {
    uint32_t block;
    bool beside; /* not asked for itself: it was sent with a page that was */
    uint64_t first, count;
};

struct gw_working_set {
    uint32_t page_bytes; /* 0: nothing is there yet */
    struct gw_working_block *blocks;
    uint32_t block_count;
    struct gw_working_run *runs;
    size_t run_count, run_cap;
};

/* Pages of this block, behind what is there; a run that goes on where the last one ended becomes a part of it. block_pages: of the
 * block. What is more than GW_WORKING_SET_RUNS is left out. -ENOMEM; -EINVAL: pages of another size. */
int gw_working_set_add(struct gw_working_set *set, uint32_t page_bytes, const char *block, uint64_t block_pages, bool beside,
                       uint64_t first, uint64_t count, struct gw_error *err);
/* The number of the block of this name, which is added where it is not there; pages: of the block. */
int gw_working_set_block(struct gw_working_set *set, const char *name, uint64_t pages, uint32_t *ret, struct gw_error *err);
void gw_working_set_put(const struct gw_working_set *set, struct gw_out *out);
/* Adds what the bytes of a file have; errors as gw_working_set_read. */
int gw_working_set_get(struct gw_working_set *set, const void *data, size_t bytes, struct gw_error *err);

#endif
