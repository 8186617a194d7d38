/* SPDX-License-Identifier: MIT */
#include "engine/plan.h"

#include "base/workers.h"
#include "engine/plan_lanes.h"
#include "engine/vm_bitmaps.h"
#include "ram/layout/mapped.h"
#include "ram/layout/stream.h"
#include "ram/layout/transport.h"
#include "ram/source/record.h"

#define FILE_READERS 4u

enum gw_pages_by gw_plan_pages_by(const struct gw_options *options)
{
    return gw_options_cap(options, GW_CAP_MAPPED_RAM) ? GW_PAGES_BY_FILE
           : gw_options_cap(options, GW_CAP_MULTIFD)  ? GW_PAGES_BY_CHANNELS
                                                      : GW_PAGES_BY_STREAM;
}

bool gw_plan_lanes_follow(const struct gw_options *options)
{
    return gw_options_cap(options, GW_CAP_POSTCOPY_RAM) && gw_plan_pages_by(options) == GW_PAGES_BY_CHANNELS;
}

static const struct gw_plan_follow on_main = {32u << 10, 32u << 10}, on_lanes = {2u << 20, 128u << 10};

struct gw_plan_follow gw_plan_follow_limited(void)
{
    return on_main;
}

void gw_plan_announced(const struct gw_options *options, struct gw_plan_announced ret[GW_PLAN_ANNOUNCED])
{
    static const enum gw_capability told[GW_PLAN_ANNOUNCED] = {GW_CAP_IGNORE_SHARED, GW_CAP_MAPPED_RAM};

    for (size_t i = 0; i < GW_PLAN_ANNOUNCED; i++)
        ret[i] = (struct gw_plan_announced){gw_feature(told[i])->name, gw_options_cap(options, told[i])};
}

bool gw_plan_uuid(const struct gw_options *options)
{
    return gw_options_cap(options, GW_CAP_VALIDATE_UUID);
}

void gw_plan_decide(struct gw_plan *plan, const struct gw_options *options)
{
    plan->ways = (struct gw_plan_ways){
        .return_path = gw_options_cap(options, GW_CAP_RETURN_PATH),
        .pause = gw_options_cap(options, GW_CAP_PAUSE_BEFORE_SWITCHOVER),
        .switchover_ack = gw_options_cap(options, GW_CAP_SWITCHOVER_ACK),
        .postcopy = gw_options_cap(options, GW_CAP_POSTCOPY_RAM),
        .lanes_follow = gw_plan_lanes_follow(options),
        .follow = gw_plan_lanes_follow(options) ? on_lanes : on_main,
        .blocktime = gw_options_cap(options, GW_CAP_POSTCOPY_BLOCKTIME),
        .auto_converge = gw_options_cap(options, GW_CAP_AUTO_CONVERGE),
        .dirty_limit = gw_options_cap(options, GW_CAP_DIRTY_LIMIT),
        .tended = gw_options_cap(options, GW_CAP_TENDED_CONVERGENCE),
    };
}

/* How a page is encoded must not depend on pages that the transport took before, and the transport's records need a
 * single stream. */
static int check_transport(const struct gw_vm *vm, struct gw_error *err)
{
    static const enum gw_capability not_with[] = {GW_CAP_XBZRLE, GW_CAP_COMPRESS, GW_CAP_MULTIFD, GW_CAP_MAPPED_RAM,
                                                  GW_CAP_BACKGROUND_SNAPSHOT, GW_CAP_POSTCOPY_RAM};

    for (size_t i = 0; vm->transport && i < GW_ARRAY_LEN(not_with); i++)
        if (gw_options_cap(vm->options, not_with[i]))
            return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "a page transport cannot be used together with capability %s: turn it off",
                           gw_feature(not_with[i])->name);
    return 0;
}

static struct gw_ram_config ram_config(struct gw_vm *vm)
{
    gw_ram_leave_shared(&vm->ram, gw_options_cap(vm->options, GW_CAP_IGNORE_SHARED));
    return (struct gw_ram_config){
        .ram = &vm->ram,
        .section_id = vm->ram_section_id,
        .postcopy = gw_options_cap(vm->options, GW_CAP_POSTCOPY_RAM),
        .ignore_shared = gw_options_cap(vm->options, GW_CAP_IGNORE_SHARED),
    };
}

