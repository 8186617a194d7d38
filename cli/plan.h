/* SPDX-License-Identifier: MIT
 *
 * plan: the forecast of a migration as `godwit ctl` makes and shows it: plan_collect.c asks the machine, plan_show.c prints.
 *
 * Threads: the main thread.
 */
#ifndef GODWIT_CLI_PLAN_H
#define GODWIT_CLI_PLAN_H

#include "ctl.h"

/* A forecast with all its inputs. */
struct gw_plan {
    const char *uri; /* borrowed */
    char server[128];
    struct gw_forecast_in in;
    struct gw_forecast_can can;
    struct gw_forecast_set set; /* current settings of the machine */
    struct gw_forecast now;     /* the forecast with these settings */
    struct gw_forecast_advice advice;
    bool peer_known;            /* `can` includes what the destination supports */
    char link_from[80];         /* source of the link's figures */
    char dirty_from[80];        /* source of the dirty rates */
    char probe_error[GW_ERROR_TEXT];
    const char *unknown[8]; /* inputs that could not be measured */
    unsigned unknown_count;
    const char *left_out[4]; /* enabled capabilities that the model does not cover */
    unsigned left_out_count;
};

/* Measures for about two seconds and fills plan. GW_EXIT_UNKNOWN, with the reason printed: the link's bandwidth is
 * unknown. */
int gw_plan_make(struct gw_ctl *ctl, const char *uri, struct gw_plan *plan);

/* GW_EXIT_DONE: it is expected to converge; GW_EXIT_DIFFERENT: it is not; GW_EXIT_UNKNOWN: either may happen. */
int gw_plan_exit(const struct gw_plan *plan);
void gw_plan_print(const struct gw_plan *plan);
/* Return new references. */
json_t *gw_plan_json(const struct gw_plan *plan);
/* Prints the forecast next to the result in query-migrate. */
void gw_plan_print_beside(const struct gw_plan *plan, const json_t *info);
json_t *gw_plan_beside_json(const struct gw_plan *plan, const json_t *info);

#endif
