/* SPDX-License-Identifier: MIT
 *
 * curve: how many bytes a guest has dirtied after so long, from a few measurements.
 *
 * The model: a hot set of `hot_bytes` whose pages are written uniformly, and the cold rest, of which little is written:
 *
 *     D(t) = hot (1 - exp(-t / tau)) + cold (1 - exp(-rate t / cold))
 *
 * A guest that writes all over its memory is cold alone, one that writes the same few pages is hot alone. Of the three the
 * one is taken that explains the measurements with the fewest numbers (Akaike's criterion).
 *
 * Pure. Any thread.
 */
#ifndef GW_CURVE_H
#define GW_CURVE_H

#include "base/base.h"
#include "godwit/forecast.h"

struct gw_curve {
    double hot_bytes, tau_s;               /* 0: no hot set */
    double cold_bytes, cold_bytes_per_s;
};

/* bytes may be varied by the caller. total: the size of memory. No points: nothing gets dirty. */
void gw_curve_fit(const struct gw_forecast_point *points, unsigned n, double total, struct gw_curve *ret);

/* What gets dirty in t seconds of a set of `bytes` with time constant tau, of which `due` is being sent in that time, evenly, and is
 * not found dirty for what was written before that. */
double gw_curve_found(double bytes, double tau_s, double due, double t_s);
/* The whole curve, with nothing being sent. */
double gw_curve_dirtied(const struct gw_curve *c, double t_s);
/* Of the cold set. */
double gw_curve_cold_tau_s(const struct gw_curve *c);

/* To an integer; what does not fit is the nearest that does, with room to add to. */
static inline uint64_t gw_whole(double x)
{
    return x >= 4e18 ? (uint64_t)4e18 : x > 0 ? (uint64_t)x : 0;
}

#endif
