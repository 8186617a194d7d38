/* SPDX-License-Identifier: MIT
 *
 * moment: all memory is write-protected at one moment, at which the machine stands, and as briefly as possible.
 *
 * To protect a page table entry takes about 0.1 us, which is 30 ms for a GiB. So most of it is done ahead, while the machine
 * runs: a thread, the guard, lets each write pass and notes that what lies around it is open again. What is open at the moment
 * is protected then.
 *
 *     begin    every block is watched, what was never touched is read in; ahead, in passes over what is open
 *     take     the machine stands: the guard goes, the last pass
 *     end      all protection goes
 *
 * Invariant: a page that goes is protected, or `open` says that it is not, or the guard is about to say so (lock).
 *
 * Threads: one owner, beside which the guard runs.
 */
#ifndef GW_SOURCE_MOMENT_H
#define GW_SOURCE_MOMENT_H

#include "channel/cancel.h"
#include "ram/source/watch.h"

#define GW_MOMENT_AROUND 16u /* pages that go with one that is written to */

struct gw_area {
    struct gw_ram_block *block;
    struct gw_watch watch; /* zeros where the guest does not write */
    uint64_t step;         /* target pages that are protected together */
    uint64_t *goes;        /* all pages but the discarded ones. NULL: this block does not go */
    uint64_t *open;        /* where it is watched, else NULL: not protected. Under lock while there is a guard */
};

struct gw_moment {
    struct gw_ram *ram;
    const struct gw_cancel *cancel; /* ends begin; may be NULL */
    int uffd;
    struct gw_area *areas; /* by the numbers of blocks */
    unsigned count;
    pthread_mutex_t lock;
    pthread_t guard;
    int quit;              /* eventfd; -1: there is no guard */
    struct gw_error error; /* the guard's. Under lock */
};

void gw_moment_init(struct gw_moment *m, struct gw_ram *ram, const struct gw_cancel *cancel);
void gw_moment_fini(struct gw_moment *m);
/* goes[i]: block i goes. On failure nothing is left. */
int gw_moment_begin(struct gw_moment *m, const bool *goes, struct gw_error *err);
int gw_moment_take(struct gw_moment *m, struct gw_error *err);
void gw_moment_end(struct gw_moment *m);

/* The watched area at this address and the target page in it; NULL: there is none. */
struct gw_area *gw_moment_find(const struct gw_moment *m, uintptr_t address, uint64_t *ret_page);
/* What lies around a page: [*ret_first, *ret_last), whole host pages. */
void gw_moment_around(const struct gw_area *a, uint64_t page, uint64_t *ret_first, uint64_t *ret_last);
/* Protects target pages [first, last), or lets go on who waits for them. Whole host pages, save at the end. */
int gw_moment_protect(const struct gw_moment *m, const struct gw_area *a, uint64_t first, uint64_t last, bool on,
                      struct gw_error *err);

#endif
