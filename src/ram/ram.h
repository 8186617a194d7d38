/* SPDX-License-Identifier: MIT
 *
 * ram: the live section "ram" (docs/wire-format.md 7).
 *
 * Source: set-up lists the blocks, each step sends pages until the budget is spent, complete sends the rest.
 * Destination: set-up checks the list against the machine's blocks before it accepts any page.
 *
 * Threads: the session's; the counters may be read from any.
 */
#ifndef GW_RAM_H
#define GW_RAM_H

#include "live/live.h"
#include "ram/lane/lanes_in.h"

/* After disks, before dirty bitmaps. */
#define GW_RAM_ORDER 20

struct gw_ram_config {
    struct gw_ram *ram;
    uint32_t section_id;           /* source */
    bool postcopy;                 /* postcopy may follow */
    bool any_host_pages;           /* destination: accepts any host page size of the source */
    bool apart;                    /* source: lanes have channels of their own */
    bool ignore_shared;            /* x-ignore-shared: the contents of shared blocks with a name are not sent */
    struct gw_source *take_source; /* source: where pages come from */
    struct gw_lanes *take_lanes;   /* source: codecs and layouts */
    /* source: is told when each stretch of pages begins and ends; borrowed. NULL: there is none */
    struct gw_transport *transport;
    struct gw_layout_in *take_in;  /* destination: reads pages on the main stream */
    struct gw_lanes_in *take_lanes_in; /* destination: reads pages on channels of their own; NULL: there are none */
    /* destination: reads requested pages on a channel of their own, in postcopy; NULL: there is none */
    struct gw_layout_in *take_urgent_in;
    struct gw_store *take_store;   /* destination: where pages go */
    /* Destination: creates a block that is not known; the block exists when this returns 0. NULL: unknown blocks are
     * refused. */
    int (*adopt)(void *opaque, const char *name, uint64_t used_bytes, struct gw_error *err);
    void *opaque;
};

/* Asks the destination which pages of a block it has: *ret_map has a bit for each of `pages`, set if it has the page.
 * The caller frees the map. */
struct gw_resume {
    int (*map)(struct gw_resume *r, const char *block, uint64_t pages, uint64_t **ret_map, struct gw_error *err);
    void *opaque;
};

/* For the source or the destination of one session. Takes the take_ fields, also on failure. */
int gw_ram_live_new(const struct gw_ram_config *config, struct gw_live **ret_live, struct gw_error *err);

#endif
