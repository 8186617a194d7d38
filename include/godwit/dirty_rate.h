/* SPDX-License-Identifier: MIT
 *
 * dirty_rate: how fast a machine dirties its memory, measured without migrating it (R24), and limits for each vCPU.
 *
 * The rate is defined as for a migration: distinct pages changed during the measurement, per second. A page that is written
 * a thousand times counts once, so for a guest with a small working set a longer measurement gives a lower rate.
 *
 * A measurement runs on a thread of the library, one at a time for each vm. An outgoing migration may begin, run and end
 * meanwhile. Anything that changes the layout of the machine's memory (adding, removing or resizing blocks, another tracker,
 * an incoming migration) ends the measurement first.
 *
 * Threads: all functions on any.
 */
#ifndef GODWIT_DIRTY_RATE_H
#define GODWIT_DIRTY_RATE_H

#include <stddef.h>
#include <stdint.h>

#include "godwit/error.h"
#include "godwit/version.h"
#include "godwit/vm.h"

#ifdef __cplusplus
extern "C" {
#endif

enum gw_dirty_rate_mode {
    /* Hashes some pages before and after. Costs the guest nothing. An estimate: with n samples of which a share p changed, the
     * relative error is about sqrt((1 - p) / (p * n)). A page rewritten with the same contents does not count. */
    GW_DIRTY_RATE_SAMPLING,
    /* All pages, by the dirty tracker. Exact; the first write to each page costs the guest a fault. During a migration, pages
     * that it does not send are not counted. */
    GW_DIRTY_RATE_BITMAP,
    /* For each vCPU: from KVM dirty rings if those are the tracker, else from gw_vm_ops.vcpu_dirtied. With rings, during a
     * migration, a page counts once in each round. */
    GW_DIRTY_RATE_VCPUS,
};

enum gw_dirty_rate_status {
    GW_DIRTY_RATE_UNSTARTED,
    GW_DIRTY_RATE_MEASURING,
    GW_DIRTY_RATE_MEASURED,
    GW_DIRTY_RATE_FAILED, /* failed or was ended early: see `error` */
};

struct gw_dirty_rate_config {
    enum gw_dirty_rate_mode mode;
    uint64_t duration_ns;  /* 50 ms to 60 s */
    uint32_t sample_pages; /* SAMPLING only: 128 to 16384 for each GiB; 0: 512 */
};

struct gw_dirty_rate {
    enum gw_dirty_rate_status status;
    enum gw_dirty_rate_mode mode;
    uint64_t start_s;      /* when it began, wall clock, seconds since 1970; 0: there was none yet */
    uint64_t duration_ns;  /* as requested; once measured, the actual duration */
    uint32_t sample_pages; /* for each GiB; 0 unless SAMPLING */
    uint64_t bytes_per_s;  /* once measured */
    unsigned vcpus;        /* VCPUS, once measured: how many vCPUs gw_dirty_rate_vcpu knows */
    struct gw_error error; /* code 0 unless FAILED */
};

/* Begins to measure. -EBUSY: a measurement or an incoming migration is under way; -EINVAL; -ENOTSUP: the machine does not
 * support this mode; -ENOMEM; and the error of a tracker that cannot be used. */
GW_API int gw_dirty_rate_start_sized(struct gw_vm *vm, const struct gw_dirty_rate_config *config, size_t config_bytes,
                                     struct gw_error *err);
static inline int gw_dirty_rate_start(struct gw_vm *vm, const struct gw_dirty_rate_config *config, struct gw_error *err)
{
    return gw_dirty_rate_start_sized(vm, config, sizeof *config, err);
}
/* The measurement under way, or the last one. */
GW_API void gw_dirty_rate_get_sized(struct gw_vm *vm, struct gw_dirty_rate *ret, size_t ret_bytes);
static inline void gw_dirty_rate_get(struct gw_vm *vm, struct gw_dirty_rate *ret)
{
    gw_dirty_rate_get_sized(vm, ret, sizeof *ret);
}
/* The dirty rate of this vCPU, bytes per second. -ENOENT: there is no such vCPU, or the mode was not VCPUS. */
GW_API int gw_dirty_rate_vcpu(struct gw_vm *vm, unsigned vcpu, uint64_t *ret_bytes_per_s);
/* Ends a measurement before its time; returns when it has ended. Not from a callback of this vm. */
GW_API void gw_dirty_rate_cancel(struct gw_vm *vm);

/* ---- limits ------------------------------------------------------------------------------------------------------- */

#define GW_EVERY_VCPU (-1)

/* Limits the dirty rate of one vCPU, or of each (GW_EVERY_VCPU), in bytes per second, from now on; 0: no limit. It is
 * independent of the limit of a migration (capability dirty-limit): the lower one holds. -ENOTSUP: the embedder has no
 * gw_vm_ops.vcpu_dirty_limit; -EINVAL: there is no such vCPU. */
GW_API int gw_vcpu_dirty_limit_set(struct gw_vm *vm, int vcpu, uint64_t bytes_per_s, struct gw_error *err);
/* *ret_limit: 0 if there is none. *ret_current: its mean dirty rate between two calls at least a second apart (calls that
 * follow sooner return the same figure); 0 at the first call and where the embedder cannot tell. -ENOENT: there is no such
 * vCPU. */
GW_API int gw_vcpu_dirty_limit_get(struct gw_vm *vm, unsigned vcpu, uint64_t *ret_limit, uint64_t *ret_current);

#ifdef __cplusplus
}
#endif
#endif
