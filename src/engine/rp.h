/* SPDX-License-Identifier: MIT
 *
 * rp: the source's end of the return path: a thread that reads what the destination says (docs/wire-format.md 6).
 *
 * Threads: one of its own, reading the session's channel while the session writes it. What it hears is kept here under
 * the session's lock, and session->changed is signalled. It ends with SHUT, an error, or the end of the channel.
 * Hostile: unknown types, wrong lengths and messages in the wrong state end it with -EPROTO, blame PEER.
 */
#ifndef GW_ENGINE_RP_H
#define GW_ENGINE_RP_H

#include "engine/session.h"
#include "ram/source/requests.h"
#include "wire/numbers.h"

#define GW_PING_PACKAGE 3u /* the PING at the end of the package; docs/wire-format.md 10.1 */
#define GW_PING_MARK    0x10000u /* and above: behind pages whose memory is given back when they have come */

struct gw_rp {
    struct gw_session *session;
    struct gw_channel *channel;
    pthread_t thread;
    bool running;
    struct gw_requests *requests; /* where requests for pages go; NULL: none have a place. Before the thread runs */
    bool asks; /* the first PING has the cookie, and a second PING follows it at once */
    /* under session->lock */
    bool hello; /* the peer is a godwit: it said so between the two PONGs */
    uint64_t extensions;
    atomic_bool as_is; /* GW_EXTENSION_AS_IS is among them. Any thread */
    uint64_t pongs;
    uint64_t pong_ns; /* when the last one came */
    bool switchover_ack;
    const struct gw_ram_block *wanted; /* resume: the block whose map of received pages is asked for; NULL: none */
    uint64_t *map;                     /* it, once it came; the session's to take */
    bool resumed;                      /* RESUME_ACK came */
    bool resuming;                     /* and may */
    bool packaged; /* the package is on its way: PONG to GW_PING_PACKAGE may come, and then the machine runs there */
    bool runs;
    uint32_t marked; /* the last PONG to a GW_PING_MARK; 0: none came */
    bool offered; /* the last byte is on its way: LOADED may come */
    bool loaded;
    bool shut; /* SHUT came, with this value */
    uint32_t shut_value;
    char reason[GW_RP_MAX_BYTES + 1]; /* of a failure, in the other side's words, whatever bytes they are; "": none came */
    bool ended;            /* nothing more will come */
    bool ended_orderly;    /* by SHUT or by the peer's closing */
    struct gw_error error; /* why, unless by SHUT 0 */
    uint64_t messages;     /* heard; progress */
};

int gw_rp_start(struct gw_rp *rp, struct gw_session *s, struct gw_channel *channel, bool asks,
                struct gw_requests *requests, struct gw_error *err);
/* Whether all is known that the PINGs asked for. Under session->lock. */
static inline bool gw_rp_knows_peer(const struct gw_rp *rp)
{
    return rp->pongs >= (rp->asks ? 2u : rp->running ? 1u : 0u);
}
/* The channel must have been shut down, or have ended, else this waits. */
void gw_rp_join(struct gw_rp *rp);

#endif
