/* SPDX-License-Identifier: MIT
 *
 * uffd store: the destination of postcopy. Pages come while the guest runs, and who touches one that has not come waits.
 *
 *     add, place ... discard --listen--> lanes place, faults ask --hold--> nobody asks --ask_again--> ...
 *         (as a direct store)                  \--finish--> what never came is zeros --end--> plain memory
 *
 * Until `listen` the store is a direct one (ram/store/direct.h): pages are put into the memory itself, and `discard` throws
 * them away again. `listen` gives what has not come to userfaultfd. From then on
 *
 *   - a page is put together beside the memory, and placed by the kernel in one step (UFFDIO_COPY, UFFDIO_ZEROPAGE): the guest
 *     sees all of it or waits. Nothing that is there is ever overwritten;
 *   - the unit is the host page of the block, or the target page if that is larger. A unit is placed when all of its target
 *     pages have come;
 *   - a fault in a unit that nobody asked for yet is told to `ask`, once, however many threads wait for it;
 *   - what is known to be zeros is answered here: a unit that came as zeros and was never touched, one that came and was given
 *     back to the host since (a balloon), one that is logically unplugged (gw_vm_set_discarded), all after `finish`.
 *
 * What has come is told by target page in a map over the maximum length of the block. A unit that came in part when `listen` is
 * called, and was not discarded, is complete: the source has no more of it, since it discards all of a host page or none.
 *
 * Memory that is given back with madvise by the guest's devices needs no UFFD_EVENT_REMOVE: the unit is missing again, and the
 * fault that follows is answered with zeros if it had come; if not, it comes, which harms nobody.
 *
 * fork: the child of a process has no userfaultfd. Where memory is private it sees zeros for what had not come; where it is
 * shared it must not touch it, nor may another process: what it makes present cannot be placed (-EEXIST).
 *
 * Threads: what is in ram/page/ops.h before `listen`, as there. Then: `where`, `place`, `zero` of one lane by one thread at a
 * time, of several lanes beside each other; the store itself has a lane of its own. gw_uffd_* by one thread, in the order that
 * the picture shows. `ask` is called by the store's thread, and by the caller of gw_uffd_ask_again; never twice at a time.
 */
#ifndef GW_STORE_UFFD_H
#define GW_STORE_UFFD_H

#include "ram/page/ops.h"

struct gw_blocktime;

struct gw_uffd_config {
    const struct gw_clock *clock; /* for blocktime and traces; borrowed */
    const struct gw_trace *trace; /* NULL: none */
    /* Who waits, and for how long, is told to it (ram/store/blocktime.h); borrowed. NULL: that is not measured. */
    struct gw_blocktime *blocktime;
    /* Somebody waits for this unit, and nobody asked for it yet. Its offset and length are in bytes: the host page, also where
     * the block ends inside it. Who cannot ask now (the connection is lost) does nothing: gw_uffd_ask_again repeats it. It must
     * not wait for a page of the guest, nor for a lane. */
    void (*ask)(void *opaque, const struct gw_ram_block *b, uint64_t offset, uint64_t bytes);
    /* Once at most: the store cannot go on, and nobody hears of faults any more (this host has no memory for a page of zeros, or the
     * machine's memory was unmapped). By the store's thread, which must not be waited for. NULL: gw_uffd_end tells it. */
    void (*failed)(void *opaque, const struct gw_error *error);
    void *opaque;
};

struct gw_uffd_figures {
    uint64_t faults;   /* that the kernel told of; one that was told twice counts twice */
    uint64_t requests; /* calls of `ask` */
    uint64_t local;    /* faults that were answered here, with zeros */
};

/* Whether this kernel and this process can do it for all blocks that migrate: registers each for a moment. Before anything is
 * promised to a source. Errors as gw_uffd_listen's. While nobody touches pages that are not there. */
int gw_uffd_probe(const struct gw_ram *ram, struct gw_error *err);

int gw_store_uffd_new(const struct gw_ram *ram, const struct gw_uffd_config *config, struct gw_store **ret,
                      struct gw_error *err);

/* The contents of these target pages are thrown away, and they have not come. Whole units (or up to the end of the block); -EPROTO,
 * blame PEER, for parts of one and for what is outside of the block. Before listen. */
int gw_uffd_discard(struct gw_store *store, const struct gw_ram_block *b, uint64_t first, uint64_t count, struct gw_error *err);

/* From now on who touches a page that has not come waits. On failure nothing is registered, and pages can be placed as before.
 * -EPERM: userfaultfd is forbidden; -ENOTSUP: the kernel cannot do it for the memory of a block; -EBUSY: another userfaultfd
 * watches it. All name the block where there is one, and say what to do. While the guest stands. */
int gw_uffd_listen(struct gw_store *store, struct gw_error *err);

/* A store for one thread that reads pages: where, place, zero, missing, free; all else is NULL. What it gets goes to `store`. Any
 * thread. After listen. It knows when a unit is left for another one before it was complete (-EPROTO). Freeing it forgets the
 * unit that came in part: after a lost connection lanes are made anew. To be freed before `store`. */
int gw_uffd_lane(struct gw_store *store, struct gw_store **ret, struct gw_error *err);

/* The connection is lost: when this returns `ask` is not called any more until gw_uffd_ask_again. It waits for an `ask` that
 * runs, so that should have been made to end. Forgets what came in part by the store's own lane. */
void gw_uffd_hold(struct gw_store *store);
/* Asks for all that is waited for and has not come, each unit once. Ends a hold. */
void gw_uffd_ask_again(struct gw_store *store);

/* One bit for each target page up to the maximum length: what has come. Valid until the next reset; it stands still while no
 * page is placed. NULL: the block was not added. */
const uint64_t *gw_uffd_received(const struct gw_store *store, const struct gw_ram_block *b);
/* Units that somebody waits for now. Any thread. */
uint64_t gw_uffd_waiting(const struct gw_store *store);
/* Any thread. */
void gw_uffd_figures(const struct gw_store *store, struct gw_uffd_figures *ret);

/* All has come that will come: the rest is zeros, for who waits now and for who comes. */
int gw_uffd_finish(struct gw_store *store, struct gw_error *err);
/* Back to plain memory: who waits goes on with what is there, so unless all has come the guest must not run any more. Does
 * nothing when it does not listen; `reset` and `free` call it. < 0: what the store's thread had failed with before. */
int gw_uffd_end(struct gw_store *store, struct gw_error *err);

#endif
