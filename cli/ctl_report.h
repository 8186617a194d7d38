/* SPDX-License-Identifier: MIT
 *
 * ctl_report: `ctl migrate --report FILE`. Without --report all of these do nothing.
 */
#ifndef GODWIT_CLI_CTL_REPORT_H
#define GODWIT_CLI_CTL_REPORT_H

#include "ctl.h"

/* Before anything is changed: checks that the file can be written. Returns an exit status. */
int gw_ctl_take_open(struct gw_ctl *ctl, const char *uri);
/* Stores the forecast, to be compared with the result. Ignored if it did not expect convergence: then there is no end
 * to compare with. */
void gw_ctl_take_forecast(struct gw_ctl *ctl, const struct gw_forecast *f);
/* Called just before the start, with all settings made. */
void gw_ctl_take_begin(struct gw_ctl *ctl);
/* Adds an answer of query-migrate. */
void gw_ctl_take_sample(struct gw_ctl *ctl, json_t *info);
/* Writes the file at the end, after success or failure. info: the last answer, may be NULL. A failure is printed and
 * does not change the exit status, which is the migration's. */
void gw_ctl_take_write(struct gw_ctl *ctl, json_t *info);
/* The migration was not started: removes the file. */
void gw_ctl_take_drop(struct gw_ctl *ctl);

#endif
