/* SPDX-License-Identifier: MIT
 *
 * ctl_progress: the line on stderr that is drawn again and again while a migration runs. Memory and disks are one figure.
 */
#ifndef GODWIT_CLI_CTL_PROGRESS_H
#define GODWIT_CLI_CTL_PROGRESS_H

#include "ctl.h"
#include "stuck.h"

struct gw_progress {
    bool moved; /* it was in another state than postcopy-paused */
    bool on, drawn;
    char told[32]; /* the state that was told of off the line */
    /* Speeds as seen from here, from one sample to the next. */
    uint64_t at_ns;
    double sent, left, round;
    double sent_per_s, left_per_s; /* 0: not known */
    struct gw_stuck stuck;
    double asked_round; /* in which the limit was asked for */
    double limit_ms;
    bool is_stuck, told_stuck;
};

/* info: an answer of query-migrate, with `disk` if disks go along. */
void gw_progress_draw(struct gw_progress *p, const json_t *info);
/* Before anything else is written to stderr. */
void gw_progress_erase(struct gw_progress *p);

#endif
