/* SPDX-License-Identifier: MIT
 *
 * marks: pages that any thread has reported as written, taken by one thread. gw_tracker_mark uses it.
 *
 * One bit for each page, and one for each chunk, so that the cost of taking depends on the number of marks, not on the
 * size of the memory.
 *
 * Order: a thread marks a page after it has written to it. gw_marks_set is a full barrier, so a thread that takes the
 * mark reads the new contents, and a mark that comes too late for one take is found by the next.
 *
 * Threads: set on any, lock-free, at any time between init and close. open, take, shut on the tracker's.
 */
#ifndef GW_MARKS_H
#define GW_MARKS_H

#include "ram/page/block.h"

struct gw_marks_table;
struct gw_tracker;

struct gw_marks {
    struct gw_marks_table *table; /* atomic; NULL before the first open */
    bool open;                    /* atomic */
};

/* Makes room for all blocks of the ram and begins to accept marks; old ones are cleared. */
int gw_marks_open(struct gw_marks *m, struct gw_ram *ram, struct gw_error *err);
/* Returns how many of the pages were not marked before. */
uint64_t gw_marks_set(struct gw_marks *m, const struct gw_ram_block *b, uint64_t first, uint64_t pages);
/* Moves the marks of b into its dirty map (gw_tracker_found). Under ram->lock. Returns how many bits became set. */
uint64_t gw_marks_take(struct gw_marks *m, struct gw_tracker *t, struct gw_ram_block *b);
/* The same for the chunks from first on, in a clean: none of them becomes unclean. So pages that are due there are sent
 * once, and not again in the next pass. */
uint64_t gw_marks_take_chunks(struct gw_marks *m, struct gw_tracker *t, struct gw_ram_block *b, uint64_t first, uint64_t pages);
/* From now on gw_marks_set does nothing, and its marks are dropped. It may still be running. */
void gw_marks_shut(struct gw_marks *m);
/* Frees all; no gw_marks_set may be running. */
void gw_marks_close(struct gw_marks *m);

#endif
