/* SPDX-License-Identifier: MIT
 *
 * rp: the source's end of the return path: a thread that reads the messages of the destination (docs/wire-format.md 6).
 *
 * Threads: one of its own, reading the session's channel while the session writes it. The contents are kept here under
 * the session's lock, and session->changed is signalled. It ends with SHUT, an error, or the end of the channel.
 * Hostile: unknown types, wrong lengths and messages in the wrong state end it with -EPROTO, blame PEER.
 */
#ifndef GW_ENGINE_RP_H
#define GW_ENGINE_RP_H

#include "engine/session.h"
#include "ram/source/requests.h"
#include "wire/numbers.h"

#define GW_PING_PACKAGE 3u /* value of the PING at the end of the package; docs/wire-format.md 10.1 */
/* values from this on: PINGs after pages whose memory is given back when they have arrived */
#define GW_PING_MARK    0x10000u

struct gw_rp {
    struct gw_session *session;
    struct gw_channel *channel;
    pthread_t thread;
    bool running;
    struct gw_requests *requests; /* gets requests for pages; NULL: requests are refused. Set before the thread runs */
    bool asks; /* the first PING has the cookie, and a second PING follows it at once */
    /* under session->lock */
    bool hello; /* the peer is a godwit: it sent HELLO between the two PONGs */
    uint64_t extensions;
    atomic_bool as_is; /* the extensions contain GW_EXTENSION_AS_IS. Any thread */
    uint64_t pongs;
    uint64_t pong_ns; /* when the last one came */
    bool switchover_ack;
    const struct gw_ram_block *wanted; /* resume: the block whose map of received pages was requested; NULL: none */
    uint64_t *map;                     /* that map, once it came; the session takes it */
    bool resumed;                      /* RESUME_ACK came */
    bool resuming;                     /* RESUME_ACK is allowed now */
    bool packaged; /* the package was sent: PONG to GW_PING_PACKAGE may come, and means that the machine runs there */
    bool runs;
    uint32_t marked; /* value of the last PONG to a GW_PING_MARK; 0: none came */
    bool offered; /* the last byte was sent: LOADED may come */
    bool loaded;
    bool shut; /* SHUT came, with this value */
    uint32_t shut_value;
    char reason[GW_RP_MAX_BYTES + 1]; /* reason of a failure, as the destination sent it: any bytes; "": none came */
    bool ended;            /* the thread has ended */
    bool ended_orderly;    /* by SHUT, or because the peer closed the channel */
    struct gw_error error; /* why it ended, except by SHUT 0 */
    uint64_t messages;     /* number of messages; shows that the peer is alive */
};

int gw_rp_start(struct gw_rp *rp, struct gw_session *s, struct gw_channel *channel, bool asks,
                struct gw_requests *requests, struct gw_error *err);
/* Whether the PINGs have brought everything that they asked for. Under session->lock. */
static inline bool gw_rp_knows_peer(const struct gw_rp *rp)
{
    return rp->pongs >= (rp->asks ? 2u : rp->running ? 1u : 0u);
}
/* The channel must have been shut down or have ended; otherwise this blocks. */
void gw_rp_join(struct gw_rp *rp);

#endif
