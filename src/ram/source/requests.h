/* SPDX-License-Identifier: MIT
 *
 * requests: gives pages that the destination has requested before all others (docs/wire-format.md 6.1, 10).
 *
 * A source around another one. Until it is opened, it passes all calls on. Then it gives, in this order:
 *
 *   1. the rest of a host page that was begun: a host page larger than a target page is sent without interruption;
 *   2. requested host pages, in the order of the requests; those that are not due any more are dropped;
 *   3. the neighbours after the last requested page, since they will probably be accessed next;
 *   4. the pages of the inner source, in its order; then those that became due again without it.
 *
 * If requests are served apart (preempt), a thread of its own takes them with gw_requests_serve, and the source gives
 * the rest. A host page travels on one channel only: the thread that takes its first target page takes all of them, and
 * a batch of the source that begins inside a host page has `goes_on`. If a host page is requested that the source has
 * begun, the source continues it at once.
 *
 * Memory: GW_REQUESTS_MAX requests; ask blocks while there are so many.
 * Threads: the source's functions as in ram/page/ops.h. ask and serve by one thread each, close and the others by any.
 */
#ifndef GW_SOURCE_REQUESTS_H
#define GW_SOURCE_REQUESTS_H

#include "ram/page/ops.h"

#define GW_REQUESTS_MAX        1024u
#define GW_REQUESTS_NEIGHBOURS 16u /* host pages */

struct gw_requests;

/* Takes the inner source, also on failure; it must have due, owe and take. Both are freed with the source. */
int gw_source_requests_new(struct gw_source *take_inner, struct gw_ram *ram, struct gw_source **ret,
                           struct gw_requests **ret_requests, struct gw_error *err);

/* Call before the first request: requests are served by another thread. wake: that thread needs the source to continue
 * the host page that it has begun; called on that thread, without a lock. */
void gw_requests_serve_apart(struct gw_requests *q, void (*wake)(void *opaque), void *opaque);
/* Waits for a request. 1: the batch has pages of one requested host page; 0: no more requests will come. */
int gw_requests_serve(struct gw_requests *q, struct gw_batch *batch, struct gw_error *err);

/* Call after the last sync. Host pages with a due part become due as a whole. */
void gw_requests_open(struct gw_requests *q);
/* Call before open. If nothing is due, makes one host page due. A destination that gets no discarded page fails to
 * start its machine: QEMU does, see docs/wire-format.md 10.3. */
void gw_requests_owe_one(struct gw_requests *q);
/* hold: gives only requested pages until it is released. By the session's thread. */
void gw_requests_hold(struct gw_requests *q, bool hold);
/* A request of the peer. name NULL: the block of the previous request. -EPROTO: there is no such block or range. Blocks
 * while GW_REQUESTS_MAX requests wait; -ECANCELED after close. */
int gw_requests_ask(struct gw_requests *q, const char *name, uint64_t offset, uint64_t bytes, struct gw_error *err);
/* All pages were given, so later requests need no answer. Serving ends. */
void gw_requests_finish(struct gw_requests *q);
/* Requests are not served any more. */
void gw_requests_close(struct gw_requests *q);

/* Whether requests wait for the source. */
bool gw_requests_waiting(struct gw_requests *q);
/* Why the last batch was given. Requested pages are urgent: they are flushed at once. By the session's thread. */
enum gw_requests_kind {
    GW_REQUESTS_OTHER,  /* in the order of the source */
    GW_REQUESTS_ASKED,  /* requested */
    GW_REQUESTS_BESIDE, /* a neighbour of a requested page */
};
enum gw_requests_kind gw_requests_kind(const struct gw_requests *q);
static inline bool gw_requests_urgent(const struct gw_requests *q)
{
    return gw_requests_kind(q) == GW_REQUESTS_ASKED;
}
/* Requests that have come so far. */
uint64_t gw_requests_count(struct gw_requests *q);

#endif
