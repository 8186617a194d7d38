/* SPDX-License-Identifier: MIT
 *
 * rounds: while the machine runs at the source: iterate.c (the loop, and when it ends), step.c (a PART of each live section,
 * which is measured), rounds.c (a pass over everything that is due, its figures and events). send.h has what the rest of the session
 * calls.
 *
 * Threads: the session's.
 */
#ifndef GW_ENGINE_ROUNDS_H
#define GW_ENGINE_ROUNDS_H

#include "engine/send.h"

/* gw_send_parts with the share of the rate limit, for which it sleeps. *ret_dry: nothing was left in any section. */
int gw_send_step(struct gw_send *s, bool *ret_dry, struct gw_error *err);
/* What is due in all live sections. exact: they look again, and count what is fresh. */
int gw_send_pending(struct gw_send *s, bool exact, struct gw_pending *ret, struct gw_error *err);

#endif
