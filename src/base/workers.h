/* SPDX-License-Identifier: MIT
 *
 * workers: threads that work on a ring of slots. Work begins in order; its results are taken in order.
 *
 * Work has numbers 0, 1, 2 ... Number n lives in slot n % slots. The contents of a slot (buffers, a job) are memory of
 * the user, who indexes it with the slot. Two ways to use it:
 *
 *     jobs:        fill slot n; gw_workers_submit(w, n + 1) ...; gw_workers_take(w, oldest); gw_workers_release(w,
 * oldest + 1) read ahead:  gw_workers_submit(w, total), once; gw_workers_take(w, 0), gw_workers_take(w, 1) ...
 *
 * The window is [first, first + slots): first is the last number that was taken, or up to which slots were released.
 * Threads begin numbers of the window that were submitted, lowest first; they may finish in any order. A take of a
 * number moves the window there:
 *
 *     inside what was begun   the numbers in between are given up; their slots are used again
 *     anywhere else           the order is left: threads begin again at that number. Work that is under way is finished
 *                             and its result discarded, then its slot is used again
 *
 * The taken slot belongs to the owner until the window moves past it. Until then the owner may also exchange its
 * buffers, so that a buffer outlives the slot.
 *
 * Memory: a small struct for each slot; nothing grows.
 * Threads: one owner for submit, take, release and free. gw_workers_cancel: any thread. Threads of the object block all
 * signals.
 */
#ifndef GW_BASE_WORKERS_H
#define GW_BASE_WORKERS_H

#include "base/base.h"

#define GW_WORKERS_MAX 64u /* number of threads */

struct gw_workers;

struct gw_workers_ops {
    /* Does number n, in its slot. thread: 0 .. threads - 1, the index of per-thread state. An error is returned by the take of
     * this number; the other numbers are not affected. */
    int (*work)(void *opaque, unsigned thread, uint64_t n, unsigned slot, struct gw_error *err);
    /* Optional: false when the work of `slot` may not begin before that of `older` is done. Called under the lock. */
    bool (*apart)(void *opaque, unsigned slot, unsigned older);
};

/* The number of threads to use: `asked`, or one per processor for 0; at most `max`. */
unsigned gw_workers_threads(unsigned asked, unsigned max);

/* Starts at least one thread, up to `threads` if the system allows. threads: 1 .. GW_WORKERS_MAX; slots: 1 or more. */
int gw_workers_new(const struct gw_workers_ops *ops, void *opaque, unsigned threads, unsigned slots,
                   struct gw_workers **ret, struct gw_error *err);
/* Numbers below `end` may begin from now on. end never becomes less. */
void gw_workers_submit(struct gw_workers *w, uint64_t end);
/* Waits until number n, which was submitted, is done. 0: the owner has its slot; the same number may be taken again.
 * Else the error of its work, or -ECANCELED. */
int gw_workers_take(struct gw_workers *w, uint64_t n, struct gw_error *err);
/* Moves the window to n: the slots of all numbers below n are used again. Does not block. */
void gw_workers_release(struct gw_workers *w, uint64_t n);
/* No more numbers begin, and a take of a number that is not done fails with -ECANCELED. Work that has begun is not
 * interrupted. */
void gw_workers_cancel(struct gw_workers *w);
/* Cancels, and waits for the threads. Takes NULL. */
void gw_workers_free(struct gw_workers *w);

#endif
