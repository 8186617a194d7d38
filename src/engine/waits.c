/* SPDX-License-Identifier: MIT */
#include "base/sized.h"
#include "engine/recv.h"
#include "ram/store/blocktime.h"

_Static_assert(GW_WAIT_BUCKETS == GW_BLOCKTIME_BUCKETS, "the same buckets inside and outside");

int gw_waits_begin(struct gw_recv *r, struct gw_error *err)
{
    struct gw_vm *vm = r->session.vm;
    GW_AUTOFREE int32_t *threads = NULL;
    unsigned count = 0;
    int e;

    if (!r->plan.ways.blocktime || !vm->guest->store_following)
        return 0;
    e = gw_vm_vcpu_threads(vm, &threads, &count, err);
    return e < 0 ? e : gw_blocktime_new(threads, count, &r->blocktime, err);
}

bool gw_recv_waits_sized(struct gw_recv *r, struct gw_postcopy_waits *ret_waits, size_t waits_bytes,
                         struct gw_vcpu_waits *ret_vcpu, unsigned max)
{
    GW_AUTOFREE struct gw_blocktime_vcpu *vcpu = max ? calloc(max, sizeof *vcpu) : NULL;
    struct gw_blocktime_figures figures = {0};
    struct gw_postcopy_waits waits = {0};

    if (r->blocktime)
        gw_blocktime_figures(r->blocktime, gw_now_ns(&r->session.vm->clock), &figures, vcpu, vcpu ? max : 0);
    waits = (struct gw_postcopy_waits){.blocktime_ns = figures.total_ns,
                                       .latency_ns = figures.latency_ns,
                                       .others_latency_ns = figures.others_latency_ns,
                                       .waits = figures.faults,
                                       .others_waits = figures.others_faults,
                                       .vcpus = figures.vcpus};
    memcpy(waits.latency_dist, figures.latency_dist, sizeof waits.latency_dist);
    for (unsigned i = 0; i < max; i++)
        ret_vcpu[i] = vcpu && i < figures.vcpus ? (struct gw_vcpu_waits){vcpu[i].blocked_ns, vcpu[i].latency_ns}
                                                : (struct gw_vcpu_waits){0};
    gw_sized_out(ret_waits, waits_bytes, &waits, sizeof waits);
    return r->blocktime;
}
