/* SPDX-License-Identifier: MIT
 *
 * ctl_disks: `ctl migrate --disks`. Without it all of these do nothing.
 *
 * A godwit sends its disks with its memory. QEMU removed its own block migration in 9.1, and in older versions it may
 * end too early. So a QEMU's disks are mirrored (mirrors.h) before memory is sent, and handed over while the machine is
 * stopped.
 */
#ifndef GODWIT_CLI_CTL_DISKS_H
#define GODWIT_CLI_CTL_DISKS_H

#include "ctl.h"
#include "ctl_progress.h"

/* Everything before `migrate`: a QEMU's disks are copied when this returns. Returns an exit status; the reason was
 * printed. gw_ctl_disks_end must follow in any case. */
int gw_ctl_disks_begin(struct gw_ctl *ctl, const char *uri, struct gw_ctl_progress *p);
/* Adds the arguments that `migrate` needs. */
void gw_ctl_disks_arguments(const struct gw_ctl *ctl, json_t *args);
/* After each answer of query-migrate: adds `disk`, drives the mirrors, and hands the disks over in pre-switchover. A
 * failure is printed, and cancels the migration. */
void gw_ctl_disks_step(struct gw_ctl *ctl, struct gw_ctl_progress *p, json_t *info);
/* Called at the end, after success or failure. Prints what could not be undone. */
void gw_ctl_disks_end(struct gw_ctl *ctl);

#endif
