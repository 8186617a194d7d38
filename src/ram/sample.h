/* SPDX-License-Identifier: MIT
 *
 * sample: properties of this machine's pages: how many are zeros, how well they compress, how much of a page the guest
 * changes.
 *
 *     gw_sample_begin    copies some pages, spread evenly over the memory
 *     ... time passes, the guest writes ...
 *     gw_sample_end      compares, codes
 *
 * Pages that were never touched are not touched here (holes.h). A page is copied before it is examined, since the guest
 * may write it meanwhile; a torn copy is as good a sample as any other.
 *
 * Threads: one owner. Blocks must not come, go or be resized between begin and end.
 */
#ifndef GW_RAM_SAMPLE_H
#define GW_RAM_SAMPLE_H

#include "godwit/clock.h"
#include "godwit/forecast.h"
#include "ram/page/block.h"

struct gw_sample_config {
    const struct gw_clock *clock; /* its random function is used; borrowed */
    /* accessed with atomic operations. Once true, both functions soon fail with -ECANCELED */
    const bool *cancel;
    unsigned pages;               /* at most, over all blocks */
    int zlib_level, zstd_level;
    unsigned deflate_level;
};

struct gw_sample_figures {
    uint32_t pages, zero_pages, changed, changed_zero;
    double page_ns, zero_ns; /* CPU time of one thread */
    double slowdown;         /* elapsed time divided by CPU time: how much other work slowed this down; at least 1 */
    struct gw_forecast_codec zlib, zstd, deflate, xbzrle;
};

struct gw_sample;

int gw_sample_begin(struct gw_ram *ram, const struct gw_sample_config *config, struct gw_sample **ret, struct gw_error *err);
/* Fills figures; frees the sample in any case. figures NULL: only frees. */
int gw_sample_end(struct gw_sample *take, struct gw_sample_figures *figures, struct gw_error *err);

#endif