/* Adds a section, in the order of sections. */
static void add(struct gw_plan *plan, struct gw_live *live)
{
    unsigned at = plan->lives++;

    for (; at && plan->live[at - 1]->ops->order > live->ops->order; at--)
        plan->live[at] = plan->live[at - 1];
    plan->live[at] = live;
}

/* Adds RAM, and the other live sections of the machine. */
static int add_all(struct gw_plan *plan, struct gw_vm *vm, const struct gw_ram_config *ram, bool send, struct gw_error *err)
{
    struct gw_live *live = NULL;
    int r = gw_ram_live_new(ram, &live, err);

    if (r >= 0)
        add(plan, live);
    live = NULL;
    if (r >= 0)
        r = send ? gw_plan_disks_send(plan, vm, &live, err) : gw_plan_disks_recv(vm, &live, err);
    if (r >= 0 && live)
        add(plan, live);
    live = NULL;
    if (r >= 0 && (!send || gw_options_cap(vm->options, GW_CAP_DIRTY_BITMAPS)))
        r = gw_vm_bitmap_section(vm, send, &live, err);
    if (r >= 0 && live)
        add(plan, live);
    for (unsigned i = 0; r >= 0 && i < vm->lives; i++) {
        r = vm->live[i].make(vm->live[i].opaque, &live, err);
        if (r >= 0)
            add(plan, live);
    }
    if (r < 0)
        gw_plan_close(plan);
    return r;
}

/* A live section that is sent while the machine runs would be newer than the moment of the snapshot. */
static int check_snapshot(const struct gw_vm *vm, struct gw_error *err)
{
    return vm->lives ? gw_fail(err, -ENOTSUP, GW_BLAME_CALLER,
                               "capability background-snapshot: this machine has live sections besides its RAM, which a "
                               "background snapshot cannot save")
                     : 0;
}

/* The memory of an image is not given back, and a transport may still be reading pages that it took. */
static bool gives_back(const struct gw_vm *vm)
{
    return gw_options_cap(vm->options, GW_CAP_RELEASE_RAM) && gw_options_cap(vm->options, GW_CAP_POSTCOPY_RAM) &&
           !vm->guest->at_rest && !gw_plan_by_transport(vm);
}

static int make_source(struct gw_plan *plan, struct gw_vm *vm, bool snapshot, bool zeros, struct gw_source **ret,
                       struct gw_error *err)
{
    int r = snapshot ? check_snapshot(vm, err) : 0;

    if (r < 0)
        return r;
    /* a transport also gets pages that are holes */
    r = snapshot ? vm->guest->snapshot(vm, plan->cancel, ret, err) : vm->guest->source(vm, zeros && !gw_plan_by_transport(vm), ret, err);
    if (r >= 0 && gives_back(vm))
        r = gw_source_giveback_new(*ret, &vm->ram, ret, &plan->giveback, err);
    if (r >= 0 && vm->prefer)
        r = gw_source_prefer_new(*ret, &vm->ram, vm->prefer, ret, &plan->prefer, err);
    if (r >= 0 && gw_options_cap(vm->options, GW_CAP_POSTCOPY_RAM))
        r = gw_source_requests_new(*ret, &vm->ram, ret, &plan->requests, err);
    if (r >= 0 && plan->requests && vm->record)
        r = gw_source_record_new(*ret, plan->requests, &vm->ram, vm->record, ret, err);
    return r;
}

