/* SPDX-License-Identifier: MIT
 *
 * forecast: predicts a migration before it starts: whether it converges, its total time, downtime and bytes sent, each with a
 * range; and which capabilities are best.
 *
 *     struct gw_forecast_in in = {...};    measured by gw_survey_start (survey.h) or by other means
 *     struct gw_forecast_set set = {0};    no capability
 *     struct gw_forecast f;
 *
 *     gw_forecast(&in, &set, &f, &err);
 *
 * Method: the dirty measurements are fitted with two sets of pages, a hot one and a cold one, each written uniformly. The
 * migration is simulated round by round with the decisions of the source (godwit's own policy, or QEMU's rule). This is
 * repeated 101 times with the measurements varied by their errors; nine of ten results lie in the range given.
 * docs/performance.md compares forecasts with real migrations.
 *
 * Not modelled: changes in the guest's behaviour or in the load of hosts and link after the measurement, and stalls.
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

/* The guest dirtied `bytes` (of distinct pages) in `ns`. */
struct gw_forecast_point {
    uint64_t ns, bytes;
    double error; /* standard error, as a share of bytes */
};

/* How a codec does on pages that are not all zeros. */
struct gw_forecast_codec {
    bool known;   /* false: a ratio of 0.2 to 1 is assumed, which makes the ranges wide */
    double ratio; /* bytes on the wire for each byte of a page */
    double error; /* standard error of ratio, absolute */
    double ns;    /* CPU time for a page */
};

struct gw_forecast_in {
    uint64_t ram_bytes;
    uint32_t page_bytes;
    bool zero_known; /* false: a share of 0 to 0.9 of zero pages is assumed */
    double zero_share, zero_error;
    double dirty_zero_share; /* share of zero pages among the pages that the guest dirties */

    struct gw_forecast_point dirty[GW_FORECAST_POINTS]; /* with at least two different ns if the guest runs */
    unsigned points;
    /* Of the writes to pages that are not yet sent in a pass, the share that is still found dirty at its end: 0 where the
     * tracker is re-armed right before each page is sent, 1 where it is re-armed once per pass. */
    bool early_known; /* false: 0.3 to 1 is assumed */
    double early_share;

    double page_ns; /* CPU time to examine a page and send it plain; 0: 500 */
    double zero_ns; /* the same for a zero page; 0: 100 */
    struct gw_forecast_codec zlib, zstd; /* multifd-compression, at the levels that are set */
    struct gw_forecast_codec deflate;    /* capability compress: each page by itself */
    struct gw_forecast_codec xbzrle;     /* for pages that were changed since they were sent */
    unsigned cpus;                       /* of the source's host; 0: unknown, 2 are assumed */
    double slowdown; /* elapsed time / CPU time of work on that host, above 1 when other programs compete for its CPUs; 0: 1 */

    uint64_t link_bytes_per_s; /* throughput of the link; 0: unknown, max_bandwidth is the bound */
    double link_error;         /* standard error, as a share; 0: 0.1 */
    bool link_is_whole;        /* measured during a migration, so it includes the time to process pages */
    uint64_t max_bandwidth;    /* bytes per second; 0: no limit */
    uint64_t round_trip_ns;    /* 0: 0.2 ms */

    uint64_t downtime_limit_ns;
    uint64_t xbzrle_cache_bytes;
    unsigned multifd_channels, compress_threads;
    unsigned throttle_trigger, throttle_initial, throttle_increment, throttle_max; /* percent */
    uint64_t vcpu_dirty_limit_bytes_per_s; /* for each vCPU */
    unsigned vcpus;                        /* 0: 1 */

    bool qemu; /* the source is QEMU: it switches over as soon as the remaining bytes fit into the downtime limit */
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
    uint64_t bytes, ns, dirty_bytes; /* sent; duration; found dirty at its end */
};

enum gw_forecast_answer {
    GW_FORECAST_UNKNOWN, /* `certainty` is between 0.1 and 0.9 */
    GW_FORECAST_YES,
    GW_FORECAST_NO,
};

struct gw_forecast {
    enum gw_forecast_answer converges;
    double certainty; /* probability that it converges: 0 to 1 */
    /* Over the simulated migrations that converge; zeros where none does. */
    struct gw_forecast_range total_ns, downtime_ns, bytes;
    double rest_bytes;        /* NO: bytes remaining after each of the last rounds */
    uint64_t needed_limit_ns; /* NO: the downtime-limit with which it would converge; 0: unknown */
    unsigned throttle;        /* the final throttle of auto-converge, percent of the guest's CPU time */
    double hot_bytes;         /* size of the hot set; 0: there is none */
    double hot_bytes_per_s;   /* dirty rate of the hot set */
    double cold_bytes_per_s;  /* dirty rate of all other pages */
    double link_bytes_per_s;  /* throughput for plain pages, with max_bandwidth and CPU time taken into account */
    unsigned rounds;          /* of the simulation with unvaried measurements; the first GW_FORECAST_ROUNDS are kept */
    struct gw_forecast_round round[GW_FORECAST_ROUNDS];
};

/* -EINVAL: a size of 0, too many points, or neither link_bytes_per_s nor max_bandwidth is known. */
GW_API int gw_forecast_sized(const struct gw_forecast_in *in, size_t in_bytes, const struct gw_forecast_set *set,
                             size_t set_bytes, struct gw_forecast *ret, size_t ret_bytes, struct gw_error *err);
static inline int gw_forecast(const struct gw_forecast_in *in, const struct gw_forecast_set *set, struct gw_forecast *ret,
                              struct gw_error *err)
{
    return gw_forecast_sized(in, sizeof *in, set, sizeof *set, ret, sizeof *ret, err);
}

/* ---- which capabilities ------------------------------------------------------------------------------------------- */

/* Capabilities that both sides support. */
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

/* All sets that make sense, best first: sets that converge before those that do not, then sets without throttling and with an
 * unchanged downtime limit, then by total time. Among sets within a tenth of the best time the one with the fewest
 * capabilities comes first. */
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
