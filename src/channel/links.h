/* SPDX-License-Identifier: MIT
 *
 * links: the channels of one session, by purpose. All of them can be shut at once, from any thread.
 *
 *     source        gw_links_open(MAIN), gw_links_open(PAGES, 0..n-1) ...         a dialer connects
 *     destination   gw_links_admit(each new connection), gw_links_wait(PAGES, 0)  a classifier says what came
 *
 * A new connection is read by a thread of its own until the classifier knows it, at most until a deadline. It then
 * waits in its place until the session takes it with gw_links_wait: with its reader, in which all bytes are that were
 * read and not consumed. Connections that are refused (strangers, a place that is taken, too late) are freed and told
 * to `dropped`; the others do not notice.
 *
 * Ownership: gw_links_put and gw_links_open only register a channel: it stays the session's, which removes it (put
 * NULL) before it frees it. What was admitted belongs to the links until gw_links_wait hands it over; then it is
 * registered.
 *
 * After gw_links_shut all registered, waiting and new channels are shut down, and waits end with -ECANCELED.
 *
 * Memory: GW_LINKS_ADMIT connections that are not known yet, and for each known one a reader.
 * Threads: all functions but init and fini may be called from any thread.
 */
#ifndef GW_CHANNEL_LINKS_H
#define GW_CHANNEL_LINKS_H

#include <pthread.h>

#include "channel/reader.h"

#define GW_LINKS_PAGES 255 /* channels that carry only pages; the index has one byte on the wire */
#define GW_LINKS_ADMIT 16  /* connections that are not known yet */
#define GW_LINKS_FIRST 64  /* bytes that a classifier may ask for */

enum gw_link {
    GW_LINK_MAIN,
    GW_LINK_URGENT,  /* requested pages: postcopy */
    GW_LINK_RECOVER, /* the new main channel after the old one broke */
    GW_LINK_PAGES,   /* index 0 .. GW_LINKS_PAGES - 1 */
};

/* What a classifier finds out. */
struct gw_link_id {
    enum gw_link purpose;
    unsigned index; /* PAGES; else 0 */
    size_t consume; /* bytes that were only a greeting: the reader begins behind them */
};

struct gw_links_ops {
    /* first[0 .. got) are the first bytes of a new connection; silent: no more came before the deadline. 0 with *ret;
     * or how many bytes it takes to know, more than got, at most GW_LINKS_FIRST; or an error: refused. Several threads
     * at the same time; never under a lock of the links. */
    int (*classify)(void *opaque, const uint8_t *first, size_t got, bool silent, struct gw_link_id *ret,
                    struct gw_error *err);
    /* A connection was refused. Any thread. May be NULL. */
    void (*dropped)(void *opaque, const char *name, const struct gw_error *why);
};

/* Connects a channel of a source. cancel ends it with -ECANCELED. */
typedef int (*gw_dial_fn)(void *opaque, enum gw_link purpose, unsigned index, struct gw_cancel *cancel,
                          struct gw_channel **ret, struct gw_error *err);

struct gw_links_admitted; /* one connection that is not known yet */

struct gw_links {
    const struct gw_links_ops *ops;
    void *opaque;
    uint64_t hello_ns;
    pthread_mutex_t lock;
    pthread_cond_t changed; /* monotonic */
    bool shut;
    struct {
        struct gw_channel *channel;
        struct gw_reader *reader; /* the channel waits to be taken; NULL: it only is registered */
    } place[GW_LINK_PAGES + GW_LINKS_PAGES];
    struct gw_links_admitted *admitted[GW_LINKS_ADMIT];
};

/* ops NULL: nothing is admitted. hello_ns: how long a connection may take to show what it is. */
void gw_links_init(struct gw_links *l, const struct gw_links_ops *ops, void *opaque, uint64_t hello_ns);
/* Shuts and frees what was admitted and nobody took; what is only registered is left alone. */
void gw_links_fini(struct gw_links *l);

/* Registers a channel in place of the one that was there; NULL: none any more. */
void gw_links_put(struct gw_links *l, enum gw_link purpose, unsigned index, struct gw_channel *channel);
/* Dials and registers. Where the links are shut meanwhile the channel comes shut down. -EEXIST: the place is taken. */
int gw_links_open(struct gw_links *l, gw_dial_fn dial, void *opaque, enum gw_link purpose, unsigned index,
                  struct gw_cancel *cancel, struct gw_channel **ret, struct gw_error *err);
/* Takes the channel whatever happens. -EBUSY: GW_LINKS_ADMIT are not known yet; ask again later (and accept later). */
int gw_links_admit(struct gw_links *l, struct gw_channel *take_channel, struct gw_error *err);
/* Waits until the one with this purpose has come, at most timeout_ns (0: for ever): -ETIMEDOUT, -ECANCELED. The caller
 * owns the channel and the reader (malloc'ed; gw_reader_close and free) from then on; the channel has no time-out. */
int gw_links_wait(struct gw_links *l, enum gw_link purpose, unsigned index, uint64_t timeout_ns,
                  struct gw_channel **ret_channel, struct gw_reader **ret_reader, struct gw_error *err);
/* For good. */
void gw_links_shut(struct gw_links *l);
/* The channels for pages alone: the peer will not read or write them any more. */
void gw_links_shut_pages(struct gw_links *l);

#endif