int gw_plan_send(struct gw_plan *plan, struct gw_vm *vm, const struct gw_plan_pages *pages, struct gw_error *err)
{
    bool zeros = gw_options_zero_detection(vm->options) != GW_ZERO_NONE;
    struct gw_ram_config ram = ram_config(vm);
    bool snapshot = gw_options_cap(vm->options, GW_CAP_BACKGROUND_SNAPSHOT);
    int r = check_transport(vm, err);

    gw_plan_decide(plan, vm->options);
    if (!pages->count) {
        plan->ways.lanes_follow = false;
        plan->ways.follow = on_main;
    }
    if (r >= 0)
        r = make_source(plan, vm, snapshot, zeros, &ram.take_source, err);
    if (r < 0) {
        gw_plan_close(plan);
        return r;
    }
    ram.transport = gw_plan_by_transport(vm) ? vm->transport : NULL;
    ram.apart = pages->count;
    r = gw_plan_lanes(plan, vm, pages, zeros, &ram.take_lanes, err);
    if (r >= 0 && gw_options_cap(vm->options, GW_CAP_POSTCOPY_PREEMPT)) {
        r = gw_plan_urgent(plan, vm, zeros, ram.take_source, err);
        if (r < 0)
            gw_lanes_free(ram.take_lanes);
    }
    if (r >= 0) {
        r = add_all(plan, vm, &ram, true, err);
        plan->snapshot = r >= 0 && snapshot ? plan->live[0] : NULL;
        return r;
    }
    ram.take_source->free(ram.take_source);
    gw_plan_close(plan);
    return r;
}

int gw_plan_recv(struct gw_plan *plan, struct gw_vm *vm, const struct gw_plan_pages *pages, struct gw_error *err)
{
    struct gw_ram_config ram = ram_config(vm);
    bool hooked = vm->transport && vm->transport->ops.record;
    int r = check_transport(vm, err);

    gw_plan_decide(plan, vm->options);
    if (r >= 0)
        r = ram.postcopy && vm->guest->store_following ? vm->guest->store_following(vm, &pages->asks, &ram.take_store, err)
                                                       : vm->guest->store(vm, &ram.take_store, err);
    if (r < 0)
        return r;
    /* The next bytes of the main stream may be a page that is arriving on another channel: its place is not
     * predicted. */
    r = gw_plan_pages_by(vm->options) == GW_PAGES_BY_FILE
            ? gw_layout_mapped_in_new(&vm->ram, gw_workers_threads(0, FILE_READERS),
                                      gw_options_param(vm->options, GW_PARAM_DIRECT_IO), &ram.take_in, err)
            : gw_plan_stream_in(vm, !pages->count && !hooked, &ram.take_in, err);
    if (r >= 0 && hooked)
        r = gw_layout_transport_hook_new(&vm->ram, vm->transport, &ram.take_in->hook, err);
    if (r >= 0 && pages->count)
        r = gw_plan_lanes_in(vm, pages, &ram.take_lanes_in, err);
    plan->urgent_in = gw_options_cap(vm->options, GW_CAP_POSTCOPY_PREEMPT);
    if (r >= 0 && plan->urgent_in)
        r = gw_layout_stream_in_new(&vm->ram, false, &ram.take_urgent_in, err);
    if (r < 0) {
        gw_lanes_in_free(ram.take_lanes_in);
        if (ram.take_in)
            ram.take_in->free(ram.take_in);
        ram.take_store->free(ram.take_store);
        return r;
    }
    ram.adopt = vm->guest->adopt;
    ram.any_host_pages = vm->guest->at_rest;
    ram.opaque = vm;
    return add_all(plan, vm, &ram, false, err);
}

struct gw_progress gw_plan_progress(const struct gw_plan *plan)
{
    struct gw_progress sum = {0};

    for (unsigned i = 0; i < plan->lives; i++)
        plan->live[i]->ops->progress(plan->live[i], &sum);
    if (plan->urgent)
        gw_urgent_progress(plan->urgent, &sum);
    return sum;
}

void gw_plan_close(struct gw_plan *plan)
{
    if (plan->xbzrle)
        gw_options_watch(plan->options, GW_PARAM_XBZRLE_CACHE_SIZE, NULL, plan->xbzrle);
    gw_urgent_free(plan->urgent);
    for (unsigned i = 0; i < plan->lives; i++)
        plan->live[i]->ops->free(plan->live[i]);
    *plan = (struct gw_plan){0};
}
