/* SPDX-License-Identifier: MIT
 *
 * rate: how fast the guest dirties its memory, measured without migrating (R24).
 *
 * The measure is that of a migration: distinct pages changed within the time, per second. A page that is written a
 * thousand times counts once, so for a guest with a small working set a longer time gives a smaller rate.
 *
 * SAMPLE hashes some pages, waits, hashes them again. Needs no tracker, does not slow the guest, works beside a
 * migration; misses pages whose contents are the same as before, and is an estimate: with n sampled pages of which a
 * share p changed, the error is about sqrt((1 - p) / (p * n)). TRACK counts all pages with a dirty tracker, exactly,
 * beside a migration too; the guest pays a fault for each first write. VCPUS counts by vCPU, from the rings of the
 * tracker or with the embedder's counters. Beside a migration a page counts again in each round, by rings.
 *
 * Threads: one call at a time for each ram. Blocks must not be added, removed or resized meanwhile.
 */
#ifndef GW_RATE_H
#define GW_RATE_H

#include "godwit/clock.h"
#include "ram/tracker/tracker.h"

enum gw_rate_mode { GW_RATE_SAMPLE, GW_RATE_TRACK, GW_RATE_VCPUS };

struct gw_rate_config {
    enum gw_rate_mode mode;
    uint64_t duration_ns;          /* 1 ms to 60 s */
    uint32_t sample_pages_per_gib; /* SAMPLE: 0: 512; a block of 128 pages or more gets at least 128 */
    const struct gw_clock *clock;  /* borrowed */
    /* accessed with atomic operations; may be NULL. Once true the call ends with -ECANCELED, within 20 ms */
    const bool *cancel;
    /* for VCPUS: */
    unsigned vcpus;
    uint64_t *vcpu_pages;                                 /* room for `vcpus` numbers; filled in */
    /* bytes since a fixed time; used if the tracker has no rings */
    uint64_t (*dirtied)(void *opaque, unsigned vcpu);
    void *opaque;
};

struct gw_rate {
    uint64_t duration_ns;   /* actual duration */
    uint64_t pages;         /* number that changed; SAMPLE: the estimate for all of the ram */
    uint64_t total_pages;   /* number that was examined or is represented by samples */
    uint64_t sampled_pages; /* SAMPLE only */
    uint64_t pages_per_s, bytes_per_s;
    uint64_t mib_per_s; /* as dirty-rate in query-dirty-rate */
};

/* tracker: for TRACK, and VCPUS with rings. Blocks that do not migrate or are read-only are left out. */
int gw_rate_measure(struct gw_ram *ram, struct gw_tracker *tracker, const struct gw_rate_config *config,
                    struct gw_rate *ret, struct gw_error *err);

#endif
