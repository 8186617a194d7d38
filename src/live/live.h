/* SPDX-License-Identifier: MIT
 *
 * live: the interface between the engine and a live section (RAM, disks, dirty bitmaps): state that is sent while the
 * machine runs.
 *
 * The engine writes the section frames (START, PART, END, footers); a section writes and reads bodies only. The engine
 * treats all sections alike: a round is one exact `pending` over all of them, a step gives each its share of the budget.
 *
 * Order of calls, source:  setup, (pending, step)*, then with the machine stopped: exact pending, complete; cleanup.
 *                          postcopy: ..., exact pending, hand_over, step*, complete; cleanup.
 *                   dest:  load_setup, load*, check_ended, over, load_cleanup. A section that the stream does not have
 *                          gets no load_setup and no load.
 *                   both:  cleanup and load_cleanup are always called: after a failure, and even without a set-up.
 * Threads: all on the session's thread, unless stated otherwise; progress on any.
 */
#ifndef GW_LIVE_H
#define GW_LIVE_H

#include "channel/reader.h"
#include "channel/writer.h"
#include "godwit/stats.h"

enum gw_section_kind { GW_SECTION_START = 1, GW_SECTION_PART = 2, GW_SECTION_END = 3, GW_SECTION_FULL = 4 };

struct gw_pending {
    uint64_t must_precopy_bytes; /* must be sent before the switch-over */
    uint64_t can_postcopy_bytes; /* may also be sent after it */
    uint64_t fresh_bytes;        /* exact only: the part of these that became due since the last exact call */
};

/* Figures of all sections, for statistics. Each section adds its own. */
struct gw_progress {
    uint64_t total_bytes, remaining_bytes;
    uint64_t zero_pages, plain_pages, coded_pages, skipped_pages; /* of RAM, since the session began */
    uint64_t channel_bytes;    /* written on channels that carry only pages */
    /* of such channels: number of times that a wait for all bodies found that some were copied */
    uint64_t missed_zero_copy;
    uint64_t packed_pages; /* the part of plain_pages in compressed packets */
    struct gw_xbzrle_stats xbzrle;
    struct gw_compression_stats compression;
    struct gw_disk_stats disk; /* of disks; not included in the first two */
};

/* Pages that were written, in any form. */
static inline uint64_t gw_progress_pages(const struct gw_progress *p)
{
    return p->plain_pages + p->zero_pages + p->coded_pages;
}

/* The state of a section when the stream ended. */
enum gw_live_end {
    GW_LIVE_ABSENT, /* no START */
    GW_LIVE_OPEN,   /* START without END */
    GW_LIVE_ENDED,
};

#define GW_LIVE_NOTE 200

/* Decides when a step has done enough. */
struct gw_budget {
    /* Called every few hundred KiB with the bytes written since the last call; true: stop here. */
    bool (*spent)(struct gw_budget *b, uint64_t bytes_put);
    uint64_t batch_bytes; /* write at most about this much between two calls */
    void *opaque;
};

/* Writes commands to the stream. */
struct gw_commands {
    void (*put)(struct gw_commands *c, uint16_t number, const void *payload, uint16_t bytes);
    void *opaque;
};

struct gw_live;
struct gw_resume; /* ram/ram.h */

struct gw_live_ops {
    const char *id;   /* "ram" */
    uint32_t version; /* written; a reader accepts exactly this version */
    int order;        /* sections with a lower number come first */

    int (*setup)(struct gw_live *l, struct gw_writer *w, struct gw_error *err);
    /* exact: find changes (for RAM: dirty sync), a new round begins; else the last known figure. */
    int (*pending)(struct gw_live *l, bool exact, struct gw_pending *ret, struct gw_error *err);
    /* Writes the body of a PART. 1: nothing is left to send now; 0: the budget was spent. */
    int (*step)(struct gw_live *l, struct gw_writer *w, struct gw_budget *budget, struct gw_error *err);
    /* NULL: never used. Between two steps: waits at most ns until a guest thread waits for something that is due; 1:
     * one does, and the next step begins with it. */
    int (*wait)(struct gw_live *l, uint64_t ns, struct gw_error *err);
    /* NULL: never. true after a step: the rest of this section must be sent before later sections, whose steps wait.
     * The guest is not slowed down for this. */
    bool (*first)(struct gw_live *l);
    /* NULL: never. true: the section has nothing to write now, and is left out. running: of the step; else of
     * everything that is still to be written, even of the END. */
    bool (*left_out)(struct gw_live *l, bool running);
    /* Writes the body of the END: everything that the preceding exact pending has found. The machine is stopped. */
    int (*complete)(struct gw_live *l, struct gw_writer *w, struct gw_error *err);
    /* For a section that is `apart`: writes the body of a PART. Everything that was written before it, on any channel,
     * arrives before what is written after it is read. */
    int (*meet)(struct gw_live *l, struct gw_writer *w, struct gw_error *err);
    /* NULL: everything must be sent before the machine runs elsewhere. Postcopy, instead of complete: the machine is
     * stopped, and what the preceding exact pending has found is sent after the switch: by steps, then complete. Writes
     * the commands that the destination needs before to c. */
    int (*hand_over)(struct gw_live *l, struct gw_writer *w, struct gw_commands *c, struct gw_error *err);
    /* With hand_over. Instead of setup: the machine runs at the destination, and an earlier session could not send
     * everything. ask gets from the destination what it lacks; step and complete follow. */
    int (*resume)(struct gw_live *l, struct gw_resume *ask, struct gw_error *err);
    void (*cleanup)(struct gw_live *l);

