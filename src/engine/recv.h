/* SPDX-License-Identifier: MIT
 *
 * recv: the destination's session: recv.c (API, life), hello.c (accepts connections), load.c (elements of the stream),
 * arrive.c (the change of owner), postcopy_in.c (a machine whose pages follow). They share this header.
 */
#ifndef GW_ENGINE_RECV_H
#define GW_ENGINE_RECV_H

#include "channel/reader.h"
#include "engine/answers.h"
#include "engine/head.h"
#include "engine/pages.h"
#include "engine/plan.h"
#include "engine/follow.h"
#include "engine/postcopy_in.h"
#include "engine/recovery.h"
#include "engine/session.h"
#include "engine/starting.h"
#include "engine/urgent_in.h"
#include "godwit/recv.h"
#include "wire/grammar.h"

#define GW_RECV_WAITING    16 /* connections that are accepted and have not been identified yet, at most */
#define GW_RECV_BACKLOG    128
#define GW_LAST_MESSAGE_NS (5 * GW_NS_PER_S) /* time for a source to take SHUT */

/* A section of the stream, as its START or FULL described it. */
struct gw_bound {
    uint32_t id;
    struct gw_live *live; /* NULL: a device, already loaded */
    bool begun, ended, unknown; /* begun: a PART or END came; unknown: a live section that is carried as bytes */
    bool unnumbered;            /* its START came in an earlier session: the next number of the stream is its own */
};

struct gw_recv {
    struct gw_session session;
    struct gw_listener *listener;
    struct gw_uri address;
    bool has_listener;
    struct gw_door *door; /* connections that are not identified yet; NULL: closed, or there is no listener */
    uint64_t hello_ns, timeout_ns, vmdesc_wait_ns;
    bool start_paused;
    bool claimed; /* under session.lock */

    struct gw_channel *channel; /* to the source */
    struct gw_reader reader;
    struct gw_wire_head head; /* of the source's stream */
    enum gw_grammar grammar;
    struct gw_plan plan;
    struct gw_classify classify; /* channels that may still connect */
    struct gw_pages pages;       /* page channels that have connected */
    struct gw_bound *bound;
    unsigned bounds;

    struct gw_postcopy_in postcopy;
    struct gw_urgent_in urgent; /* the channel of requested pages */
    struct gw_blocktime *blocktime; /* measures how long threads wait for pages; NULL: not measured */
    bool regains; /* the machine came in part in an earlier session */
    /* the machine is not run here, and its source may resume after a lost connection: the listener stays open */
    bool awaits;

    struct gw_answers answers;
    bool return_path;        /* the source has opened it */
    bool extended;           /* the source has asked whether this is a godwit: it will send COMMIT */
    bool told_cookie;        /* the last PING of the source had the cookie; the next one has its extensions */
    _Atomic uint32_t source_knows; /* GW_EXTENSION_* of the source */
    atomic_bool refused;     /* SHUT was sent, with a failure */
    atomic_bool heard;       /* the source has told its extensions, or has none */
    bool committed, aborted; /* COMMIT, ABORT of the source was read */
    atomic_bool touched;     /* memory or devices were changed: no other source can be accepted */
    bool ended;              /* EOF was read */
    bool snapshot;           /* under lock: a live section had no END: its source runs on (wire-format.md 3.1) */
    bool described;          /* the description after EOF was read */
    bool footers_seen;       /* it is known whether sections have footers */
    bool handed;             /* the embedder was told that the machine has arrived */
    bool unclosed;           /* a plain source was told that its machine is in a file, and did not close in time */
    uint64_t in_before; /* bytes received on connections that were lost */
    uint64_t started_ns;
    uint64_t farewell_ns;    /* deadline for the source to take the last message; 0: not set yet */
};

/* gw_recv_start in two steps, for callers that run the session on a thread of their own: new prepares everything, main
 * runs the session and returns when it has ended. main must be called exactly once. */
