/* SPDX-License-Identifier: MIT
 *
 * live: the two halves of the RAM section, live.c (source) and load.c (destination), share this object.
 */
#ifndef GW_RAM_LIVE_H
#define GW_RAM_LIVE_H

#include "ram/ram.h"

struct ram_live {
    struct gw_live live;
    struct gw_ram_config config;
    /* source */
    bool begun;     /* the source and the lanes have begun */
    bool ended; /* a source whose pages go once: the last barrier was reached */
    bool completed;
    bool round_due; /* pages may be sent again: a barrier must come first */
    bool resumed;   /* postcopy was resumed: its barrier must come first */
    struct gw_source *source;
    struct gw_lanes *lanes;
    /* destination */
    struct gw_store *store;
    struct gw_layout_in *in;
    struct gw_lanes_in *lanes_in; /* NULL: pages come on the main stream only */
    bool cut; /* pages come on the main stream only from now on: a connection was lost */
    struct gw_layout_in *urgent_in; /* reads the channel of urgent pages; NULL: there is none */
    bool loading, listed;
    uint64_t host_pages; /* sizes of the source's host pages, in one word; 0: not advised */
    uint64_t **owed; /* by block: discarded pages, which will come again; NULL: none */
    unsigned owed_count;
    bool follows; /* the machine may run: only whole pages come, each for the first time */
    /* the source sends MULTIFD_FLUSH where lanes must wait for each other; otherwise they wait at each end mark */
    bool rounds;
    _Atomic uint64_t total; /* written by the session's thread */
};

/* A block whose contents are not sent: the other side maps the same file. */
static inline bool gw_ram_stays(const struct ram_live *m, const struct gw_ram_block *b)
{
    return m->config.ignore_shared && gw_ram_shared_file(b);
}

/* Pages come on channels of their own. */
static inline bool gw_ram_laned(const struct ram_live *m)
{
    return m->lanes_in && !m->cut;
}

/* Writes RAM_DISCARD for all pages that are due. */
void gw_ram_discard(const struct gw_ram *ram, struct gw_source *source, struct gw_commands *c);

int gw_ram_load_setup(struct gw_live *live, struct gw_error *err);
int gw_ram_load(struct gw_live *live, enum gw_section_kind kind, struct gw_reader *r, struct gw_error *err);
int gw_ram_check_ended(struct gw_live *live, enum gw_live_end end, char *note, struct gw_error *err);
void gw_ram_over(struct gw_live *live);
void gw_ram_load_cleanup(struct gw_live *live, bool ok);

/* Reads the host page size of a list entry, if it has one; it can when postcopy may follow. */
int gw_ram_load_host_page(const struct ram_live *m, const struct gw_ram_block *b, struct gw_reader *r, struct gw_error *err);
int gw_ram_advised(struct gw_live *live, uint64_t host_pages, uint64_t page_bytes, struct gw_error *err);
int gw_ram_forget(struct gw_live *live, const char *name, uint64_t start, uint64_t bytes, struct gw_error *err);
int gw_ram_regain(struct gw_live *live, struct gw_error *err);
int gw_ram_follow(struct gw_live *live, struct gw_error *err);
void gw_ram_cut(struct gw_live *live);
void gw_ram_hold(struct gw_live *live);
void gw_ram_again(struct gw_live *live);
int gw_ram_release(struct gw_live *live, struct gw_error *err);
int gw_ram_load_urgent(struct gw_live *live, struct gw_reader *r, struct gw_error *err);
void gw_ram_unfollow(struct ram_live *m); /* restores the state after creation */
uint64_t gw_ram_lacking(struct gw_live *live);
int gw_ram_received(struct gw_live *live, const char *name, uint64_t **ret_map, uint64_t *ret_pages, struct gw_error *err);

#endif
