/* SPDX-License-Identifier: MIT
 *
 * live: all that the engine knows of a live section (RAM, disks, dirty bitmaps): state that is sent while the machine runs.
 *
 * The engine writes the section frames (START, PART, END, footers); a section writes and reads bodies only. The engine
 * treats all sections alike: a round is one exact `pending` over all of them, a step gives each its share of the budget.
 *
 * Order of calls, source:  setup, (pending, step)*, then with the machine stopped: exact pending, complete; cleanup.
 *                          postcopy: ..., exact pending, hand_over, step*, complete; cleanup.
 *                   dest:  load_setup, load*, check_ended, load_cleanup. A section that the stream does not have gets
 *                          no load_setup and no load.
 *                   both:  cleanup and load_cleanup always come: after a failure, and also when there was no set-up.
 * Threads: all on the session's thread, save where a section starts threads of its own; progress on any.
 */
#ifndef GW_LIVE_H
#define GW_LIVE_H

#include "channel/reader.h"
#include "channel/writer.h"
#include "godwit/stats.h"

enum gw_section_kind { GW_SECTION_START = 1, GW_SECTION_PART = 2, GW_SECTION_END = 3, GW_SECTION_FULL = 4 };

struct gw_pending {
    uint64_t must_precopy_bytes; /* has to go before the switch-over */
    uint64_t can_postcopy_bytes; /* may also follow it */
    uint64_t fresh_bytes;        /* exact only: of these, what became due since the exact look before */
};

/* Figures of all sections, for statistics. Each section adds its own. */
struct gw_progress {
    uint64_t total_bytes, remaining_bytes;
    uint64_t zero_pages, plain_pages, coded_pages, skipped_pages; /* RAM, since the session began */
    uint64_t channel_bytes;    /* put on channels that carry only pages */
    uint64_t missed_zero_copy; /* of such channels, each time that all was waited for: copies were not avoided */
    uint64_t packed_pages; /* of plain_pages, those in packets that are compressed */
    struct gw_xbzrle_stats xbzrle;
    struct gw_compression_stats compression;
    struct gw_disk_stats disk; /* not in the first two */
};

/* Pages that were put, in whatever form. */
static inline uint64_t gw_progress_pages(const struct gw_progress *p)
{
    return p->plain_pages + p->zero_pages + p->coded_pages;
}

/* What the stream had of a section when it ended. */
enum gw_live_end {
    GW_LIVE_ABSENT, /* no START */
    GW_LIVE_OPEN,   /* START without END */
    GW_LIVE_ENDED,
};

#define GW_LIVE_NOTE 200

/* Who decides when a step has done enough. */
struct gw_budget {
    /* Called every few hundred KiB with what was put since the last call; true: stop here. */
    bool (*spent)(struct gw_budget *b, uint64_t bytes_put);
    uint64_t batch_bytes; /* put no more than about this much between two calls */
    void *opaque;
};

/* Who puts commands into the stream. */
struct gw_commands {
    void (*put)(struct gw_commands *c, uint16_t number, const void *payload, uint16_t bytes);
    void *opaque;
};

struct gw_live;
struct gw_resume; /* ram/ram.h */

struct gw_live_ops {
    const char *id;   /* "ram" */
    uint32_t version; /* written; read: exactly this */
    int order;        /* sections with a lower one come first */

