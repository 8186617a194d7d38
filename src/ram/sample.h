/* SPDX-License-Identifier: MIT
 *
 * sample: what pages of this machine are like: how many are zeros, how well they compress, how much the guest changes of one.
 *
 *     gw_sample_begin    copies some pages, spread evenly over the memory
 *     ... time passes, the guest writes ...
 *     gw_sample_end      compares, codes
 *
 * Pages that nobody ever touched are not touched (holes.h). A page is copied before it is looked at twice: the guest writes
 * meanwhile, and a torn copy is a page as good as another.
 *
 * Threads: one owner. Blocks must not come, go or be resized between begin and end.
 */
#ifndef GW_RAM_SAMPLE_H
#define GW_RAM_SAMPLE_H

#include "godwit/clock.h"
#include "godwit/forecast.h"
#include "ram/page/block.h"

struct gw_sample_config {
    const struct gw_clock *clock; /* its chance is used; borrowed */
    const bool *cancel;           /* atomic. Once true, both fail with -ECANCELED soon */
    unsigned pages;               /* at most, over all blocks */
    int zlib_level, zstd_level;
    unsigned deflate_level;
};

struct gw_sample_figures {
    uint32_t pages, zero_pages, changed, changed_zero;
    double page_ns, zero_ns; /* CPU time of one thread */
    double slowdown;         /* how much longer all of this took than its CPU time: others want the processors too; 1 at least */
    struct gw_forecast_codec zlib, zstd, deflate, xbzrle;
};

struct gw_sample;

int gw_sample_begin(struct gw_ram *ram, const struct gw_sample_config *config, struct gw_sample **ret, struct gw_error *err);
/* Fills figures; frees the sample whatever happens. figures NULL: only frees. */
int gw_sample_end(struct gw_sample *take, struct gw_sample_figures *figures, struct gw_error *err);

#endif
