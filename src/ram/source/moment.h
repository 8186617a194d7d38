/* SPDX-License-Identifier: MIT
 *
 * moment: write-protects all memory at one moment, while the machine is stopped, as quickly as possible.
 *
 * To protect a page table entry takes about 0.1 us, which is 30 ms for a GiB. So most of it is done ahead, while the
 * machine runs: a thread, the guard, lets each write pass and records that the pages around it are open again. Pages
 * that are open at the moment are protected then.
 *
 *     begin    every block is watched, untouched memory is populated; ahead, in passes over the open pages
 *     take     the machine is stopped: the guard ends, the last pass
 *     end      removes all protection
 *
 * Invariant: a page that is sent is protected, or is set in `open`, or the guard is about to set it (lock).
 *
 * Threads: one owner; the guard runs beside it.
 */
#ifndef GW_SOURCE_MOMENT_H
#define GW_SOURCE_MOMENT_H

#include "channel/cancel.h"
#include "ram/source/watch.h"

#define GW_MOMENT_AROUND 16u /* target pages that are unprotected together with one that is written to, at least */

struct gw_area {
    struct gw_ram_block *block;
    struct gw_watch watch; /* all zeros: the guest does not write to this block */
    uint64_t step;         /* target pages that are protected together */
    uint64_t *goes;        /* all pages except the discarded ones. NULL: this block is not sent */
    /* pages that are not protected; NULL: the block is not watched. Under lock while there is a guard */
    uint64_t *open;
};

struct gw_moment {
    struct gw_ram *ram;
    const struct gw_cancel *cancel; /* interrupts begin; may be NULL */
    int uffd;
    struct gw_area *areas; /* by block number */
    unsigned count;
    pthread_mutex_t lock;
    pthread_t guard;
    int quit;              /* eventfd; -1: there is no guard */
    struct gw_error error; /* error of the guard. Under lock */
};

void gw_moment_init(struct gw_moment *m, struct gw_ram *ram, const struct gw_cancel *cancel);
void gw_moment_fini(struct gw_moment *m);
/* goes[i]: block i is sent. On failure everything is released. */
int gw_moment_begin(struct gw_moment *m, const bool *goes, struct gw_error *err);
int gw_moment_take(struct gw_moment *m, struct gw_error *err);
void gw_moment_end(struct gw_moment *m);

/* The watched area at this address, and the target page; NULL: there is none. */
struct gw_area *gw_moment_find(const struct gw_moment *m, uintptr_t address, uint64_t *ret_page);
/* The pages around a page: [*ret_first, *ret_last), whole host pages. */
void gw_moment_around(const struct gw_area *a, uint64_t page, uint64_t *ret_first, uint64_t *ret_last);
/* on: protects target pages [first, last); else removes the protection, and threads that wait for them continue. Whole
 * host pages, except at the end of the block. */
int gw_moment_protect(const struct gw_moment *m, const struct gw_area *a, uint64_t first, uint64_t last, bool on,
                      struct gw_error *err);

#endif