    int (*load_setup)(struct gw_live *l, struct gw_error *err);
    int (*load)(struct gw_live *l, enum gw_section_kind kind, struct gw_reader *r, struct gw_error *err);
    /* The stream has ended. -EPROTO: something is missing without which the machine cannot run. note (GW_LIVE_NOTE
     * bytes, "" before) gets what a user should know although it is no error. */
    int (*check_ended)(struct gw_live *l, enum gw_live_end end, char *note, struct gw_error *err);
    /* NULL: not needed. Nothing of any section is missing, so no more state comes. The section's own channels stay open
     * until load_cleanup: the source may still write messages without state to them, or close them. */
    void (*over)(struct gw_live *l);
    /* Destination of postcopy; all NULL: the whole section comes before the machine runs. Order: [advised], load*,
     * discard*, follow, and then, while the machine runs, load*, lacking; after a lost connection hold, received,
     * again. */
    /* The rest of the section may come after the switch. host_pages: as in ADVISE. Before load_setup. */
    int (*advised)(struct gw_live *l, uint64_t host_pages, uint64_t page_bytes, struct gw_error *err);
    /* Instead of the START, which came in an earlier session. discard then reports what is still lacking. NULL: not
     * supported. */
    int (*regain)(struct gw_live *l, struct gw_error *err);
    /* This part was received, is out of date, and will come again. -EPROTO: there is no such part. */
    int (*discard)(struct gw_live *l, const char *name, uint64_t start, uint64_t bytes, struct gw_error *err);
    /* No more discards, and the machine may run. From here on another thread may call load. */
    int (*follow)(struct gw_live *l, struct gw_error *err);
    /* NULL: not needed. A connection is lost: load has ended, and the section's own channels bring nothing more. */
    void (*cut)(struct gw_live *l);
    /* The connection is lost: load has ended, and nothing can be requested. */
    void (*hold)(struct gw_live *l);
    /* There is a new connection: requests everything that threads wait for. */
    void (*again)(struct gw_live *l);
    /* NULL: never used. Reads requested data from a channel of its own, up to its end mark. On another thread than
     * load; it must have ended before load_cleanup. */
    int (*load_urgent)(struct gw_live *l, struct gw_reader *r, struct gw_error *err);
    /* No more will come: waiting threads continue. Any thread. */
    int (*release)(struct gw_live *l, struct gw_error *err);
    /* Bytes that are still lacking. Any thread. */
    uint64_t (*lacking)(struct gw_live *l);
    /* The parts of `name` that need not be sent any more: a bit for each page. -ENOENT: there is no such part. The
     * caller frees the map. */
    int (*received)(struct gw_live *l, const char *name, uint64_t **ret_map, uint64_t *ret_pages, struct gw_error *err);
    /* ok: the stream has ended with success. */
    void (*load_cleanup)(struct gw_live *l, bool ok);

    /* Adds its figures. */
    void (*progress)(struct gw_live *l, struct gw_progress *sum);
    struct gw_live *(*free)(struct gw_live *l);
};

struct gw_live {
    const struct gw_live_ops *ops;
    uint32_t section_id; /* of a source */
    bool apart;          /* source: it writes to channels beside the main stream */
    /* destination: set before the machine is first changed. Until then another source may be accepted */
    atomic_bool touched;
};

static inline bool gw_live_left_out(struct gw_live *l, bool running)
{
    return l->ops->left_out && l->ops->left_out(l, running);
}

#endif
