/* SPDX-License-Identifier: MIT
 *
 * ctl_progress: the progress of a monitor's migration, from query-migrate, and messages that are printed once
 * meanwhile.
 *
 * Threads: the main thread.
 */
#ifndef GODWIT_CLI_CTL_PROGRESS_H
#define GODWIT_CLI_CTL_PROGRESS_H

#include "ctl.h"
#include "progress.h"
#include "stuck.h"

struct gw_ctl_progress {
    struct gw_progress_line line;
    bool moved;    /* it was in another state than postcopy-paused */
    char told[32]; /* the state that was last printed as a message */
    struct gw_stuck stuck;
    double asked_round; /* the round in which the limit was queried */
    double limit_ms;
    bool is_stuck, told_stuck;
};

/* Fills the values of the line; zeros if the server reports nothing on memory. *at borrows the state from info. */
void gw_ctl_progress_read(const json_t *info, struct gw_progress_at *ret_at);
/* {"percent": 37, "eta-ms": 25000}, from this answer alone: unknown values are null. NULL: no migration is in
 * progress. */
json_t *gw_ctl_progress_json(const json_t *info);
/* Called before the first answer. */
void gw_ctl_progress_init(struct gw_ctl_progress *p, const struct gw_ctl *ctl);
/* Draws the line alone. */
void gw_ctl_progress_draw(struct gw_ctl_progress *p, const json_t *info);
/* One answer of query-migrate: draws the line; prints once each on stderr that the migration does not converge, and
 * that it waits for the operator. */
void gw_ctl_progress_look(struct gw_ctl *ctl, struct gw_ctl_progress *p, const json_t *info);

#endif
