/* SPDX-License-Identifier: MIT
 *
 * tracker: finds the pages that the guest has written. One interface, several back ends (R2).
 *
 * Protocol for one migration: start; then for each round sync, and before the pages of a chunk are read for sending,
 * clean that chunk; stop. The rule that no page is ever lost:
 *
 *   1. sync ORs into block->dirty every page written since it was last cleaned (or since start). It cleans nothing.
 *   2. A chunk in which sync found something is noted in block->unclean, as are all chunks at start.
 *   3. gw_tracker_clean (a no-op for clean chunks) re-arms the tracking of all pages of a chunk, and ORs what was
 *      written since the sync into block->dirty. Only then may the caller clear bits of that chunk and read its pages.
 *
 * So a write after the clean is seen by a later sync, and a write before it is in the contents that are sent. Code that
 * clears bits of a chunk without sending (a hint that pages are free) must clean the chunk first too: gw_tracker_drop.
 *
 * Writes that no back end sees by itself, and that must be reported with mark, after the write: DMA into pages pinned
 * before the clean (O_DIRECT, registered buffers, VFIO), writes by other processes or through another mapping, memory
 * given back (MADV_DONTNEED, punched holes) if the guest relies on it reading as zeros.
 *
 * Threads: start, sync and stop on the session's thread; clean, drop and counting on any. All of them take ram->lock while they
 * change `dirty`: the caller must not hold it. mark on any thread, at any time, lock-free.
 */
#ifndef GW_TRACKER_H
#define GW_TRACKER_H

#include "ram/tracker/marks.h"

/* 4096 pages, 16 MiB: 64 Ki pages = 256 MiB would be too coarse for lazy cleaning, one page too fine. */
#define GW_CHUNK_PAGES 4096u

struct gw_tracker;

struct gw_tracker_ops {
    const char *name;
    /* After it returns every write to the blocks that are logged (gw_ram_logged) is recorded. */
    int (*start)(struct gw_tracker *t, struct gw_error *err);
    /* NULL: nothing to do. Called before the blocks are synced, without any lock: makes hardware report the writes that
     * it still holds back. */
    void (*flush)(struct gw_tracker *t);
    /* ORs pages written since they were last cleaned, and those that were marked (gw_marks_take), into dirty, sets
     * block->unclean; *ret_new += bits that became set. Only for blocks that are logged. */
    int (*sync)(struct gw_tracker *t, struct gw_ram_block *b, uint64_t *ret_new, struct gw_error *err);
    /* [first, first + pages), whole chunks: re-arm; OR what was written or marked meanwhile (gw_marks_take_chunks) into block->dirty;
     * *ret_new as above. */
    int (*clean)(struct gw_tracker *t, struct gw_ram_block *b, uint64_t first, uint64_t pages, uint64_t *ret_new,
                 struct gw_error *err);
    /* Safe after a failed start. Afterwards no guest memory is protected or registered. */
    void (*stop)(struct gw_tracker *t);
    /* NULL: has no rings. A vCPU left KVM_RUN with KVM_EXIT_DIRTY_RING_FULL: makes room. Any thread. */
    int (*ring_full)(struct gw_tracker *t, struct gw_error *err);
    /* NULL: has no rings. Pages that this vCPU's ring has reported since the count began; a page that is reported
     * twice, or was marked before, counts for the first report. UINT32_MAX: begins the count. */
    uint64_t (*ring_count)(struct gw_tracker *t, unsigned vcpu);
    struct gw_tracker *(*free)(struct gw_tracker *t);
};

struct gw_tracker {
    const struct gw_tracker_ops *ops;
    struct gw_ram *ram;
    struct gw_marks marks; /* open from before ops->start until after ops->stop */
    bool started;            /* by a session; written by the session's thread, under ram->lock */
    /* under ram->lock */
    bool armed;              /* the back end runs: for a session, for a count, or for both */
    bool counting;
    uint64_t found_before;   /* pages that became dirty between two syncs of the session; its next sync reports them */
    struct gw_error count_error;
    unsigned vcpus; /* number of vCPUs with rings */
    char reason[160]; /* why this back end was chosen; set by gw_tracker_new */
};

