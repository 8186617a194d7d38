/* SPDX-License-Identifier: MIT
 *
 * A plan of the machine of rig.h.
 */
#ifndef ENGINE_PLAN_RIG_H
#define ENGINE_PLAN_RIG_H

#include "rig.h"

#include "engine/plan.h"
#include "engine/send.h"
#include "ram/live.h"

static struct gw_plan plan;
static struct gw_plan_pages pages;
static atomic_bool as_is;

static inline int up(void **state)
{
    memset(&plan, 0, sizeof plan);
    pages = (struct gw_plan_pages){.profile = gw_wire_profile("godwit"), .as_is = &as_is};
    return rig_up(state);
}

static inline int down(void **state)
{
    gw_plan_close(&plan);
    return rig_down(state);
}

static inline struct ram_live *ram(void)
{
    for (unsigned i = 0; i < plan.lives; i++)
        if (!strcmp(plan.live[i]->ops->id, "ram"))
            return GW_CONTAINER(plan.live[i], struct ram_live, live);
    fail();
    return NULL;
}

static inline void send_fails(int code, const char *text)
{
    struct gw_error err = GW_ERROR_INIT;

    rig_fails(gw_plan_send(&plan, rig.vm, &pages, &err), code, &err, text);
    assert_int_equal(plan.lives, 0);
    assert_null(plan.requests);
}

#endif
