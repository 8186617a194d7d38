/* SPDX-License-Identifier: MIT
 *
 * follow: a machine is here, and pages of its memory follow (docs/wire-format.md 10.1, 10.7).
 *
 *     listen (a thread reads pages) -- commit -- the machine runs -- pages -- EOF -- arrive
 *                                                    \-- the connection is lost: hold -- recover -- pages ...
 *
 * A machine that runs here asks for the pages that it waits for. Its source lost, it stands at the next page that has not come, until
 * another connection brings the rest: any number of times. One that stands for an image rests; nobody asks for anything, no thread is
 * needed, and when the connection is lost what came is kept.
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
    uint32_t pings[GW_PACKAGE_PINGS]; /* of the package: they are answered when it was loaded, which an answer means */
    unsigned ping_count;

    bool advised;          /* ADVISE has come; set before there are threads */
    bool only_bitmaps;     /* ADVISE said that all but dirty bitmaps comes before the machine runs */
    bool threaded;         /* `thread` reads what follows */
    pthread_t thread;
    unsigned idle;         /* elements in a row that brought nothing although all is here. Of whoever reads */
    char asked[256];       /* block of the request before. The store's thread, or the session's while that is held */
    bool stands, stops;    /* given up: its threads wait for pages that never come, and `stopper` for them */
    pthread_t stopper;
    atomic_bool unheard;   /* an answer could not be said: the connection is lost, though more may be read of it */
    bool unsure;           /* the source may have taken the machine back: it stands until one goes on with it */
    bool starts;           /* `starter` starts it, or has, and was not joined (starting.h) */
    bool starts_for_good;
    void (*start_told)(struct gw_recv *r); /* NULL: nobody is */
    pthread_t starter;
    /* under session.lock */
    bool committed;        /* the machine goes on here, whatever comes */
    bool lost;             /* before that the connection was: nobody can be asked for a page */
    bool needed;           /* and a device waited for one: it was loaded with zeros */
    bool ended;            /* the thread has nothing more to read: */
    int result;
    struct gw_error error;
    bool started;          /* `starter` has ended: */
    int start_result;
    struct gw_error start_error;
    struct gw_listener *door; /* where a source may go on; NULL: nobody has asked for that */
};

/* LISTEN: pages are waited for from now on, and a thread reads them. */
int gw_follow_listen(struct gw_recv *r, struct gw_error *err);
/* RUN: fails where the thread has. That the connection is lost is no failure as long as no device waits for a page. */
int gw_follow_commit(struct gw_recv *r, struct gw_error *err);
/* Behind commit, before the machine starts. true: the source cannot be told that it is here, and may run it itself (QEMU 11.1 does,
 * older ones and godwit do not): it must stand here until the source goes on, which then has not. */
bool gw_follow_unsure(struct gw_recv *r);
/* The package is bad: ends the thread. */
void gw_follow_abandon(struct gw_recv *r, const struct gw_error *why);
/* Bytes that are still to come. Any thread. */
uint64_t gw_follow_lacking(const struct gw_recv *r);
/* EOF was read: -EPROTO where something is lacking, also when the channel of urgent pages has ended. By whoever reads. */
int gw_follow_check_end(struct gw_recv *r, struct gw_error *err);
/* All that is waited for. */
void gw_follow_ask_again(struct gw_recv *r);
/* Who waits for a page goes on with zeros. Any thread. */
void gw_follow_release(struct gw_recv *r);
/* Behind the package. e: what reading ended with. Returns when all has come (0), or will not. */
int gw_follow(struct gw_recv *r, int e, struct gw_error *err);
/* All has come, and the machine belongs here. */
int gw_follow_arrive(struct gw_recv *r, struct gw_error *err);
/* gw_follow, or arrive, failed: the machine is here and lacks something. Returns err->code. */
int gw_follow_lost(struct gw_recv *r, struct gw_error *err);
/* Nobody waits for a page any more. */
void gw_follow_end(struct gw_recv *r);

/* An element of so many bytes was read. -EPROTO: all has come, and the source goes on to send sections with nothing in them: it does
 * not know that it has ended (QEMU 5.2 does so now and then when it was interrupted several times). */
int gw_follow_check_idle(struct gw_recv *r, uint64_t bytes, struct gw_error *err);

/* gw_guest_asks; opaque: the gw_recv. */
void gw_follow_ask(void *recv, const struct gw_ram_block *b, uint64_t offset, uint64_t bytes);
void gw_follow_deaf(void *recv, const struct gw_error *error);

#endif
