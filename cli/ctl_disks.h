/* SPDX-License-Identifier: MIT
 *
 * ctl_disks: `ctl migrate --disks`. Without it all of these do nothing.
 *
 * A godwit sends its disks with its memory. For a QEMU, whose own way of doing so is gone since 9.1, and before may end too early, they
 * are mirrored (mirrors.h) before memory is sent and handed over while the machine stands still.
 */
#ifndef GODWIT_CLI_CTL_DISKS_H
#define GODWIT_CLI_CTL_DISKS_H

#include "ctl.h"
#include "ctl_progress.h"

/* Everything before `migrate`: a QEMU's disks are copied when this returns. An exit status; the reason is told. To be followed by
 * gw_ctl_disks_end, whatever it returns. */
int gw_ctl_disks_begin(struct gw_ctl *ctl, const char *uri, struct gw_ctl_progress *p);
/* What `migrate` has to be told. */
void gw_ctl_disks_arguments(const struct gw_ctl *ctl, json_t *args);
/* After each answer of query-migrate: adds `disk`, looks after the mirrors, and hands the disks over in pre-switchover. A failure is
 * told, and cancels the migration. */
void gw_ctl_disks_step(struct gw_ctl *ctl, struct gw_ctl_progress *p, json_t *info);
/* The end, however it came. What could not be undone is told. */
void gw_ctl_disks_end(struct gw_ctl *ctl);

#endif
