/* SPDX-License-Identifier: MIT
 *
 * working_set: runs of pages in the order in which a guest has requested them (godwit/working_set.h), and their file
 * format (docs/formats/working-set.md).
 *
 * Hostile: get trusts nothing: counts are bounded by the size of the file, runs lie inside their block as the file
 * describes it. The user checks whether a machine has such a block and page.
 *
 * Threads: one owner.
 */
#ifndef GW_SOURCE_WORKING_SET_H
#define GW_SOURCE_WORKING_SET_H

#include "base/cursor.h"
#include "godwit/working_set.h"

#define GW_WORKING_SET_MAGIC     "gdwtwset"
#define GW_WORKING_SET_VERSION   1u
#define GW_WORKING_SET_BYTES_MAX (32u << 20) /* size of a file */
#define GW_WORKING_SET_BLOCKS    4096u
#define GW_WORKING_SET_RUNS      (1u << 20)

struct gw_working_block {
    char name[256];
    uint64_t pages; /* that it had when it was recorded */
};

struct gw_working_run {
    uint32_t block;
    bool beside; /* not requested: it was sent beside a requested page */
    uint64_t first, count;
};

struct gw_working_set {
    uint32_t page_bytes; /* 0: the set is empty */
    struct gw_working_block *blocks;
    uint32_t block_count;
    struct gw_working_run *runs;
    size_t run_count, run_cap;
};

/* Appends pages of this block; a run that continues the last one is merged with it. block_pages: size of the block.
 * Runs beyond GW_WORKING_SET_RUNS are left out. -ENOMEM; -EINVAL: another page size. */
int gw_working_set_add(struct gw_working_set *set, uint32_t page_bytes, const char *block, uint64_t block_pages, bool beside,
                       uint64_t first, uint64_t count, struct gw_error *err);
/* The number of the block of this name, which is added if needed; pages: size of the block. */
int gw_working_set_block(struct gw_working_set *set, const char *name, uint64_t pages, uint32_t *ret, struct gw_error *err);
void gw_working_set_put(const struct gw_working_set *set, struct gw_out *out);
/* Adds the contents of a file; errors as gw_working_set_read. */
int gw_working_set_get(struct gw_working_set *set, const void *data, size_t bytes, struct gw_error *err);

#endif