int gw_recv_new(struct gw_vm *vm, const struct gw_recv_config *config, struct gw_recv **ret_recv, struct gw_error *err);
void *gw_recv_main(void *recv);
/* waits.c: begins to measure how long threads wait for pages, if the options ask for it and pages can follow. */
int gw_waits_begin(struct gw_recv *r, struct gw_error *err);

/* Waits for a source of this machine. On success r->channel and r->reader are its main channel, from which the head was
 * read. */
int gw_recv_hello(struct gw_recv *r, struct gw_error *err);
/* watch: while the accepted source is loaded, other connections are read too, and one of them replaces the source if
 * that sends nothing but its head. Called by the session's thread. close also refuses all connections that are
 * waiting. */
void gw_door_watch(struct gw_recv *r);
void gw_door_unwatch(struct gw_recv *r);
void gw_door_close(struct gw_recv *r);
/* The stream has ended, and no thread watches the door. With multifd: identifies the connections that came before that.
 * A page channel that is not read here means that pages are missing: the migration fails, even this late. Other
 * connections only cost time. */
int gw_door_settle(struct gw_recv *r, struct gw_error *err);
/* The same for a source that resumes a migration of the machine that is here, at another address; its head was read
 * long ago. */
int gw_recv_hello_again(struct gw_recv *r, struct gw_listener *listener, struct gw_error *err);
/* Threads may wait for pages from now on. No other source is accepted; a connection that has sent nothing may be the
 * channel of urgent pages. */
void gw_door_keep(struct gw_recv *r);
/* Call after keep, on a thread of its own: waits for the channel of urgent pages, which is identified by its first
 * record. *ret_reader begins with that record. Fails when no connection is left that it could be; -ECANCELED: quit was
 * triggered; trigger it, then signal session.changed. */
int gw_door_urgent(struct gw_recv *r, struct gw_cancel *quit, struct gw_channel **ret, struct gw_reader *ret_reader,
                   struct gw_error *err);
/* Whether other connections are left that it could be. */
bool gw_door_waits(const struct gw_recv *r);
/* Reads elements up to EOF (0). The session's thread may also return at the point from which another thread reads on
 * (1). */
int gw_recv_elements(struct gw_recv *r, bool session, struct gw_error *err);
/* Reads everything up to the end of the stream. */
int gw_recv_load(struct gw_recv *r, struct gw_error *err);
/* The machine is complete: tells all sections (live.h: over). */
void gw_recv_over(struct gw_recv *r);
/* A COMMAND, after its type byte, which is at byte `at` of the stream. */
int gw_recv_command(struct gw_recv *r, uint64_t at, struct gw_error *err);
/* gw_devices_get.section; opaque: the gw_recv. */
bool gw_recv_live_section(void *recv, const char *name, uint32_t *ret_id);
/* Parks the machine, and meanwhile tells the source that this side is alive. */
int gw_recv_park(struct gw_recv *r, struct gw_error *err);
/* Takes the guest over: agrees with the source, starts the machine. */
int gw_recv_arrive(struct gw_recv *r, struct gw_error *err);
/* The last message to the source. failure NULL: the machine is here; else a godwit source is told why it is not;
 * -EALREADY: it was told before. */
int gw_recv_shut(struct gw_recv *r, const struct gw_error *failure, struct gw_error *err);
/* The session cannot continue: tells the source why, and shuts down the main channel. Any thread while the channel
 * exists. */
void gw_recv_give_up(struct gw_recv *r, const struct gw_error *why);
/* gw_channel_farewell, with GW_LAST_MESSAGE_NS for all calls together. */
int gw_recv_farewell(struct gw_recv *r, struct gw_error *err);
/* The machine belongs here: tells the embedder once, and starts the machine if it is to run. */
int gw_recv_run_machine(struct gw_recv *r, struct gw_error *err);
/* The same when the source has given the machine away for good: if it cannot be started, it stays here stopped, and
 * that is logged. */
void gw_recv_run_for_good(struct gw_recv *r);
/* logs that the machine is here, but could not be started */
void gw_recv_not_started(struct gw_recv *r, const struct gw_error *why);
void gw_recv_publish(struct gw_recv *r);

#endif
