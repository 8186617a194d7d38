/* SPDX-License-Identifier: MIT
 *
 * forecast: what a migration will be like, before it starts: whether it converges, how long it takes, how long the guest stands
 * still, how many bytes it sends, and with what certainty; and which capabilities are best.
 *
 *     struct gw_forecast_in in = {...};    measured by gw_survey_start (survey.h), or by any other means
 *     struct gw_forecast_set set = {0};    plain: no capability
 *     struct gw_forecast f;
 *
 *     gw_forecast(&in, &set, &f, &err);
 *
 * How: the dirty measurements become a curve of two sets of pages, a hot one and a cold one, each written uniformly. A migration is
 * simulated round by round with the decisions of the source (godwit's own policy, or QEMU's rule). That is done 101 times with
 * measurements varied by their errors; the range given holds nine of ten of the results. docs/performance.md says how
 * good that was.
 *
 * Not in the model: what the guest will do that it did not do while it was measured, load that hosts and link did not have then, and
 * stalls.
 *
 * Threads: pure functions, any thread. The same input gives the same answer.
 */
#ifndef GODWIT_FORECAST_H
#define GODWIT_FORECAST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "godwit/error.h"
#include "godwit/version.h"

#ifdef __cplusplus
extern "C" {
#endif

#define GW_FORECAST_POINTS 16
#define GW_FORECAST_ROUNDS 12
#define GW_FORECAST_SETS   12

/* The guest dirtied so many bytes (distinct pages) within so long. */
struct gw_forecast_point {
    uint64_t ns, bytes;
    double error; /* standard error, as a share of bytes */
};

/* What a codec makes of a page that is not all zeros. */
struct gw_forecast_codec {
    bool known;   /* false: taken as 0.2 to 1, so ranges are wide */
    double ratio; /* bytes on the wire for each byte of a page */
    double error; /* standard error of ratio, absolute */
    double ns;    /* CPU time of one thread for a page */
};

struct gw_forecast_in {
    uint64_t ram_bytes;
    uint32_t page_bytes;
    bool zero_known; /* how many pages hold only zeros; false: taken as 0 to 0.9 */
    double zero_share, zero_error;
    double dirty_zero_share; /* of the pages that the guest dirties */

    struct gw_forecast_point dirty[GW_FORECAST_POINTS]; /* two different times at least, where the guest runs */
    unsigned points;
    /* Of what is written to pages that are still to be sent in a pass, the share that is found dirty at its end all
     * the same: 0 where the tracker is re-armed right before a page goes, 1 where that is once for each pass. */
    bool early_known; /* false: taken as 0.3 to 1 */
    double early_share;

    double page_ns; /* CPU time to look at a page and to pass it on; 0: 500 */
    double zero_ns; /* the same of one that holds only zeros; 0: 100 */
    struct gw_forecast_codec zlib, zstd; /* multifd-compression, at the levels that are set */
    struct gw_forecast_codec deflate;    /* compress: each page by itself */
    struct gw_forecast_codec xbzrle;     /* of a page that was changed since it was sent */
    unsigned cpus;                       /* of the source's host; 0: unknown, taken as 2 */
    double slowdown; /* how much longer work takes there than its CPU time, since others want the processors too; 0: 1 */

    uint64_t link_bytes_per_s; /* what the link carries; 0: unknown, max_bandwidth bounds it */
    double link_error;         /* standard error, as a share; 0: 0.1 */
    bool link_is_whole;        /* measured by a migration: the time for handling pages is in it */
    uint64_t max_bandwidth;    /* bytes per second; 0: no limit */
    uint64_t round_trip_ns;    /* 0: 0.2 ms */

    uint64_t downtime_limit_ns;
    uint64_t xbzrle_cache_bytes;
    unsigned multifd_channels, compress_threads;
    unsigned throttle_trigger, throttle_initial, throttle_increment, throttle_max; /* percent */
    uint64_t vcpu_dirty_limit_bytes_per_s; /* of each vCPU */
    unsigned vcpus;                        /* 0: 1 */

    bool qemu; /* the source is QEMU: it switches as soon as what is left fits into the limit */
};

enum gw_forecast_compression { GW_FORECAST_NO_COMPRESSION, GW_FORECAST_ZLIB, GW_FORECAST_ZSTD };

/* Capabilities. All zeros: none. */
struct gw_forecast_set {
    bool xbzrle, multifd, compress, auto_converge, dirty_limit;
    enum gw_forecast_compression compression; /* with multifd */
    uint64_t downtime_limit_ns;               /* 0: that of the input */
};

struct gw_forecast_range {
    double low, typical, high; /* nine of ten are from low to high; typical is the median */
};

struct gw_forecast_round {
    uint64_t bytes, ns, dirty_bytes; /* sent; how long; what was found dirty at its end */
};

enum gw_forecast_answer {
    GW_FORECAST_UNKNOWN, /* neither: the certainty is between 0.1 and 0.9 */
    GW_FORECAST_YES,
    GW_FORECAST_NO,
};

struct gw_forecast {
    enum gw_forecast_answer converges;
    double certainty; /* that it converges: 0 to 1 */
    /* Of the simulated migrations that converge; zeros where none does. */
    struct gw_forecast_range total_ns, downtime_ns, bytes;
    double rest_bytes;        /* NO: what is left after each round, in the end */
    uint64_t needed_limit_ns; /* NO: the downtime-limit with which it would converge; 0: unknown */
    unsigned throttle;        /* percent of the guest's CPU time that auto-converge takes in the end */
    double hot_bytes;         /* the hot set; 0: there is none */
    double hot_bytes_per_s;   /* how fast it gets dirty */
    double cold_bytes_per_s;  /* and all the rest */
    double link_bytes_per_s;  /* what is carried of plain pages, limit and CPU time counted */
    unsigned rounds;          /* of the run with nothing varied; the first are kept */
    struct gw_forecast_round round[GW_FORECAST_ROUNDS];
};

/* -EINVAL: sizes of 0, too many points, or a link of which nothing is known: neither link_bytes_per_s nor max_bandwidth. */
GW_API int gw_forecast_sized(const struct gw_forecast_in *in, size_t in_bytes, const struct gw_forecast_set *set,
                             size_t set_bytes, struct gw_forecast *ret, size_t ret_bytes, struct gw_error *err);
static inline int gw_forecast(const struct gw_forecast_in *in, const struct gw_forecast_set *set, struct gw_forecast *ret,
                              struct gw_error *err)
{
    return gw_forecast_sized(in, sizeof *in, set, sizeof *set, ret, sizeof *ret, err);
}

/* ---- which capabilities ------------------------------------------------------------------------------------------- */

/* What both sides can have. */
struct gw_forecast_can {
    bool xbzrle, multifd, zlib, zstd, compress, auto_converge, dirty_limit;
};

struct gw_forecast_choice {
    struct gw_forecast_set set;
    struct gw_forecast forecast;
    char name[32]; /* "plain", "multifd + zstd", "auto-converge", "downtime-limit 800 ms" */
};

struct gw_forecast_advice {
    unsigned count;
    struct gw_forecast_choice choice[GW_FORECAST_SETS]; /* the best first */
    char why[320];                                      /* why the first is the best: one sentence, no full stop */
};

/* All sets that make sense, ranked: those that converge, then those that let the guest be (no throttling, the limit as it is),
 * then by time; of sets within a tenth of the best time the one with the fewest capabilities is the first. */
GW_API int gw_forecast_advise_sized(const struct gw_forecast_in *in, size_t in_bytes, const struct gw_forecast_can *can,
                                    size_t can_bytes, struct gw_forecast_advice *ret, size_t ret_bytes,
                                    struct gw_error *err);
static inline int gw_forecast_advise(const struct gw_forecast_in *in, const struct gw_forecast_can *can,
                                     struct gw_forecast_advice *ret, struct gw_error *err)
{
    return gw_forecast_advise_sized(in, sizeof *in, can, sizeof *can, ret, sizeof *ret, err);
}

#ifdef __cplusplus
}
#endif
#endif
