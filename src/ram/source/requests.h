/* SPDX-License-Identifier: MIT
 *
 * requests: pages that somebody waits for, in front of all others (docs/wire-format.md 6.1, 10).
 *
 * A source around another one. Until it is opened it passes everything on. Then it gives, in this order:
 *
 *   1. the rest of a host page that was begun: one that is larger than a target page travels whole and in one piece;
 *   2. host pages that were asked for, in the order of the requests; those that are not due any more are dropped;
 *   3. the neighbours behind the last one that was asked for, since who reads there goes on there;
 *   4. the pages of the other source, in its order; and then those that became due again behind its back.
 *
 * Where requests are served apart (preempt), a thread of its own takes them with gw_requests_serve, and the source gives the rest.
 * A host page goes one way only: of one that is larger than a target page, whoever takes its first page takes them all, and a batch of
 * the source that begins inside of one `goes_on`. Is it
 * asked for when the source has begun it, the source goes on with it at once.
 *
 * Memory: GW_REQUESTS_MAX requests; who asks for more waits until one was served.
 * Threads: the source's functions as in ram/page/ops.h. ask and serve by one thread each, close and the others by any.
 */
#ifndef GW_SOURCE_REQUESTS_H
#define GW_SOURCE_REQUESTS_H

#include "ram/page/ops.h"

#define GW_REQUESTS_MAX        1024u
#define GW_REQUESTS_NEIGHBOURS 16u /* host pages */

struct gw_requests;

/* The inner source is its own from now on, also on failure; it must have due, owe and take. Both are freed with the source. */
int gw_source_requests_new(struct gw_source *take_inner, struct gw_ram *ram, struct gw_source **ret,
                           struct gw_requests **ret_requests, struct gw_error *err);

/* Before the first request. Requests are served by another thread. wake: it wants the source to go on with the page that it has begun; on that
 * thread, without a lock. */
void gw_requests_serve_apart(struct gw_requests *q, void (*wake)(void *opaque), void *opaque);
/* Waits for a request. 1: the batch has pages of one host page that was asked for; 0: there will be no more of them. */
int gw_requests_serve(struct gw_requests *q, struct gw_batch *batch, struct gw_error *err);

/* The last sync is over. Host pages of which a part is due become due as a whole. */
void gw_requests_open(struct gw_requests *q);
/* Before open. Where nothing is due any more, one host page becomes due. A destination that is told of no discarded page fails
 * when its machine is to start: QEMU does, see docs/wire-format.md 10.3. */
void gw_requests_owe_one(struct gw_requests *q);
/* hold: only what was asked for is given, until it is let go. By the session's thread. */
void gw_requests_hold(struct gw_requests *q, bool hold);
/* A request of the peer. name NULL: the block of the request before. -EPROTO: there is no such block or place. Waits while
 * GW_REQUESTS_MAX wait; -ECANCELED after close. */
int gw_requests_ask(struct gw_requests *q, const char *name, uint64_t offset, uint64_t bytes, struct gw_error *err);
/* All pages were given: who asks from now on has them, or will. Serving ends. */
void gw_requests_finish(struct gw_requests *q);
/* Nobody will serve any more. */
void gw_requests_close(struct gw_requests *q);

/* Some wait for the source. */
bool gw_requests_waiting(struct gw_requests *q);
/* Why the last batch was given. What was asked for is urgent: it leaves at once. By the session's thread. */
enum gw_requests_kind {
    GW_REQUESTS_OTHER,  /* it was its turn */
    GW_REQUESTS_ASKED,  /* it was asked for */
    GW_REQUESTS_BESIDE, /* it is a neighbour of what was asked for */
};
enum gw_requests_kind gw_requests_kind(const struct gw_requests *q);
static inline bool gw_requests_urgent(const struct gw_requests *q)
{
    return gw_requests_kind(q) == GW_REQUESTS_ASKED;
}
/* That came so far. */
uint64_t gw_requests_count(struct gw_requests *q);

#endif
