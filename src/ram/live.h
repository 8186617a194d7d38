/* SPDX-License-Identifier: MIT
 *
 * live: the two halves of the RAM section, live.c (source) and load.c (destination), share this object.
 */
#ifndef GW_RAM_LIVE_H
#define GW_RAM_LIVE_H

#include "ram/layout/stream.h"
#include "ram/ram.h"

struct ram_live {
    struct gw_live live;
    struct gw_ram_config config;
    /* source */
    bool started;
    atomic_bool sending;
    struct gw_source_dirty source;
    struct gw_lane *lane;
    /* destination */
    struct gw_store *store;
    struct gw_stream_get get;
    bool loading, listed;
    /* both; written by the session's thread */
    _Atomic uint64_t skipped, total, sync_count, last_fresh, plain_pages, zero_pages, guessed, missed;
};

/* A block whose contents stay where they are: the other side maps the same file. */
static inline bool gw_ram_stays(const struct ram_live *m, const struct gw_ram_block *b)
{
    unsigned both = GW_RAM_SHARED | GW_RAM_NAMED_FILE;

    return m->config.ignore_shared && (b->flags & both) == both;
}

int gw_ram_load_setup(struct gw_live *live, struct gw_error *err);
int gw_ram_load(struct gw_live *live, enum gw_section_kind kind, struct gw_reader *r, struct gw_error *err);
void gw_ram_load_cleanup(struct gw_live *live, bool ok);

#endif
