/* SPDX-License-Identifier: MIT */
#include "godwit/forecast.h"

#include <math.h>

#include "base/sized.h"
#include "policy/course.h"

#define DRAWS 101u
/* A guest's behaviour changes from one minute to the next. */
#define GUEST_CHANGES 0.15
#define LINK_ERROR    0.1
/* Stopping, syncing, device state and the answer depend on the host's scheduler. */
#define FIXED_ERROR   0.9
/* On a busy host everything is less certain: by this much for each e-fold of slowdown;
 * tests/unit/policy/test_forecast_recorded.c has recorded runs. The link was measured under the same load, so little of
 * the slowdown is applied to its bandwidth. */
#define BUSY_GUEST    0.3
#define BUSY_LINK     0.2
#define BUSY_FIXED    0.9
#define BUSY_SHARE    (1.0 / 30)

/* ---- what is varied ----------------------------------------------------------------------------------------------- */

struct dice {
    uint64_t state;
    bool still; /* no input is varied */
};

static double unit(struct dice *d)
{
    uint64_t z = d->state += 0x9e3779b97f4a7c15ull;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ z >> 27) * 0x94d049bb133111ebull;
    return (double)((z ^ z >> 31) >> 11) / (double)(1ull << 53);
}

/* About normally distributed, with mean 0 and standard deviation 1. */
static double bell(struct dice *d)
{
    double sum = -6;

    for (unsigned i = 0; i < 12; i++)
        sum += unit(d);
    return d->still ? 0 : sum;
}

static double vary(struct dice *d, double value, double share)
{
    return value * exp(bell(d) * share);
}

static double between(struct dice *d, double low, double high)
{
    double u = unit(d);

    return low + (high - low) * (d->still ? 0.5 : u);
}

static struct gw_forecast_codec vary_codec(struct dice *d, const struct gw_forecast_codec *c, double guess_ns)
{
    struct gw_forecast_codec v = *c;
    double guess = between(d, 0.2, 1), off = bell(d);

    v.ratio = c->known ? GW_MIN(GW_MAX(c->ratio + off * GW_MAX(c->error, 0.01), 0.001), 1.05) : guess;
    v.ns = vary(d, c->ns > 0 ? c->ns : guess_ns, c->known ? 0.2 : 0.7);
    v.known = true;
    return v;
}

static void vary_codecs(struct dice *d, const struct gw_forecast_in *in, const struct gw_forecast_set *set,
                        double delay, struct gw_course_in *c)
{
    double cpus = in->cpus ? in->cpus : 2;
    struct gw_forecast_codec zlib = vary_codec(d, &in->zlib, 40000), zstd = vary_codec(d, &in->zstd, 10000);
    struct gw_forecast_codec deflate = vary_codec(d, &in->deflate, 40000), xbzrle = vary_codec(d, &in->xbzrle, 1000);

    c->parallel = 1;
    c->frame_bytes = 8;
    if (set->multifd) {
        c->parallel = GW_MIN(GW_MAX(in->multifd_channels, 1u), cpus);
        if (set->compression)
            c->coded = set->compression == GW_FORECAST_ZLIB ? zlib : zstd;
    } else if (set->compress) {
        c->parallel = GW_MIN(GW_MAX(in->compress_threads, 1u), cpus);
        c->coded = deflate;
    }
    if (set->xbzrle && !set->multifd)
        c->xbzrle = xbzrle;
    c->coded.ns *= delay;
}

/* A draw uses the same random numbers for every set, so that sets are compared under equal conditions. */
static void draw(struct dice *d, const struct gw_forecast_in *in, const struct gw_forecast_set *set, struct gw_course_in *c)
{
    struct gw_forecast_point points[GW_FORECAST_POINTS];
    double error = in->link_error > 0 ? in->link_error : LINK_ERROR, limit = (double)in->max_bandwidth;
    double slowdown = GW_MAX(in->slowdown, 1.0), load = log(slowdown), gib = (double)in->ram_bytes / (double)GW_GIB;
    double guest = vary(d, 1, GUEST_CHANGES + BUSY_GUEST * load), zero_guess = between(d, 0, 0.9), zero_off = bell(d);
    double link_off = bell(d), busy = bell(d), fixed = slowdown * vary(d, 1, FIXED_ERROR + BUSY_FIXED * load);
    double early_guess = between(d, 0.3, 1), slow = between(d, 1, slowdown);

    *c = (struct gw_course_in){.page_bytes = in->page_bytes, .qemu = in->qemu};
    c->delay = (1 + (slow - 1) * BUSY_SHARE) * exp(busy * BUSY_LINK * load);
    for (unsigned i = 0; i < in->points; i++) {
        points[i] = in->dirty[i];
        points[i].bytes = gw_whole(vary(d, (double)points[i].bytes * guest, points[i].error));
    }
    gw_curve_fit(points, in->points, (double)in->ram_bytes, &c->curve);
    c->zero_share = GW_MIN(GW_MAX(in->zero_known ? in->zero_share + zero_off * in->zero_error : zero_guess, 0.0), 1.0);
    c->dirty_zero_share = GW_MIN(GW_MAX(in->dirty_zero_share, 0.0), 1.0);
    c->early = GW_MIN(GW_MAX(in->early_known ? in->early_share : early_guess, 0.0), 1.0);
    c->page_ns = in->link_is_whole ? 0 : vary(d, in->page_ns > 0 ? in->page_ns : 500, 0.2) * slow;
    c->zero_ns = vary(d, in->zero_ns > 0 ? in->zero_ns : 100, 0.3) * slow;
    c->link = in->link_bytes_per_s ? (double)in->link_bytes_per_s * exp(link_off * error) : INFINITY;
    c->limit = limit > 0 ? limit : INFINITY;
    c->noise = 0.1 + error / 2;
    c->downtime_limit_ns = (double)(set->downtime_limit_ns ? set->downtime_limit_ns : in->downtime_limit_ns);
    c->answer_ns = 1.5 * (double)(in->round_trip_ns ? in->round_trip_ns : 200000) * fixed;
    c->stop_ns = (in->qemu ? 1e6 : 3e5) * fixed;
    c->sync_ns = (2e5 + 1e6 * gib) * fixed;
    c->device_bytes = in->qemu ? 100e3 : 20e3;
    c->device_ns = (in->qemu ? 8e6 : 1e6) * fixed;
    c->setup_ns = 6e6 * fixed;
    c->xbzrle_cache_bytes = (double)in->xbzrle_cache_bytes;
    if (set->auto_converge) {
        c->throttle_trigger = in->throttle_trigger ? in->throttle_trigger : 50;
        c->throttle_initial = in->throttle_initial ? in->throttle_initial : 20;
        c->throttle_increment = in->throttle_increment ? in->throttle_increment : 10;
        c->throttle_max = in->throttle_max ? in->throttle_max : 99;
    } else if (set->dirty_limit) {
        c->throttle_trigger = in->throttle_trigger ? in->throttle_trigger : 50;
        c->dirty_limit = (double)in->vcpu_dirty_limit_bytes_per_s * GW_MAX(in->vcpus, 1u);
    }
    vary_codecs(d, in, set, 1 + (slow - 1) / 8, c); /* codec threads mostly wait for others, so the delay affects them less */
}

