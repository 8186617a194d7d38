/* SPDX-License-Identifier: MIT
 *
 * history: keeps a struct gw_history that never overflows. When it is full, every second sample goes, and two rounds each
 * become one; from then on half as many come.
 *
 * Pure. Instants are those of the session's clock. One owner.
 */
#ifndef GW_ENGINE_HISTORY_H
#define GW_ENGINE_HISTORY_H

#include "godwit/history.h"

struct gw_history_keeper {
    struct gw_history h;
    uint64_t began_ns;
    uint64_t apart_ns; /* between two samples, at least */
    uint64_t each;     /* rounds in one record */
    uint64_t open;     /* rounds begun */
};

void gw_history_begin(struct gw_history_keeper *k, uint64_t now_ns);
/* Kept when the last one is long enough ago, or `always`. at_ns is an instant. */
void gw_history_sample(struct gw_history_keeper *k, struct gw_sample s, bool always);
void gw_history_stopped(struct gw_history_keeper *k, uint64_t now_ns);

/* A round begins; the one before has ended. */
void gw_history_begin_round(struct gw_history_keeper *k, uint64_t now_ns, uint64_t remaining_bytes);
/* Of the round that runs. */
void gw_history_limit(struct gw_history_keeper *k, uint64_t limit_bytes);
void gw_history_end_round(struct gw_history_keeper *k, uint64_t now_ns, const struct gw_round *round, uint64_t dirty_bytes);

#endif
