/* SPDX-License-Identifier: MIT
 *
 * uffd store: the destination of postcopy. Pages come while the guest runs, and a thread that touches a page which has
 * not come waits for it.
 *
 *     add, place ... discard --listen--> lanes place, faults ask --hold--> no requests --ask_again--> ...
 *         (as a direct store)                  \--finish--> what never came is zeros --end--> plain memory
 *
 * Until `listen` the store is a direct one (ram/store/direct.h): pages are written to the memory itself, and `discard`
 * removes them again. `listen` registers the missing pages with userfaultfd. From then on
 *
 *   - a page is assembled outside the memory, and the kernel places it in one step (UFFDIO_COPY, UFFDIO_ZEROPAGE): the
 * guest sees all of it or waits. A present page is never overwritten;
 *   - the unit is the host page of the block, or the target page if that is larger. A unit is placed when all of its target
 *     pages have come;
 *   - for a fault in a unit that was not requested yet `ask` is called, once, however many threads wait for it;
 *   - a fault in a unit that is known to be zeros is answered here: it came as zeros and was never touched, it came and
 * was given back to the host since (a balloon), it is logically unplugged (gw_vm_set_discarded), or `finish` was
 * called.
 *
 * A map over the maximum length of the block has a bit for each target page that has come. A unit that came in part
 * when `listen` is called, and was not discarded, counts as complete: the source will send no more of it, since it
 * discards whole host pages only.
 *
 * Memory that is given back with madvise by the guest's devices needs no UFFD_EVENT_REMOVE: the unit is missing again, and the
 * fault that follows is answered with zeros if it had come; if not, it comes, which does no harm.
 *
 * fork: the child of a process has no userfaultfd. In private memory it sees zeros for pages that had not come; shared
 * memory it must not touch, nor may any other process: pages that they make present cannot be placed (-EEXIST).
 *
 * Threads: before `listen` as in ram/page/ops.h. After it: `where`, `place`, `zero` of one lane by one thread at a
 * time, of several lanes concurrently; the store itself has a lane of its own. gw_uffd_* by one thread, in the order of
 * the diagram. `ask` is called by the store's thread, and by the caller of gw_uffd_ask_again; never twice at a time.
 */
#ifndef GW_STORE_UFFD_H
#define GW_STORE_UFFD_H

#include "ram/page/ops.h"

struct gw_blocktime;

struct gw_uffd_config {
    const struct gw_clock *clock; /* for blocktime and traces; borrowed */
    const struct gw_trace *trace; /* NULL: none */
    /* Measures which threads wait and for how long (ram/store/blocktime.h); borrowed. NULL: not measured. */
    struct gw_blocktime *blocktime;
    /* A thread waits for this unit, and it was not requested yet. offset and bytes: those of the host page, even if the
     * block ends inside it. If it cannot be requested now (the connection is lost), do nothing: gw_uffd_ask_again
     * repeats the call. ask must not wait for a page of the guest, nor for a lane. */
    void (*ask)(void *opaque, const struct gw_ram_block *b, uint64_t offset, uint64_t bytes);
    /* Called at most once: a thread cannot be answered and waits for ever (no memory for a page of zeros), or faults
     * are not read any more (the userfaultfd failed). On the store's thread, so it must not wait for that thread. NULL:
     * gw_uffd_end returns the error. */
    void (*failed)(void *opaque, const struct gw_error *error);
    void *opaque;
};

struct gw_uffd_figures {
    uint64_t faults;   /* reported by the kernel; a fault that is reported twice counts twice */
    uint64_t requests; /* calls of `ask` */
    uint64_t local;    /* faults that were answered locally, with zeros */
};

/* Whether this kernel and this process support it for all blocks that migrate: registers each for a moment. Call it
 * before postcopy is promised to a source, while no thread touches absent pages. Errors as gw_uffd_listen. */
int gw_uffd_probe(const struct gw_ram *ram, struct gw_error *err);

int gw_store_uffd_new(const struct gw_ram *ram, const struct gw_uffd_config *config, struct gw_store **ret,
                      struct gw_error *err);

/* Removes the contents of these target pages: they count as not received. Whole units (or up to the end of the block);
 * -EPROTO, blame PEER, for parts of a unit and for pages outside the block. Before listen. */
int gw_uffd_discard(struct gw_store *store, const struct gw_ram_block *b, uint64_t first, uint64_t count, struct gw_error *err);

/* From now on a thread that touches a page which has not come waits. On failure nothing is registered, and pages can be
 * placed as before. -EPERM: userfaultfd is forbidden; -ENOTSUP: the kernel does not support it for the memory of a
 * block; -EBUSY: another userfaultfd watches it. All errors name the block if there is one, and say what to do. Call it
 * while the guest is stopped. */
int gw_uffd_listen(struct gw_store *store, struct gw_error *err);

/* A store for one thread that reads pages: where, place, zero, missing, free; all other functions are NULL. Its units
 * go to `store`. Any thread, after listen. It reports a unit that is left incomplete when another one begins (-EPROTO).
 * Freeing it discards an incomplete unit: after a lost connection, create lanes anew. Free it before `store`. */
int gw_uffd_lane(struct gw_store *store, struct gw_store **ret, struct gw_error *err);

/* The connection is lost: after this returns, `ask` is not called until gw_uffd_ask_again. Waits for an `ask` that
 * runs, so make that end first. Discards incomplete units of the store's own lane. */
void gw_uffd_hold(struct gw_store *store);
/* Requests all units for which threads wait and which have not come, each once. Ends a hold. */
void gw_uffd_ask_again(struct gw_store *store);

/* One bit for each target page up to the maximum length: whether it has come. Valid until the next reset; it does not
 * change while no page is placed. NULL: the block was not added. */
const uint64_t *gw_uffd_received(const struct gw_store *store, const struct gw_ram_block *b);
/* Number of units for which threads wait now. Any thread. */
uint64_t gw_uffd_waiting(const struct gw_store *store);
/* Any thread. */
void gw_uffd_figures(const struct gw_store *store, struct gw_uffd_figures *ret);

/* No more pages will come: the rest is zeros, for threads that wait now or later. */
int gw_uffd_finish(struct gw_store *store, struct gw_error *err);
/* Plain memory again: waiting threads continue with the contents that are there, so the guest must not run any more
 * unless all pages have come. Does nothing when it does not listen; `reset` and `free` call it. < 0: an earlier failure
 * of the store's thread. */
int gw_uffd_end(struct gw_store *store, struct gw_error *err);

#endif
