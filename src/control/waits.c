/* SPDX-License-Identifier: MIT */
#include "control/internal.h"

static json_t *latencies(const struct gw_postcopy_waits *w)
{
    json_t *list = json_array();
    bool bad = !list;

    for (unsigned i = 0; i < GW_WAIT_BUCKETS; i++)
        bad |= json_array_append_new(list, gw_json_u64(w->latency_dist[i])) != 0;
    if (!bad)
        return list;
    json_decref(list);
    return NULL;
}

static bool put_vcpus(json_t *o, const struct gw_vcpu_waits *vcpu, unsigned count)
{
    json_t *blocked = json_array(), *latency = json_array();
    bool bad = !blocked || !latency;

    for (unsigned i = 0; i < count; i++) {
        bad |= json_array_append_new(blocked, gw_json_u64(vcpu[i].blocktime_ns / GW_NS_PER_MS)) != 0;
        bad |= json_array_append_new(latency, gw_json_u64(vcpu[i].latency_ns)) != 0;
    }
    bad |= gw_json_put(o, "postcopy-vcpu-blocktime", blocked);
    bad |= gw_json_put(o, "postcopy-vcpu-latency", latency);
    return bad;
}

int gw_waits_build(struct gw_recv *recv, json_t **ret_waits, struct gw_error *err)
{
    GW_AUTOFREE struct gw_vcpu_waits *vcpu = NULL;
    struct gw_postcopy_waits w;
    json_t *o;
    bool bad;

    *ret_waits = NULL;
    if (!gw_recv_waits(recv, &w, NULL, 0))
        return 0;
    vcpu = calloc(w.vcpus + 1, sizeof *vcpu);
    if (!vcpu)
        return gw_nomem(err, "waits of vCPUs");
    gw_recv_waits(recv, &w, vcpu, w.vcpus);
    o = json_object();
    bad = gw_json_put_int(o, "postcopy-blocktime", w.blocktime_ns / GW_NS_PER_MS);
    bad |= put_vcpus(o, vcpu, w.vcpus);
    bad |= gw_json_put_int(o, "postcopy-latency", w.latency_ns);
    bad |= gw_json_put_int(o, "postcopy-non-vcpu-latency", w.others_latency_ns);
    bad |= gw_json_put(o, "postcopy-latency-dist", latencies(&w));
    return gw_json_finish(o, bad, ret_waits, err);
}
