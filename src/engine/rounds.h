/* SPDX-License-Identifier: MIT
 *
 * rounds: while the machine runs at the source: iterate.c (the loop, and when it ends), step.c (a PART of each live
 * section, and its measurement), rounds.c (one pass over everything that is due, its figures and events). The rest of
 * the session calls the functions in send.h.
 *
 * Threads: the session's.
 */
#ifndef GW_ENGINE_ROUNDS_H
#define GW_ENGINE_ROUNDS_H

#include "engine/send.h"

/* gw_send_parts with the share that the rate limit allows; sleeps for it. *ret_dry: no section had anything left. */
int gw_send_step(struct gw_send *s, bool *ret_dry, struct gw_error *err);
/* The bytes that are due in all live sections. exact: the sections sync first, and count what became dirty. */
int gw_send_pending(struct gw_send *s, bool exact, struct gw_pending *ret, struct gw_error *err);

#endif
