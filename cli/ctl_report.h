/* SPDX-License-Identifier: MIT
 *
 * ctl_report: `ctl migrate --report FILE`. Without --report all of these do nothing.
 */
#ifndef GODWIT_CLI_CTL_REPORT_H
#define GODWIT_CLI_CTL_REPORT_H

#include "ctl.h"

/* Before anything is changed: whether the file can be written. Returns an exit status. */
int gw_ctl_take_open(struct gw_ctl *ctl, const char *uri);
/* What was foreseen, to stand beside what happened. Nothing where it was not to converge: there is no end to compare with. */
void gw_ctl_take_forecast(struct gw_ctl *ctl, const struct gw_forecast *f);
/* Just before the start, when everything is set. */
void gw_ctl_take_begin(struct gw_ctl *ctl);
/* Each answer of query-migrate. */
void gw_ctl_take_sample(struct gw_ctl *ctl, json_t *info);
/* The end, however it came: writes the file. info: the last answer, may be NULL. A failure is told and changes no exit status: that
 * is the migration's. */
void gw_ctl_take_write(struct gw_ctl *ctl, json_t *info);
/* It was not started: leaves no file. */
void gw_ctl_take_drop(struct gw_ctl *ctl);

#endif