/* ---- the answer --------------------------------------------------------------------------------------------------- */

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static struct gw_forecast_range range(double *v, unsigned n)
{
    if (!n)
        return (struct gw_forecast_range){0};
    qsort(v, n, sizeof *v, compare);
    return (struct gw_forecast_range){v[(n - 1) / 20], v[(n - 1) / 2], v[(n - 1) - (n - 1) / 20]};
}

static int check(const struct gw_forecast_in *in, struct gw_error *err)
{
    if (!in->ram_bytes || !in->page_bytes)
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "a forecast needs the size of memory and of a page");
    if (in->points > GW_FORECAST_POINTS)
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "%u measurements: at most %u are taken", in->points, GW_FORECAST_POINTS);
    if (!in->link_bytes_per_s && !in->max_bandwidth)
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER,
                       "the throughput of the link is not known: it was not measured, and max-bandwidth is 0");
    return 0;
}

static void forecast(const struct gw_forecast_in *in, const struct gw_forecast_set *set, struct gw_forecast *ret)
{
    double total[DRAWS], downtime[DRAWS], bytes[DRAWS];
    struct dice dice = {.still = true};
    struct gw_course_in c;
    struct gw_course middle, one;
    unsigned n = 0;

    draw(&dice, in, set, &c);
    gw_course_run(&c, &middle);
    dice = (struct dice){.state = 1};
    for (unsigned i = 0; i < DRAWS; i++) {
        draw(&dice, in, set, &c);
        gw_course_run(&c, &one);
        if (!one.converges)
            continue;
        total[n] = one.total_ns;
        downtime[n] = one.downtime_ns;
        bytes[n++] = one.bytes;
    }
    dice.still = true;
    draw(&dice, in, set, &c);
    *ret = (struct gw_forecast){
        .certainty = (double)n / DRAWS,
        .total_ns = range(total, n),
        .downtime_ns = range(downtime, n),
        .bytes = range(bytes, n),
        .throttle = middle.throttle,
        .hot_bytes = c.curve.hot_bytes,
        .hot_bytes_per_s = c.curve.hot_bytes > 0 ? c.curve.hot_bytes / c.curve.tau_s : 0,
        .cold_bytes_per_s = c.curve.cold_bytes_per_s,
        .link_bytes_per_s = middle.speed,
        .rounds = middle.rounds,
    };
    ret->converges = n * 10 >= DRAWS * 9 ? GW_FORECAST_YES : n * 10 <= DRAWS ? GW_FORECAST_NO : GW_FORECAST_UNKNOWN;
    if (!middle.converges) {
        ret->rest_bytes = middle.rest_bytes;
        ret->needed_limit_ns = middle.needed_limit_ns < 1e18 ? gw_whole(middle.needed_limit_ns) : 0;
    }
    memcpy(ret->round, middle.round, sizeof ret->round);
}

int gw_forecast_sized(const struct gw_forecast_in *in, size_t in_bytes, const struct gw_forecast_set *set, size_t set_bytes,
                      struct gw_forecast *ret, size_t ret_bytes, struct gw_error *err)
{
    struct gw_forecast_in own;
    struct gw_forecast_set own_set;
    struct gw_forecast out;
    int r = gw_sized_in(&own, sizeof own, in, in_bytes, GW_SIZED_UNTIL(struct gw_forecast_in, points),
                        "struct gw_forecast_in", err);

    if (r >= 0)
        r = gw_sized_in(&own_set, sizeof own_set, set, set_bytes, GW_SIZED_UNTIL(struct gw_forecast_set, dirty_limit),
                        "struct gw_forecast_set", err);
    if (r >= 0)
        r = check(&own, err);
    if (r < 0)
        return r;
    forecast(&own, &own_set, &out);
    gw_sized_out(ret, ret_bytes, &out, sizeof out);
    return 0;
}
