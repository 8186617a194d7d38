/* SPDX-License-Identifier: MIT
 *
 * earlier: the statistics of the earlier sessions of a migration that is resumed. A postcopy migration that is resumed
 * counts as one migration, however many connections it takes: its statistics are the sum over all sessions, and its
 * time is counted from the first one.
 *
 *     source session ends, paused or undecided --keep--> vm->earlier --begin--> the session that resumes it
 *
 * Threads: the session's, or the one that starts it.
 */
#ifndef GW_ENGINE_EARLIER_H
#define GW_ENGINE_EARLIER_H

#include "godwit/stats.h"

struct gw_send;

struct gw_earlier {
    struct gw_stats stats;
    uint64_t began_ns; /* start of the first session */
};

/* Call when a session begins. A session that resumes takes over the statistics of the earlier ones; any other session
 * discards them. */
void gw_earlier_begin(struct gw_send *s);
/* Adds the counters of the earlier sessions to those of this session. e NULL: there were none. */
void gw_earlier_add(const struct gw_earlier *e, struct gw_stats *st);
/* Call when a session has ended and all counting is over. Without memory they are lost, and the next session counts
 * from zero. */
void gw_earlier_keep(struct gw_send *s);

#endif
