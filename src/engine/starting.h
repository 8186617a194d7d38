/* SPDX-License-Identifier: MIT
 *
 * starting: starts a machine while pages of its memory follow. The start may block on a page until a source sends it,
 * so it has a thread of its own; if the connection is lost meanwhile, the session recovers as usual.
 *
 *     run (behind RUN) ---- it has started: 0, or why not
 *                      \--- the connection is lost first: 0, and it goes on beside the session
 *     late (RESUME) ------- it goes on beside the session
 *     end ----------------- all pages have come, or were released: waits until it has started
 *
 * Threads: the session's.
 */
#ifndef GW_ENGINE_STARTING_H
#define GW_ENGINE_STARTING_H

#include "godwit/error.h"

struct gw_recv;

/* tell: called on any thread when the machine has started, unless the connection is lost before. If the machine does
 * not start, this fails with the reason as long as the source can be told. tell NULL: the source has given the machine
 * away: nothing is taken back, and a failure is only logged. */
int gw_starting_run(struct gw_recv *r, void (*tell)(struct gw_recv *r), struct gw_error *err);
/* The source has given its machine away after all. The calling thread goes on to read the pages for which the start may
 * wait. */
void gw_starting_late(struct gw_recv *r);
/* Waits for the start. If it failed beside the session, tries again, since the machine belongs here. */
void gw_starting_end(struct gw_recv *r);
/* Waits for the start of a machine that is given up. Called by one thread at a time. */
void gw_starting_join(struct gw_recv *r);

#endif
