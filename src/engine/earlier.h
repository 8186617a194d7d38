/* SPDX-License-Identifier: MIT
 *
 * earlier: what the sessions have counted that a resumed one goes on from. A migration by postcopy that broke off is one migration,
 * however many connections it takes: its statistics are the sum, and its time is since it began.
 *
 *     source session ends, paused or undecided --keep--> vm->earlier --begin--> the session that resumes it
 *
 * Threads: the session's, or who starts it.
 */
#ifndef GW_ENGINE_EARLIER_H
#define GW_ENGINE_EARLIER_H

#include "godwit/stats.h"

struct gw_send;

struct gw_earlier {
    struct gw_stats stats;
    uint64_t began_ns; /* the first of them */
};

/* A session begins. Where it resumes one of this machine its statistics begin as that one's ended; else those are forgotten. */
void gw_earlier_begin(struct gw_send *s);
/* What grows during a session: adds that of the ones before it to a session's own. e NULL: there were none. */
void gw_earlier_add(const struct gw_earlier *e, struct gw_stats *st);
/* A session has ended, and nothing is counted any more. Where there is no memory for it another one begins from nothing. */
void gw_earlier_keep(struct gw_send *s);

#endif
