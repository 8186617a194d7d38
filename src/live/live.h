/* SPDX-License-Identifier: MIT
 *
 * live: all that the engine knows of a live section (RAM, disks, dirty bitmaps): state that is sent while the machine runs.
 *
 * The engine writes the section frames (START, PART, END, footers); a section writes and reads bodies only.
 *
 * Order of calls, source:  setup, (pending, step)*, complete, cleanup. cleanup always comes, also after a failure.
 *                   dest:  load_setup, load*, load_cleanup.
 * Threads: all on the session's thread, save where a section starts threads of its own.
 */
#ifndef GW_LIVE_H
#define GW_LIVE_H

#include "channel/reader.h"
#include "channel/writer.h"

enum gw_section_kind { GW_SECTION_START = 1, GW_SECTION_PART = 2, GW_SECTION_END = 3, GW_SECTION_FULL = 4 };

struct gw_pending {
    uint64_t must_precopy_bytes; /* has to go before the switch-over */
    uint64_t can_postcopy_bytes; /* may also follow it */
};

/* Who decides when a step has done enough. */
struct gw_budget {
    /* Called every few hundred KiB with what was put since the last call; true: stop here. */
    bool (*spent)(struct gw_budget *b, uint64_t bytes_put);
    uint64_t batch_bytes; /* put no more than about this much between two calls */
    void *opaque;
};

struct gw_live;

struct gw_live_ops {
    const char *id;   /* "ram" */
    uint32_t version; /* written; read: exactly this */

    int (*setup)(struct gw_live *l, struct gw_writer *w, struct gw_error *err);
    /* exact: look again (dirty sync); else the last known figure. */
    int (*pending)(struct gw_live *l, bool exact, struct gw_pending *ret, struct gw_error *err);
    /* Body of a PART. 1: nothing left to send now; 0: the budget was spent. */
    int (*step)(struct gw_live *l, struct gw_writer *w, struct gw_budget *budget, struct gw_error *err);
    /* Body of the END; the machine is stopped. */
    int (*complete)(struct gw_live *l, struct gw_writer *w, struct gw_error *err);
    void (*cleanup)(struct gw_live *l);

    int (*load_setup)(struct gw_live *l, struct gw_error *err);
    int (*load)(struct gw_live *l, enum gw_section_kind kind, struct gw_reader *r, struct gw_error *err);
    /* ok: the stream came to its good end. */
    void (*load_cleanup)(struct gw_live *l, bool ok);

    struct gw_live *(*free)(struct gw_live *l);
};

struct gw_live {
    const struct gw_live_ops *ops;
    uint32_t section_id; /* ours when we send */
    atomic_bool touched; /* load: set before the first change of the machine. Until then another source may have a try */
};

#endif
