/* SPDX-License-Identifier: MIT
 *
 * ram: the live section "ram" (docs/wire-format.md 7).
 *
 * Source: set-up lists the blocks, each step sends pages until the budget is spent, complete sends the rest. Destination: set-up checks the list against the machine's blocks before a single page is taken.
 *
 * Threads: the session's; the counters may be read from any.
 */
#ifndef GW_RAM_H
#define GW_RAM_H

#include "live/live.h"
#include "ram/lane/lanes_in.h"

/* Disks come before it, dirty bitmaps behind it. */
#define GW_RAM_ORDER 20

struct gw_ram_config {
    struct gw_ram *ram;
    uint32_t section_id;           /* source */
    bool postcopy;                 /* its pages may follow */
    bool any_host_pages;           /* destination: host pages may have any size at the source */
    bool apart;                    /* source: lanes have channels of their own */
    bool ignore_shared;            /* x-ignore-shared: shared blocks with a name stay where they are */
    struct gw_source *take_source; /* source: where pages come from */
    struct gw_lanes *take_lanes;   /* source: what they go through */
    struct gw_transport *transport; /* source: is told of each stretch of pages; borrowed. NULL: there is none */
    struct gw_layout_in *take_in;  /* destination: how they come */
    struct gw_lanes_in *take_lanes_in; /* destination: and how they come on channels of their own; NULL: they do not */
    struct gw_layout_in *take_urgent_in; /* destination: how those come that are waited for, in postcopy, on a channel of their own; NULL:
                                          * as all others */
    struct gw_store *take_store;   /* destination: where they go to */
    /* Destination: a block that is not known; it is there when this returns 0. NULL: unknown blocks are refused. */
    int (*adopt)(void *opaque, const char *name, uint64_t used_bytes, struct gw_error *err);
    void *opaque;
};

/* Asks the other side for the pages of a block that it has: *ret_map has a bit for each of `pages`, set where it has the page. The
 * map is the caller's to free. */
struct gw_resume {
    int (*map)(struct gw_resume *r, const char *block, uint64_t pages, uint64_t **ret_map, struct gw_error *err);
    void *opaque;
};

/* For the source or the destination of one session. What it takes is its own from here on, also on failure. */
int gw_ram_live_new(const struct gw_ram_config *config, struct gw_live **ret_live, struct gw_error *err);

#endif
