/* SPDX-License-Identifier: MIT */
#include "policy/curve.h"

#include <math.h>

#define TAUS 40

static double weight(const struct gw_forecast_point *p)
{
    /* At least 2 % and one page: measurements are not more accurate. */
    double e = (double)p->bytes * GW_MAX(p->error, 0.02) + 4096;

    return 1 / (e * e);
}

struct fit {
    double hot, slope, tau, cost;
};

/* Least squares of bytes = hot h(t) + slope t, none negative. cost: twice the number of parameters, plus the misfit. */
static void try_tau(const struct gw_forecast_point *p, unsigned n, double tau, bool hot, bool cold, struct fit *best)
{
    double hh = 0, ht = 0, tt = 0, hb = 0, tb = 0, det;
    struct fit f = {.tau = tau, .cost = (hot ? 4 : 0) + (cold ? 2 : 0)};

    for (unsigned i = 0; i < n; i++) {
        double t = (double)p[i].ns / 1e9, b = (double)p[i].bytes, w = weight(&p[i]), h = hot ? 1 - exp(-t / tau) : 0;

        hh += w * h * h;
        ht += w * h * t;
        tt += w * t * t;
        hb += w * h * b;
        tb += w * t * b;
    }
    det = hh * tt - ht * ht;
    if (hot && cold && det > 1e-9 * hh * tt) {
        f.hot = (hb * tt - tb * ht) / det;
        f.slope = (tb * hh - hb * ht) / det;
        if (f.hot < 0 || f.slope < 0)
            return;
    } else if (hot && cold) {
        return;
    } else if (hot) {
        f.hot = hh > 0 ? hb / hh : 0;
    } else {
        f.slope = tt > 0 ? tb / tt : 0;
    }
    for (unsigned i = 0; i < n; i++) {
        double t = (double)p[i].ns / 1e9;
        double d = f.slope * t + (hot ? f.hot * (1 - exp(-t / tau)) : 0) - (double)p[i].bytes;

        f.cost += weight(&p[i]) * d * d;
    }
    if (f.cost < best->cost)
        *best = f;
}

void gw_curve_fit(const struct gw_forecast_point *points, unsigned n, double total, struct gw_curve *ret)
{
    struct fit best = {.cost = INFINITY};
    double shortest = INFINITY, longest = 0, most = 0;

    *ret = (struct gw_curve){.cold_bytes = total};
    for (unsigned i = 0; i < n; i++) {
        double t = (double)points[i].ns / 1e9;

        if (t <= 0)
            continue;
        shortest = GW_MIN(shortest, t);
        longest = GW_MAX(longest, t);
        most = GW_MAX(most, (double)points[i].bytes);
    }
    if (longest <= 0 || most <= 0)
        return;
    try_tau(points, n, 1, false, true, &best);
    for (unsigned i = 0; i < TAUS; i++) {
        double tau = shortest / 20 * pow(longest * 60 / shortest, (double)i / (TAUS - 1));

        try_tau(points, n, tau, true, false, &best);
        try_tau(points, n, tau, true, true, &best);
    }
    ret->hot_bytes = GW_MIN(best.hot, total);
    ret->tau_s = best.tau;
    ret->cold_bytes = total - ret->hot_bytes;
    ret->cold_bytes_per_s = best.slope;
}

double gw_curve_found(double bytes, double tau_s, double due, double t_s)
{
    double x, all, mean, share;

    if (bytes <= 0 || tau_s <= 0 || t_s <= 0)
        return 0;
    x = t_s / tau_s;
    all = -expm1(-x);
    /* 1 - (1 - exp(-x)) / x loses all precision for small x. */
    mean = x < 1e-4 ? x / 2 : 1 - all / x;
    share = GW_MIN(due / bytes, 1.0);
    return bytes * (share * mean + (1 - share) * all);
}

double gw_curve_cold_tau_s(const struct gw_curve *c)
{
    return c->cold_bytes_per_s > 0 ? c->cold_bytes / c->cold_bytes_per_s : 0;
}

double gw_curve_dirtied(const struct gw_curve *c, double t_s)
{
    return gw_curve_found(c->hot_bytes, c->tau_s, 0, t_s) +
           gw_curve_found(c->cold_bytes, gw_curve_cold_tau_s(c), 0, t_s);
}
