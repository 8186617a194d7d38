/* SPDX-License-Identifier: MIT
 *
 * follow: the destination of postcopy: the machine is here, and pages of its memory follow (docs/wire-format.md 10.1,
 * 10.7).
 *
 *     listen (a thread reads pages) -- commit -- the machine runs -- pages -- EOF -- arrive
 *                                                    \-- the connection is lost: hold -- recover -- pages ...
 *
 * A machine that runs here requests the pages that its threads wait for. When the connection is lost, it blocks at the
 * next page that has not come, until another connection brings the rest; this may happen any number of times. A machine
 * of an image does not run: it requests no pages and needs no thread, and when the connection is lost, the pages that
 * came are kept.
 *
 * Threads: the session's, where nothing else is said.
 */
#ifndef GW_ENGINE_FOLLOW_H
#define GW_ENGINE_FOLLOW_H

#include <pthread.h>

#include "engine/postcopy_in.h"
#include "godwit/channel.h"
#include "wire/postcopy.h"

struct gw_ram_block;

struct gw_postcopy_in {
    enum gw_postcopy state;
    /* PINGs in the package. PONG means that the package is loaded, so they are answered after that */
    uint32_t pings[GW_PACKAGE_PINGS];
    unsigned ping_count;

    bool advised;          /* ADVISE has come; set before there are threads */
    bool only_bitmaps;     /* ADVISE said that everything except dirty bitmaps comes before the machine runs */
    bool threaded;         /* `thread` reads the main stream */
    pthread_t thread;
    unsigned idle;         /* empty elements in a row since nothing is lacking. Owned by the thread that reads */
    /* block of the last request. Owned by the store's thread, or by the session's while that one is held */
    char asked[256];
    /* stands: the machine was given up: its threads wait for pages that never come; stops: the thread
     * `stopper` is stopping it */
    bool stands, stops;
    pthread_t stopper;
    atomic_bool unheard;   /* an answer could not be sent: the connection is lost, even if more can be read from it */
    bool unsure;           /* the source may have taken the machine back: it does not run here until a source resumes */
    bool starts;           /* `starter` was created and not joined yet (starting.h) */
    bool starts_for_good;
    void (*start_told)(struct gw_recv *r); /* called when the machine has started; may be NULL */
    pthread_t starter;
    /* under session.lock */
    bool committed;        /* the machine belongs here from now on, even if the rest fails */
    bool lost;             /* the connection was lost before that: pages cannot be requested */
    bool needed;           /* a device waited for a page while `lost`: it was loaded with zeros */
    bool ended;            /* the thread has stopped reading: */
    int result;
    struct gw_error error;
    bool started;          /* `starter` has finished: */
    int start_result;
    struct gw_error start_error;
    struct gw_listener *door; /* where a source may resume; NULL: no such address was asked for */
};

/* LISTEN: from now on threads may wait for pages, and a thread of its own reads them. */
int gw_follow_listen(struct gw_recv *r, struct gw_error *err);
/* RUN: fails if the reading thread has failed. A lost connection is no failure unless a device waits for a page. */
int gw_follow_commit(struct gw_recv *r, struct gw_error *err);
/* Call after commit, before the machine starts. true: the source cannot be told that the machine is here, and may run
 * it itself (QEMU 11.1 does; older versions and godwit do not). The machine must not start until the source resumes: a
 * source that resumes has not run it. */
bool gw_follow_unsure(struct gw_recv *r);
/* The package is bad: ends the reading thread. */
void gw_follow_abandon(struct gw_recv *r, const struct gw_error *why);
/* Bytes of memory that have not come yet. Any thread. */
uint64_t gw_follow_lacking(const struct gw_recv *r);
/* EOF was read. Waits for the channel of urgent pages first; -EPROTO if something is still lacking then. Called by the
 * thread that reads. */
int gw_follow_check_end(struct gw_recv *r, struct gw_error *err);
/* Requests again all pages that a thread waits for. */
void gw_follow_ask_again(struct gw_recv *r);
/* Threads that wait for a page continue with zeros. Any thread. */
void gw_follow_release(struct gw_recv *r);
/* Call after the package. e: how reading ended. Returns 0 when everything has come, or an error when it will not. */
int gw_follow(struct gw_recv *r, int e, struct gw_error *err);
/* Everything has come, and the machine belongs here. */
int gw_follow_arrive(struct gw_recv *r, struct gw_error *err);
/* gw_follow or gw_follow_arrive failed: the machine is here, but incomplete. Returns err->code. */
int gw_follow_lost(struct gw_recv *r, struct gw_error *err);
/* Call when no thread waits for a page any more. */
void gw_follow_end(struct gw_recv *r);

/* Call for each element, with its size. -EPROTO: nothing is lacking, but the source keeps sending empty sections: it
 * does not notice that it is done (QEMU 5.2 sometimes does this after several interruptions). */
int gw_follow_check_idle(struct gw_recv *r, uint64_t bytes, struct gw_error *err);

/* gw_guest_asks; opaque: the gw_recv. */
void gw_follow_ask(void *recv, const struct gw_ram_block *b, uint64_t offset, uint64_t bytes);
void gw_follow_deaf(void *recv, const struct gw_error *error);

#endif
