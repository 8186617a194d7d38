/* SPDX-License-Identifier: MIT
 *
 * packet layout: pages in multifd packets, on a channel of their own (docs/formats/multifd.md).
 *
 * Put: a batch becomes as many packets as it needs, each with pages of one block. Bodies are referenced; with a packing
 * they are copied and compressed instead, and the writer is flushed after each packet.
 * Get: reads packets up to and including the next one with the flag SYNC. Contents are read directly to their places.
 *
 * Threads: one owner. Hostile: see wire/packet.h; a block that was not added and a page beyond its block are -EPROTO,
 * blame PEER.
 */
#ifndef GW_LAYOUT_PACKET_H
#define GW_LAYOUT_PACKET_H

#include "ram/page/ops.h"
#include "ram/page/packing.h"

/* When both sides wait for each other. */
enum gw_sync_rule {
    GW_SYNC_SECTIONS, /* at each end mark of the section RAM. Peers before 8.1 */
    GW_SYNC_ROUNDS,   /* where a page may be sent again; the main stream has MULTIFD_FLUSH */
};

struct gw_packet_config {
    enum gw_sync_rule rule;
    bool zeros;                      /* packets list zero pages too; else a lane in front has written them */
    struct gw_packing *take_packing; /* NULL: pages are sent uncompressed. Taken, also on failure */
    unsigned index, count;           /* number of this channel, number of channels */
};

int gw_layout_packet_new(const struct gw_ram *ram, const struct gw_packet_config *config, struct gw_layout **ret,
                         struct gw_error *err);
int gw_layout_packet_in_new(const struct gw_ram *ram, struct gw_packing *take_packing, struct gw_layout_in **ret,
                            struct gw_error *err);
/* The layout of the lane in front, which writes to the main stream: zero pages, unless packets list them, and
 * MULTIFD_FLUSH. All other pages are skipped. */
int gw_layout_front_new(const struct gw_ram *ram, enum gw_sync_rule rule, bool zeros, struct gw_layout **ret,
                        struct gw_error *err);

/* The main stream has LISTEN for POSTCOPY. */
static inline bool gw_sync_at(enum gw_sync_rule rule, enum gw_barrier kind)
{
    if (kind == GW_BARRIER_LISTED || kind == GW_BARRIER_POSTCOPY || kind == GW_BARRIER_END)
        return true;
    return rule == GW_SYNC_SECTIONS ? kind == GW_BARRIER_STEP : kind == GW_BARRIER_ROUND || kind == GW_BARRIER_SWITCH;
}

#endif
