/* SPDX-License-Identifier: MIT
 *
 * links: the channels of one session, by purpose. All of them can be shut at once, from any thread.
 *
 * A source opens them with a dialer. A destination classifies accepted connections by their first bytes (engine/classify.h) and
 * registers them here.
 *
 * Ownership: gw_links_put and gw_links_open only register a channel: the session still owns it, and removes it (put
 * NULL) before it frees it.
 *
 * After gw_links_shut all registered and new channels are shut down.
 *
 * Threads: all functions but init and fini may be called from any thread.
 */
#ifndef GW_CHANNEL_LINKS_H
#define GW_CHANNEL_LINKS_H

#include <pthread.h>

#include "channel/cancel.h"

#define GW_LINKS_PAGES 255 /* channels that carry only pages; the index has one byte on the wire */

enum gw_link {
    GW_LINK_MAIN,
    GW_LINK_URGENT,  /* requested pages: postcopy */
    GW_LINK_RECOVER, /* the new main channel after the old one broke */
    GW_LINK_PAGES,   /* index 0 .. GW_LINKS_PAGES - 1 */
};

/* Result of a classifier. */
struct gw_link_id {
    enum gw_link purpose;
    unsigned index; /* PAGES; else 0 */
    size_t consume; /* bytes of the greeting: the stream begins after them */
};

/* Connects a channel of a source. cancel ends it with -ECANCELED. */
typedef int (*gw_dial_fn)(void *opaque, enum gw_link purpose, unsigned index, struct gw_cancel *cancel,
                          struct gw_channel **ret, struct gw_error *err);

struct gw_links {
    pthread_mutex_t lock;
    bool shut;
    struct gw_channel *place[GW_LINK_PAGES + GW_LINKS_PAGES];
};

void gw_links_init(struct gw_links *l);
/* Registered channels are not freed. */
void gw_links_fini(struct gw_links *l);

/* Registers a channel in place of the current one; NULL: none. */
void gw_links_put(struct gw_links *l, enum gw_link purpose, unsigned index, struct gw_channel *channel);
/* Dials and registers. If the links were shut meanwhile, the new channel is shut down. -EEXIST: there is such a channel
 * already. */
int gw_links_open(struct gw_links *l, gw_dial_fn dial, void *opaque, enum gw_link purpose, unsigned index,
                  struct gw_cancel *cancel, struct gw_channel **ret, struct gw_error *err);
/* Permanent. */
void gw_links_shut(struct gw_links *l);
/* Only the current main channel; later ones are not affected. */
void gw_links_shut_main(struct gw_links *l);
/* The channels for pages only: the peer will not read or write them any more. */
void gw_links_shut_pages(struct gw_links *l);

#endif
