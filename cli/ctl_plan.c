/* SPDX-License-Identifier: MIT
 *
 * ctl plan: a forecast of a migration before it starts.
 */
#include "ctl.h"
#include "plan.h"

#include <errno.h>
#include <stdlib.h>

int gw_ctl_plan(struct gw_ctl *ctl, int argc, char **argv)
{
    struct gw_plan *plan = calloc(1, sizeof *plan);
    struct gw_error err = GW_ERROR_INIT;
    int r;

    if (!plan) {
        gw_fail(&err, -ENOMEM, GW_BLAME_LOCAL, "out of memory");
        return gw_ctl_failed("plan", &err);
    }
    r = gw_plan_make(ctl, argv[0], plan);
    if (r == GW_EXIT_DONE) {
        if (ctl->json) {
            json_t *doc = gw_plan_json(plan);

            gw_ctl_print_json(ctl, doc);
            json_decref(doc);
        } else {
            gw_plan_print(plan);
        }
        r = gw_plan_exit(plan);
    }
    free(plan);
    return r;
}
