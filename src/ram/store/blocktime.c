/* SPDX-License-Identifier: MIT */
#include "ram/store/blocktime.h"

#include <limits.h>
#include <pthread.h>

#define NOBODY UINT_MAX

struct wait {
    int32_t thread; /* 0: not known */
    unsigned vcpu;  /* index, or NOBODY */
    uint64_t unit, since_ns;
};

struct sum {
    uint64_t blocked_ns; /* of waits that have ended, including those without a latency */
    uint64_t latency_ns, faults;
};

struct vcpu {
    int32_t thread;
    bool blocked;
    uint64_t since_ns;
    struct sum sum;
};

struct gw_blocktime {
    pthread_mutex_t lock;
    struct vcpu *vcpu;
    unsigned vcpus, blocked;
    uint64_t all_since_ns, total_ns;
    struct sum others;
    uint64_t dist[GW_BLOCKTIME_BUCKETS];
    struct wait *wait; /* unordered */
    unsigned waits, room;
};

static unsigned vcpu_of(const struct gw_blocktime *t, int32_t thread)
{
    for (unsigned i = 0; thread && i < t->vcpus; i++)
        if (t->vcpu[i].thread == thread)
            return i;
    return NOBODY;
}

static uint64_t since(uint64_t then, uint64_t now)
{
    return now > then ? now - then : 0;
}

static unsigned bucket(uint64_t ns)
{
    uint64_t us = ns / 1000;
    unsigned i = us ? 63u - (unsigned)__builtin_clzll(us) : 0;

    return GW_MIN(i, GW_BLOCKTIME_BUCKETS - 1);
}

static void end_wait(struct gw_blocktime *t, unsigned i, uint64_t now_ns, bool came)
{
    struct wait w = t->wait[i];
    struct sum *sum = w.vcpu == NOBODY ? &t->others : &t->vcpu[w.vcpu].sum;
    uint64_t ns = since(w.since_ns, now_ns);

    t->wait[i] = t->wait[--t->waits];
    sum->blocked_ns += ns;
    if (came) {
        sum->latency_ns += ns;
        sum->faults++;
        t->dist[bucket(ns)]++;
    }
    if (w.vcpu == NOBODY)
        return;
    if (t->blocked-- == t->vcpus)
        t->total_ns += since(t->all_since_ns, now_ns);
    t->vcpu[w.vcpu].blocked = false;
}

int gw_blocktime_begin(struct gw_blocktime *t, int32_t thread, uint64_t unit, uint64_t now_ns)
{
    int r = 0;

    pthread_mutex_lock(&t->lock);
    for (unsigned i = 0; thread && i < t->waits; i++) {
        if (t->wait[i].thread != thread)
            continue;
        if (t->wait[i].unit == unit) /* the same wait was reported again */
            goto out;
        end_wait(t, i, now_ns, false);
        break;
    }
    if (t->waits == t->room) {
        unsigned room = t->room ? t->room * 2 : 16;
        struct wait *more = realloc(t->wait, room * sizeof *more);

        if (!more) {
            r = -ENOMEM;
            goto out;
        }
        t->wait = more;
        t->room = room;
    }
    t->wait[t->waits] = (struct wait){thread, vcpu_of(t, thread), unit, now_ns};
    if (t->wait[t->waits].vcpu != NOBODY) {
        struct vcpu *v = &t->vcpu[t->wait[t->waits].vcpu];

        v->blocked = true;
        v->since_ns = now_ns;
        if (++t->blocked == t->vcpus)
            t->all_since_ns = now_ns;
    }
    t->waits++;
out:
    pthread_mutex_unlock(&t->lock);
    return r;
}

static void end(struct gw_blocktime *t, const uint64_t *unit, uint64_t now_ns)
{
    pthread_mutex_lock(&t->lock);
    for (unsigned i = t->waits; i-- > 0;)
        if (!unit || t->wait[i].unit == *unit)
            end_wait(t, i, now_ns, unit);
    pthread_mutex_unlock(&t->lock);
}

void gw_blocktime_end(struct gw_blocktime *t, uint64_t unit, uint64_t now_ns)
{
    end(t, &unit, now_ns);
}

void gw_blocktime_end_all(struct gw_blocktime *t, uint64_t now_ns)
{
    end(t, NULL, now_ns);
}

static uint64_t mean(uint64_t sum, uint64_t n)
{
    return n ? sum / n : 0;
}

void gw_blocktime_figures(struct gw_blocktime *t, uint64_t now_ns, struct gw_blocktime_figures *ret,
                          struct gw_blocktime_vcpu *vcpu, unsigned max)
{
    struct sum all;

    pthread_mutex_lock(&t->lock);
    all = t->others;
    for (unsigned i = 0; i < t->vcpus; i++) {
        const struct vcpu *v = &t->vcpu[i];

        all.latency_ns += v->sum.latency_ns;
        all.faults += v->sum.faults;
        if (i < max)
            vcpu[i] = (struct gw_blocktime_vcpu){
                .blocked_ns = v->sum.blocked_ns + (v->blocked ? since(v->since_ns, now_ns) : 0),
                .latency_ns = mean(v->sum.latency_ns, v->sum.faults),
                .faults = v->sum.faults};
    }
    *ret = (struct gw_blocktime_figures){
        .total_ns = t->total_ns + (t->vcpus && t->blocked == t->vcpus ? since(t->all_since_ns, now_ns) : 0),
        .latency_ns = mean(all.latency_ns, all.faults),
        .others_latency_ns = mean(t->others.latency_ns, t->others.faults),
        .faults = all.faults,
        .others_faults = t->others.faults,
        .vcpus = t->vcpus};
    memcpy(ret->latency_dist, t->dist, sizeof t->dist);
    pthread_mutex_unlock(&t->lock);
}

int gw_blocktime_new(const int32_t *thread, unsigned vcpus, struct gw_blocktime **ret, struct gw_error *err)
{
    struct gw_blocktime *t = calloc(1, sizeof *t);

    if (!t || !(t->vcpu = calloc(GW_MAX(vcpus, 1u), sizeof *t->vcpu))) {
        free(t);
        return gw_nomem(err, "times that vCPUs wait for pages");
    }
    for (unsigned i = 0; i < vcpus; i++)
        t->vcpu[i].thread = thread[i];
    t->vcpus = vcpus;
    pthread_mutex_init(&t->lock, NULL);
    *ret = t;
    return 0;
}

struct gw_blocktime *gw_blocktime_free(struct gw_blocktime *t)
{
    if (!t)
        return NULL;
    pthread_mutex_destroy(&t->lock);
    free(t->wait);
    free(t->vcpu);
    free(t);
    return NULL;
}
