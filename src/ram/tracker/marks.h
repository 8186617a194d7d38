/* SPDX-License-Identifier: MIT
 *
 * marks: "this page was written", said by any thread, taken by one. What gw_tracker_mark stands on.
 *
 * One bit a page, and above it one bit a chunk, so that taking costs what was marked and not what there is.
 *
 * Order: who marks has written before; gw_marks_set is a full barrier, so that whoever takes the mark afterwards reads
 * what was written, and a mark that comes too late for one take is found by the next.
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

/* Makes room for all blocks of the ram and begins to take marks; old ones are forgotten. */
int gw_marks_open(struct gw_marks *m, struct gw_ram *ram, struct gw_error *err);
/* Returns how many of them were not marked before. */
uint64_t gw_marks_set(struct gw_marks *m, const struct gw_ram_block *b, uint64_t first, uint64_t pages);
/* Moves the marks of b into its dirty map (gw_tracker_found). Under ram->lock. Returns how many bits became set. */
uint64_t gw_marks_take(struct gw_marks *m, struct gw_tracker *t, struct gw_ram_block *b);
/* The same of the chunks from first on, at a clean: none of them becomes unclean. What is due there anyway goes once then, and not
 * again in the next pass. */
uint64_t gw_marks_take_chunks(struct gw_marks *m, struct gw_tracker *t, struct gw_ram_block *b, uint64_t first, uint64_t pages);
/* From now on gw_marks_set does nothing, and what it noted is forgotten. It may still be running. */
void gw_marks_shut(struct gw_marks *m);
/* Frees all; no gw_marks_set may be running. */
void gw_marks_close(struct gw_marks *m);

#endif
