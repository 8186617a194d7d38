/* SPDX-License-Identifier: MIT
 *
 * recv: the destination's session: recv.c (API, life), hello.c (who is at the door), load.c (elements of the stream),
 * arrive.c (the change of owner), postcopy_in.c (a machine whose pages follow). This is what they share.
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

#define GW_RECV_WAITING    16 /* connections that may say hello at the same time */
#define GW_RECV_BACKLOG    128
#define GW_LAST_MESSAGE_NS (5 * GW_NS_PER_S) /* for a SHUT that the source does not take */

/* A section of the stream: what its START or FULL said. */
struct gw_bound {
    uint32_t id;
    struct gw_live *live; /* NULL: a device, done */
    bool begun, ended, unknown; /* begun: a PART or END came; unknown: a live section that is kept as bytes */
    bool unnumbered;            /* its START came in an earlier session: the next number that comes is its own */
};

struct gw_recv {
    struct gw_session session;
    struct gw_listener *listener;
    struct gw_uri address;
    bool has_listener;
    struct gw_door *door; /* who waits there; NULL: closed, or it has none */
    uint64_t hello_ns, timeout_ns, vmdesc_wait_ns;
    bool start_paused;
    bool claimed; /* under session.lock */

    struct gw_channel *channel; /* the source's */
    struct gw_reader reader;
    struct gw_wire_head head; /* what it said */
    enum gw_grammar grammar;
    struct gw_plan plan;
    struct gw_classify classify; /* what may come to the door */
    struct gw_pages pages;       /* what has come there */
    struct gw_bound *bound;
    unsigned bounds;

    struct gw_postcopy_in postcopy;
    struct gw_urgent_in urgent; /* the channel of pages that are waited for */
    struct gw_blocktime *blocktime; /* how long threads wait for pages; NULL: that is not measured */
    bool regains; /* the machine came in part by an earlier session */
    bool awaits;  /* nothing runs here, and its source may be lost and come again: where it came from stays open */

    struct gw_answers answers;
    bool return_path;        /* opened by the source */
    bool extended;           /* the source asked who we are: it will commit */
    bool told_cookie;        /* by its last PING; the next one has what it knows */
    _Atomic uint32_t source_knows; /* GW_EXTENSION_* */
    atomic_bool refused;     /* SHUT was said with a failure */
    atomic_bool heard;       /* the source has said what it knows, or will not */
    bool committed, aborted; /* its COMMIT, its ABORT was read */
    atomic_bool touched;     /* memory or devices were changed: no way back to listening */
    bool ended;              /* EOF was read */
    bool snapshot;           /* under lock: a live section came without an end: its source runs on (wire-format.md 3.1) */
    bool described;          /* and what stands behind it */
    bool footers_seen;       /* or that there are none */
    bool handed;             /* the embedder was told that the machine has come */
    bool unclosed;           /* a plain source took the word that its machine is in a file, and did not close in time */
    uint64_t in_before; /* bytes that came on connections that were lost */
    uint64_t started_ns;
    uint64_t farewell_ns;    /* until when the source is waited for that was told the last; 0: that was not begun */
};

/* gw_recv_start in two steps, for those who want the session on a thread of their own: new leaves everything ready,
 * main does it all and returns when the session has ended. main must be called, and once. */
int gw_recv_new(struct gw_vm *vm, const struct gw_recv_config *config, struct gw_recv **ret_recv, struct gw_error *err);
void *gw_recv_main(void *recv);
/* waits.c: begins to measure how long threads wait for pages, where that is wanted and somebody can wait. */
int gw_waits_begin(struct gw_recv *r, struct gw_error *err);

/* Waits for a source of this machine, and leaves its channel, with the head taken from it, in r->channel and r->reader.
 */
int gw_recv_hello(struct gw_recv *r, struct gw_error *err);
/* While the source that was let in is loaded: others are heard, and replace it when it sends nothing that counts. By
 * session's thread. close also sends away who waits. */
void gw_door_watch(struct gw_recv *r);
void gw_door_unwatch(struct gw_recv *r);
void gw_door_close(struct gw_recv *r);
/* The stream has ended, and nobody watches. With multifd: hears whoever came before that. A channel that nobody reads here has
 * pages that would be missing: it is the end of the migration, however late it is noticed. A stranger costs some time. */
int gw_door_settle(struct gw_recv *r, struct gw_error *err);
/* The same for a source that goes on with a machine that is here, at another address; its head came long ago. */
int gw_recv_hello_again(struct gw_recv *r, struct gw_listener *listener, struct gw_error *err);
/* Pages may be waited for from now on. Nobody is let in any more; who has come and says nothing may be the channel of urgent pages. */
void gw_door_keep(struct gw_recv *r);
/* Behind keep, on a thread of its own: waits for the channel of urgent pages, which shows by its first record. *ret_reader begins with
 * that. Fails when the last one that it could be has ended; -ECANCELED: quit, behind which session.changed must be told. */
int gw_door_urgent(struct gw_recv *r, struct gw_cancel *quit, struct gw_channel **ret, struct gw_reader *ret_reader,
                   struct gw_error *err);
/* Others are there that it could be. */
bool gw_door_waits(const struct gw_recv *r);
/* Elements up to EOF (0). On the session's thread also up to where another thread reads on (1). */
int gw_recv_elements(struct gw_recv *r, bool session, struct gw_error *err);
/* Everything up to the end of the stream. */
int gw_recv_load(struct gw_recv *r, struct gw_error *err);
/* A COMMAND, behind its type byte, which stands at byte `at`. */
int gw_recv_command(struct gw_recv *r, uint64_t at, struct gw_error *err);
/* gw_devices_get.section; opaque: the gw_recv. */
bool gw_recv_live_section(void *recv, const char *name, uint32_t *ret_id);
/* Puts the machine where it will rest, while the source hears that we live. */
int gw_recv_park(struct gw_recv *r, struct gw_error *err);
/* Takes the guest over: agrees with the source, starts the machine. */
int gw_recv_arrive(struct gw_recv *r, struct gw_error *err);
/* The last word. failure: NULL: the machine is here; else a godwit source is told why it is not; -EALREADY: it was told. */
int gw_recv_shut(struct gw_recv *r, const struct gw_error *failure, struct gw_error *err);
/* It cannot go on: the source hears why, and its main channel is shut down. Any thread while the channel is there. */
void gw_recv_give_up(struct gw_recv *r, const struct gw_error *why);
/* gw_channel_farewell, for GW_LAST_MESSAGE_NS altogether. */
int gw_recv_farewell(struct gw_recv *r, struct gw_error *err);
/* The machine is ours: tells the embedder, once, and starts it if it is to run. */
int gw_recv_run_machine(struct gw_recv *r, struct gw_error *err);
/* The same where the source has given it away for good: one that cannot be started stands here, and that is logged. */
void gw_recv_run_for_good(struct gw_recv *r);
void gw_recv_not_started(struct gw_recv *r, const struct gw_error *why); /* tells that it is here all the same */
void gw_recv_publish(struct gw_recv *r);

#endif
