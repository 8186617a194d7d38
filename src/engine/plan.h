/* SPDX-License-Identifier: MIT
 *
 * plan: what a session's data path is made of, decided once.
 *
 * Options, the peer's profile and the machine go in; live sections whose plugs are in place come out. From then on data
 * flows, and nobody asks again what is on.
 *
 *     capability or parameter        becomes
 *     (pages not in memory)          the codec `fetch`, first in the chain
 *     zero-page-detection            the codec `zero`, unless it is none
 *     (always)                       the codec `plain`, last in the chain
 *     (a file is written meanwhile)  the store `landed`, in front of the store `direct`
 *     x-ignore-shared                blocks that stay: no pages, guest addresses in the list
 *
 * Threads: the caller's, before the session runs.
 */
#ifndef GW_ENGINE_PLAN_H
#define GW_ENGINE_PLAN_H

#include "engine/vm.h"
#include "ram/ram.h"

#define GW_PLAN_LIVES 4

struct gw_plan {
    struct gw_live *live[GW_PLAN_LIVES]; /* in the order of their sections */
    unsigned lives;
    struct gw_live *ram; /* one of them */
};

/* What RAM has to tell a source's session. */
struct gw_plan_calls {
    int (*notify)(void *opaque, enum gw_notify what, struct gw_error *err);
    void (*synced)(void *opaque, uint64_t sync_count, uint64_t fresh_pages);
    void *opaque;
};

/* On failure the plan is as it was: closed. */
int gw_plan_send(struct gw_plan *plan, struct gw_vm *vm, const struct gw_plan_calls *calls, struct gw_error *err);
int gw_plan_recv(struct gw_plan *plan, struct gw_vm *vm, struct gw_error *err);
/* Frees the sections; a plan of zeros is closed already. */
void gw_plan_close(struct gw_plan *plan);

#endif
