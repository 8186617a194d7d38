/* SPDX-License-Identifier: MIT
 *
 * history: keeps a struct gw_history that never overflows. When it is full, every second sample is dropped and each
 * pair of rounds is merged into one; from then on half as many are kept.
 *
 * Pure. Instants are those of the session's clock. One owner.
 */
#ifndef GW_ENGINE_HISTORY_H
#define GW_ENGINE_HISTORY_H

#include "godwit/history.h"

struct gw_history_keeper {
    struct gw_history h;
    uint64_t began_ns;
    uint64_t apart_ns; /* least distance of two samples */
    uint64_t each;     /* rounds in one record */
    uint64_t open;     /* rounds begun */
};

void gw_history_begin(struct gw_history_keeper *k, uint64_t now_ns);
/* Keeps the sample if the last one is old enough, or if `always`. at_ns is an instant. */
void gw_history_sample(struct gw_history_keeper *k, struct gw_sample s, bool always);
void gw_history_stopped(struct gw_history_keeper *k, uint64_t now_ns);

/* A round begins; the previous one has ended. */
void gw_history_begin_round(struct gw_history_keeper *k, uint64_t now_ns, uint64_t remaining_bytes);
/* Sets the limit of the round that runs. */
void gw_history_limit(struct gw_history_keeper *k, uint64_t limit_bytes);
void gw_history_end_round(struct gw_history_keeper *k, uint64_t now_ns, const struct gw_round *round, uint64_t dirty_bytes);

#endif
