/* SPDX-License-Identifier: MIT
 *
 * blocktime: how long threads waited for pages in postcopy.
 *
 * A wait begins when the kernel tells of the fault and ends when the unit is there; time is given, not taken. A thread waits for
 * one unit at a time: if it is told to wait for another one, the wait before has ended then, without a latency. vCPUs are known
 * by the id of their thread; all others, and all where the kernel does not tell who it was, are "others".
 *
 * The figures are those that query-migrate of a QEMU 10.1 has at the destination.
 *
 * Threads: any. It has a lock of its own and calls nobody.
 */
#ifndef GW_STORE_BLOCKTIME_H
#define GW_STORE_BLOCKTIME_H

#include "base/base.h"

#define GW_BLOCKTIME_BUCKETS 24u

struct gw_blocktime;

struct gw_blocktime_figures {
    uint64_t total_ns;   /* while all vCPUs waited. postcopy-blocktime */
    uint64_t latency_ns; /* mean of all waits that have ended, 0: none has. postcopy-latency */
    uint64_t others_latency_ns; /* of those by no vCPU. postcopy-non-vcpu-latency */
    uint64_t faults, others_faults; /* waits that have ended; the second are among the first */
    /* [i]: waits of 2^i microseconds up to 2^(i+1); the first also of less, the last also of more. postcopy-latency-dist */
    uint64_t latency_dist[GW_BLOCKTIME_BUCKETS];
    unsigned vcpus;
};

struct gw_blocktime_vcpu {
    uint64_t blocked_ns; /* postcopy-vcpu-blocktime; waits that last still are in it */
    uint64_t latency_ns; /* mean. postcopy-vcpu-latency */
    uint64_t faults;
};

/* thread[i]: the id (gettid) of vCPU i's thread; 0: not known, it never waits. Copied. */
int gw_blocktime_new(const int32_t *thread, unsigned vcpus, struct gw_blocktime **ret, struct gw_error *err);
struct gw_blocktime *gw_blocktime_free(struct gw_blocktime *t); /* takes NULL, returns NULL */

/* unit: any number that stands for it. thread 0: not known. -ENOMEM: this wait is not measured. */
int gw_blocktime_begin(struct gw_blocktime *t, int32_t thread, uint64_t unit, uint64_t now_ns);
/* All waits for it end. */
void gw_blocktime_end(struct gw_blocktime *t, uint64_t unit, uint64_t now_ns);
/* All waits end, without a latency. */
void gw_blocktime_end_all(struct gw_blocktime *t, uint64_t now_ns);

/* vcpu: at most `max` are filled; may be NULL for 0. */
void gw_blocktime_figures(struct gw_blocktime *t, uint64_t now_ns, struct gw_blocktime_figures *ret,
                          struct gw_blocktime_vcpu *vcpu, unsigned max);

#endif