    int (*setup)(struct gw_live *l, struct gw_writer *w, struct gw_error *err);
    /* exact: look again (for RAM: dirty sync), a new round begins; else the last known figure. */
    int (*pending)(struct gw_live *l, bool exact, struct gw_pending *ret, struct gw_error *err);
    /* Body of a PART. 1: nothing left to send now; 0: the budget was spent. */
    int (*step)(struct gw_live *l, struct gw_writer *w, struct gw_budget *budget, struct gw_error *err);
    /* NULL: this never happens. Between two steps: waits at most ns until a guest waits for something that is due; 1: a guest
     * does, and the next step begins with it. */
    int (*wait)(struct gw_live *l, uint64_t ns, struct gw_error *err);
    /* NULL: never. After a step: what is left of this section goes before anything of those behind it, whose steps wait. A
     * guest that writes is not to blame for what there is to do. */
    bool (*first)(struct gw_live *l);
    /* NULL: never. true: it has nothing to put now, and is left out: running: of the step; else of all that is still to be
     * written, also of the END. */
    bool (*left_out)(struct gw_live *l, bool running);
    /* Body of the END: all that the exact pending just before found. The machine is stopped. */
    int (*complete)(struct gw_live *l, struct gw_writer *w, struct gw_error *err);
    /* Of one that is `apart`: body of a PART. What was put before it is there when what is put behind it is read, whichever way either
     * went. */
    int (*meet)(struct gw_live *l, struct gw_writer *w, struct gw_error *err);
    /* NULL: all of it has to go before the machine runs elsewhere. Postcopy, in place of complete: the machine stands, and what
     * the exact pending just before found follows when it runs there: by steps, and complete behind them. Commands that the
     * other side needs beforehand go to c. */
    int (*hand_over)(struct gw_live *l, struct gw_writer *w, struct gw_commands *c, struct gw_error *err);
    /* With hand_over. In place of setup: the machine runs there, and an earlier session was to send what it lacks. ask tells what
     * that is, from the other side; step and complete follow. */
    int (*resume)(struct gw_live *l, struct gw_resume *ask, struct gw_error *err);
    void (*cleanup)(struct gw_live *l);

    int (*load_setup)(struct gw_live *l, struct gw_error *err);
    int (*load)(struct gw_live *l, enum gw_section_kind kind, struct gw_reader *r, struct gw_error *err);
    /* The stream has ended: -EPROTO when something is missing without which the machine cannot run. note (GW_LIVE_NOTE
     * bytes, "" before) gets what an operator should know although it is no error. */
    int (*check_ended)(struct gw_live *l, enum gw_live_end end, char *note, struct gw_error *err);
    /* Destination of postcopy; all NULL: all of this section comes before the machine runs. Order: [advised], load*, discard*,
     * follow, and then, while the machine runs, load*, lacking; and after a lost connection hold, received, again. */
    /* What follows may come behind the switch. host_pages: as in ADVISE. Before load_setup. */
    int (*advised)(struct gw_live *l, uint64_t host_pages, uint64_t page_bytes, struct gw_error *err);
    /* In place of the START: it came in an earlier session. discard says what is still to come. NULL: it cannot be so. */
    int (*regain)(struct gw_live *l, struct gw_error *err);
    /* This part of what came is out of date and comes again. -EPROTO: there is no such part. */
    int (*discard)(struct gw_live *l, const char *name, uint64_t start, uint64_t bytes, struct gw_error *err);
    /* Nothing is discarded any more, and the machine may run. From here on load may be called by another thread. */
    int (*follow)(struct gw_live *l, struct gw_error *err);
    /* NULL: not needed. A connection is lost: load has ended, and channels of its own bring nothing any more. */
    void (*cut)(struct gw_live *l);
    /* The connection is lost: load has ended, and nothing can be requested. */
    void (*hold)(struct gw_live *l);
    /* There is another one. */
    void (*again)(struct gw_live *l);
    /* NULL: nothing is waited for. Reads what a channel of its own brings of that, up to its end mark. By another thread than load's,
     * which must have ended before load_cleanup. */
    int (*load_urgent)(struct gw_live *l, struct gw_reader *r, struct gw_error *err);
    /* No more will come: who waits goes on. Any thread. */
    int (*release)(struct gw_live *l, struct gw_error *err);
    /* How many bytes are still to come. Any thread. */
    uint64_t (*lacking)(struct gw_live *l);
    /* What need not come any more of the part `name`: a bit for each page. -ENOENT: there is no such part. The caller frees the map. */
    int (*received)(struct gw_live *l, const char *name, uint64_t **ret_map, uint64_t *ret_pages, struct gw_error *err);
    /* ok: the stream came to its good end. */
    void (*load_cleanup)(struct gw_live *l, bool ok);

    /* Adds its figures. */
    void (*progress)(struct gw_live *l, struct gw_progress *sum);
    struct gw_live *(*free)(struct gw_live *l);
};

struct gw_live {
    const struct gw_live_ops *ops;
    uint32_t section_id; /* ours when we send */
    bool apart;          /* source: what it puts goes on channels beside the main stream */
    atomic_bool touched; /* load: set before the first change of the machine. Until then another source may have a try */
};

static inline bool gw_live_left_out(struct gw_live *l, bool running)
{
    return l->ops->left_out && l->ops->left_out(l, running);
}

#endif
