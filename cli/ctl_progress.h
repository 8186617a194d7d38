/* SPDX-License-Identifier: MIT
 *
 * ctl_progress: how far the migration of a monitor is, from what query-migrate tells; and what is said once on the way.
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
    char told[32]; /* the state that was told of off the line */
    struct gw_stuck stuck;
    double asked_round; /* in which the limit was asked for */
    double limit_ms;
    bool is_stuck, told_stuck;
};

/* For the line; zeros where the server tells nothing of memory. *at borrows the state from info. */
void gw_ctl_progress_read(const json_t *info, struct gw_progress_at *ret_at);
/* {"percent": 37, "eta-ms": 25000}, from this one answer alone: what is not known is null. NULL: nothing is under way. */
json_t *gw_ctl_progress_json(const json_t *info);
/* Before the first look. */
void gw_ctl_progress_init(struct gw_ctl_progress *p, const struct gw_ctl *ctl);
/* Draws the line alone. */
void gw_ctl_progress_draw(struct gw_ctl_progress *p, const json_t *info);
/* One answer of query-migrate: draws the line; says once each on stderr that the migration does not come to an end, and that
 * it waits for the operator. */
void gw_ctl_progress_look(struct gw_ctl *ctl, struct gw_ctl_progress *p, const json_t *info);

#endif
