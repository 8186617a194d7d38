/* SPDX-License-Identifier: MIT
 *
 * curve: fits how many bytes a guest dirties in a given time, from a few measurements.
 *
 * The model: a hot set of `hot_bytes` whose pages are written uniformly, and the cold rest, of which little is written:
 *
 *     D(t) = hot (1 - exp(-t / tau)) + cold (1 - exp(-rate t / cold))
 *
 * A guest that writes all over its memory has only a cold set, one that writes the same few pages only a hot set. Of
 * the three models the one with the lowest Akaike criterion (misfit and number of parameters) is taken.
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

/* bytes may be varied by the caller. total: the size of memory. No points: no memory gets dirty. */
void gw_curve_fit(const struct gw_forecast_point *points, unsigned n, double total, struct gw_curve *ret);

/* The bytes that get dirty in t seconds in a set of `bytes` with time constant tau. `due` of them are sent evenly in
 * that time; writes before a page is sent do not make it dirty. */
double gw_curve_found(double bytes, double tau_s, double due, double t_s);
/* The whole curve, while nothing is sent. */
double gw_curve_dirtied(const struct gw_curve *c, double t_s);
/* Time constant of the cold set. */
double gw_curve_cold_tau_s(const struct gw_curve *c);

/* Converts to an integer, clamped, with room left for additions. */
static inline uint64_t gw_whole(double x)
{
    return x >= 4e18 ? (uint64_t)4e18 : x > 0 ? (uint64_t)x : 0;
}

#endif
