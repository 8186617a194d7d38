/* SPDX-License-Identifier: MIT
 *
 * The channel of urgent pages at a destination (capability postcopy-preempt; docs/wire-format.md 10.6): a thread reads it, beside the
 * one that reads the main stream.
 *
 *     begin (LISTEN, RESUME) -- identified by its first record -- pages -- its end mark (7.2), or nothing -- end
 *                                                                   \-- it fails: the main channel is shut down
 *
 * A source dials it right behind the main channel (7.2) or before the switch (newer versions), and sends nothing on it
 * before a page is requested. Only then can it be identified, so all connections that have come by LISTEN and are
 * silent are kept. Without a door the embedder's dialer gives it (gw_vm.dial_pages).
 *
 * Pages may be on their way here when the main stream has ended, so `await` comes behind that. An old source ends it
 * with a mark after the main stream's end, and fails if it is closed then: `leave` waits until the source has
 * disconnected.
 *
 * Threads: the session's.
 */
#ifndef GW_ENGINE_URGENT_IN_H
#define GW_ENGINE_URGENT_IN_H

#include <pthread.h>

#include "channel/reader.h"

struct gw_recv;

struct gw_urgent_in {
    bool threaded;
    pthread_t thread;
    struct gw_cancel *quit;
    struct gw_channel *channel; /* owned by the thread, like the reader */
    struct gw_reader reader;
    /* under session.lock */
    bool ended;            /* nothing more will be read from it */
    bool over;             /* its failure does not matter any more */
    struct gw_error error; /* why it failed while pages were lacking: they can be lost */
};

/* Does nothing if the capability is off. Call end even after a failure. */
int gw_urgent_in_begin(struct gw_recv *r, struct gw_error *err);
/* The main stream has ended. Waits for lacking pages as long as this channel may bring them. */
void gw_urgent_in_await(struct gw_recv *r);
/* The reason for which this side has shut down the main channel; 0: it has not. */
int gw_urgent_in_check(struct gw_recv *r, struct gw_error *err);
/* Everything is here, and the source was told: waits until the source has disconnected, then ends. */
void gw_urgent_in_leave(struct gw_recv *r);
/* Shuts it down and frees it; may be called twice, or when none has begun. */
void gw_urgent_in_end(struct gw_recv *r);

#endif
