/* SPDX-License-Identifier: MIT
 *
 * plan: the forecast of a migration as `godwit ctl` makes and shows it: plan_collect.c asks the machine, plan_show.c prints.
 *
 * Threads: the main thread.
 */
#ifndef GODWIT_CLI_PLAN_H
#define GODWIT_CLI_PLAN_H

#include "ctl.h"

/* A forecast, and all that it was made of. */
struct gw_plan {
    const char *uri; /* borrowed */
    char server[128];
    struct gw_forecast_in in;
    struct gw_forecast_can can;
    struct gw_forecast_set set; /* what is set at the machine */
    struct gw_forecast now;     /* with that */
    struct gw_forecast_advice advice;
    bool peer_known;            /* `can` counts what the destination can have */
    char link_from[80];         /* where the figure of the link is from */
    char dirty_from[80];        /* and those of the guest's writes */
    char probe_error[GW_ERROR_TEXT];
    const char *unknown[8]; /* what could not be measured */
    unsigned unknown_count;
    const char *left_out[4]; /* capabilities that are on and not in the model */
    unsigned left_out_count;
};

/* Measures for about two seconds and fills plan. GW_EXIT_UNKNOWN, with the reason told: nothing is known of the link. */
int gw_plan_make(struct gw_ctl *ctl, const char *uri, struct gw_plan *plan);

/* GW_EXIT_DONE: it is expected to converge; GW_EXIT_DIFFERENT: it is not; GW_EXIT_UNKNOWN: either may happen. */
int gw_plan_exit(const struct gw_plan *plan);
void gw_plan_print(const struct gw_plan *plan);
/* New references. */
json_t *gw_plan_json(const struct gw_plan *plan);
/* What was foreseen beside what happened, by query-migrate. */
void gw_plan_print_beside(const struct gw_plan *plan, const json_t *info);
json_t *gw_plan_beside_json(const struct gw_plan *plan, const json_t *info);

#endif