int gw_tracker_pagemap_new(struct gw_ram *ram, struct gw_tracker **ret, struct gw_error *err);
int gw_tracker_explicit_new(struct gw_ram *ram, struct gw_tracker **ret, struct gw_error *err);
int gw_tracker_kvm_log_new(struct gw_ram *ram, const struct gw_tracker_config *config, struct gw_tracker **ret,
                           struct gw_error *err);
int gw_tracker_kvm_ring_new(struct gw_ram *ram, const struct gw_tracker_config *config, struct gw_tracker **ret,
                            struct gw_error *err);
/* Creates a tracker of this kind. AUTO takes pagemap; if that does not work, the KVM log if the config names slots;
 * otherwise it fails and says why (never explicit: the embedder must know that it has to mark). */
int gw_tracker_new(struct gw_ram *ram, const struct gw_tracker_config *config, struct gw_tracker **ret,
                   struct gw_error *err);

struct gw_tracker *gw_tracker_free(struct gw_tracker *t);

/* Creates block->dirty (all set, except discarded pages) and block->unclean (all set, except for read-only blocks,
 * which are never logged) for the blocks i with goes[i]; goes NULL: for all that migrate. Then starts. On failure
 * nothing has changed. -EBUSY: the ram is tracked already. */
int gw_tracker_start(struct gw_tracker *t, const bool *goes, struct gw_error *err);
/* All blocks. *ret_new: pages that became dirty. */
int gw_tracker_sync(struct gw_tracker *t, uint64_t *ret_new, struct gw_error *err);
/* Cleans the chunk of `page`, unless it is clean. */
int gw_tracker_clean(struct gw_tracker *t, struct gw_ram_block *b, uint64_t page, uint64_t *ret_new,
                     struct gw_error *err);
/* The guest does not need [first, first + pages): cleans the chunks if needed, and clears the dirty bits. *ret_dropped:
 * how many were set. A later write makes a page dirty again. */
int gw_tracker_drop(struct gw_tracker *t, struct gw_ram_block *b, uint64_t first, uint64_t pages, uint64_t *ret_dropped,
                    struct gw_error *err);
/* Reports a write that has just happened and that the back end cannot see, even in blocks that the guest cannot write.
 * Any thread, also before start. NULL is a tracker that tracks nothing. */
void gw_tracker_mark(struct gw_tracker *t, struct gw_ram_block *b, uint64_t first, uint64_t pages);
/* KVM_EXIT_DIRTY_RING_FULL: the vCPU may run again when this returns. 0 at once for back ends without rings. */
int gw_tracker_ring_full(struct gw_tracker *t, struct gw_error *err);
/* Stops and frees the maps. Does nothing if not started. */
void gw_tracker_stop(struct gw_tracker *t);

/* Counts pages that are written, for a dirty rate: with a session or without, and while one starts or ends. Blocks that
 * the session does not send are not counted during the session. Blocks must not be resized meanwhile. One count at a
 * time (-EBUSY). Any thread. If begin has failed, do not call end; if end has failed, the count has ended. */
int gw_tracker_count_begin(struct gw_tracker *t, struct gw_error *err);
/* *ret_pages: distinct pages that were written since begin returned. *ret_total: number of pages that were tracked. */
int gw_tracker_count_end(struct gw_tracker *t, uint64_t *ret_pages, uint64_t *ret_total, struct gw_error *err);

/* ---- for back ends ----------------------------------------------------------------------------------------------- */

/* Pages [first, first + pages), cut off at the block's end, were found written: ORs into dirty all that are not
 * discarded, and sets their chunks in unclean if `unclean`. Returns how many bits became set. Under ram->lock. */
uint64_t gw_tracker_found(struct gw_tracker *t, struct gw_ram_block *b, uint64_t first, uint64_t pages, bool unclean);
/* The same for a bitmap of `pages` bits that starts at page `first`, a multiple of 64. */
uint64_t gw_tracker_found_map(struct gw_tracker *t, struct gw_ram_block *b, uint64_t first, uint64_t pages,
                              const uint64_t *map, bool unclean);

#endif
