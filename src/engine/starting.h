/* SPDX-License-Identifier: MIT
 *
 * starting: a machine is started while pages of its memory follow. Its start may wait for such a page for as long as nobody sends it, so it
 * has a thread of its own, and a connection that is lost meanwhile is made again as any other.
 *
 *     run (behind RUN) ---- it has started: 0, or why not
 *                      \--- the connection is lost first: 0, and it goes on beside the session
 *     late (RESUME) ------- it goes on beside the session
 *     end ----------------- whatever it waited for has come, or is released: waits until it has started
 *
 * Threads: the session's.
 */
#ifndef GW_ENGINE_STARTING_H
#define GW_ENGINE_STARTING_H

#include "godwit/error.h"

struct gw_recv;

/* tell: called when it has started, by any thread, unless the connection is lost before. Where it does not start this fails with why, as long
 * as the source can hear that. NULL: the source has given the machine away, so that nothing is taken back, and a failure is only logged. */
int gw_starting_run(struct gw_recv *r, void (*tell)(struct gw_recv *r), struct gw_error *err);
/* The source has given its machine away after all. This thread reads the pages that the start may wait for. */
void gw_starting_late(struct gw_recv *r);
/* What failed beside the session is tried again, since the machine belongs here. */
void gw_starting_end(struct gw_recv *r);
/* The same, but the machine is given up. Any one thread. */
void gw_starting_join(struct gw_recv *r);

#endif
