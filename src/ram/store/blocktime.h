/* SPDX-License-Identifier: MIT
 *
 * blocktime: measures how long threads wait for pages in postcopy.
 *
 * A wait begins when the kernel reports the fault and ends when the unit is placed; the caller passes the time. A
 * thread waits for one unit at a time: if it is reported to wait for another one, the earlier wait ends then, without a
 * latency. vCPUs are known by the id of their thread; all other threads, and all faults whose thread the kernel does
 * not report, are "others".
 *
 * The figures are those of query-migrate at the destination of QEMU 10.1.
 *
 * Threads: any. It has a lock of its own and calls no other module.
 */
#ifndef GW_STORE_BLOCKTIME_H
#define GW_STORE_BLOCKTIME_H

#include "base/base.h"

#define GW_BLOCKTIME_BUCKETS 24u

struct gw_blocktime;

struct gw_blocktime_figures {
    uint64_t total_ns;   /* time in which all vCPUs waited. postcopy-blocktime */
    uint64_t latency_ns; /* mean of all waits that have ended, 0: none has. postcopy-latency */
    uint64_t others_latency_ns; /* mean of the waits by threads that are no vCPU. postcopy-non-vcpu-latency */
    uint64_t faults, others_faults; /* waits that have ended; others_faults are included in faults */
    /* [i]: number of waits from 2^i to 2^(i+1) microseconds; the first also counts shorter, the last longer ones.
     * postcopy-latency-dist */
    uint64_t latency_dist[GW_BLOCKTIME_BUCKETS];
    unsigned vcpus;
};

struct gw_blocktime_vcpu {
    uint64_t blocked_ns; /* postcopy-vcpu-blocktime; includes waits that are not over yet */
    uint64_t latency_ns; /* mean. postcopy-vcpu-latency */
    uint64_t faults;
};

/* thread[i]: the id (gettid) of vCPU i's thread; 0: not known, its waits count as others. Copied. */
int gw_blocktime_new(const int32_t *thread, unsigned vcpus, struct gw_blocktime **ret, struct gw_error *err);
struct gw_blocktime *gw_blocktime_free(struct gw_blocktime *t); /* takes NULL, returns NULL */

/* unit: any number that identifies it. thread 0: not known. -ENOMEM: this wait is not measured. */
int gw_blocktime_begin(struct gw_blocktime *t, int32_t thread, uint64_t unit, uint64_t now_ns);
/* Ends all waits for this unit. */
void gw_blocktime_end(struct gw_blocktime *t, uint64_t unit, uint64_t now_ns);
/* Ends all waits, without a latency. */
void gw_blocktime_end_all(struct gw_blocktime *t, uint64_t now_ns);

/* vcpu: at most `max` entries are filled; may be NULL if max is 0. */
void gw_blocktime_figures(struct gw_blocktime *t, uint64_t now_ns, struct gw_blocktime_figures *ret,
                          struct gw_blocktime_vcpu *vcpu, unsigned max);

#endif
