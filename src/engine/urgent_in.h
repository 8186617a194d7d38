/* SPDX-License-Identifier: MIT
 *
 * The channel of urgent pages at a destination (capability postcopy-preempt; docs/wire-format.md 10.6): a thread reads it, beside the
 * one that reads the main stream.
 *
 *     begin (LISTEN, RESUME) -- it is found at the door, by its first record -- pages -- its end mark (7.2), or nothing -- end
 *                                                                                  \-- it fails: the main channel is shut down
 *
 * A source dials it right behind the main channel (7.2) or before the switch (newer ones), and says nothing on it before a page is
 * asked for. Which connection it is shows only then; so all that have come by LISTEN and say nothing are kept. Without a door the
 * embedder's dialer gives it (gw_vm.dial_pages).
 *
 * Pages may be on their way here when the main stream has ended, so `await` comes behind that. An old source ends it with a mark behind
 * the main stream's end, and must not find it closed: `leave` waits for the source to go.
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
    struct gw_channel *channel; /* the thread's, as the reader */
    struct gw_reader reader;
    /* under session.lock */
    bool ended;            /* nothing more comes on it */
    bool over;             /* whatever becomes of it harms nobody */
    struct gw_error error; /* why pages that are waited for can be lost */
};

/* Does nothing where the capability is off. After a failure end must come. */
int gw_urgent_in_begin(struct gw_recv *r, struct gw_error *err);
/* The main stream has ended. Waits for what is lacking, as long as it may come here. */
void gw_urgent_in_await(struct gw_recv *r);
/* Why the main channel was shut down from here; 0: it was not. */
int gw_urgent_in_check(struct gw_recv *r, struct gw_error *err);
/* All is here, and the source was told: waits until it has gone, then ends. */
void gw_urgent_in_leave(struct gw_recv *r);
/* Shuts it down and forgets it; also twice, and where none has begun. */
void gw_urgent_in_end(struct gw_recv *r);

#endif
