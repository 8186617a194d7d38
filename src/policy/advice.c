/* SPDX-License-Identifier: MIT */
#include <stdio.h>

#include "base/sized.h"
#include "godwit/forecast.h"

#define LIMIT_MAX_NS (2000 * GW_NS_PER_S) /* the largest value that downtime-limit accepts */

static unsigned capabilities(const struct gw_forecast_set *s)
{
    return s->xbzrle + s->multifd + s->compress + s->auto_converge + s->dirty_limit + (s->compression != 0) +
           (s->downtime_limit_ns != 0);
}

/* Whether the settings slow the guest down, or stop it for longer than the limit asked for. */
static bool disturbs(const struct gw_forecast_set *s)
{
    return s->auto_converge || s->dirty_limit || s->downtime_limit_ns;
}

static void add(const struct gw_forecast_in *in, struct gw_forecast_advice *a, const char *name, struct gw_forecast_set set)
{
    struct gw_forecast_choice *c = &a->choice[a->count];

    if (a->count == GW_FORECAST_SETS || gw_forecast(in, &set, &c->forecast, NULL) < 0)
        return;
    c->set = set;
    gw_strcopy(c->name, sizeof c->name, name);
    a->count++;
}

/* Suggests a limit that the rest fits with a quarter to spare, as a round number. */
static void add_longer(const struct gw_forecast_in *in, struct gw_forecast_advice *a)
{
    uint64_t ns = a->choice[0].forecast.needed_limit_ns, step = 10 * GW_NS_PER_MS;
    char name[32];

    if (!ns || ns > LIMIT_MAX_NS / 2 || a->choice[0].forecast.converges == GW_FORECAST_YES)
        return;
    ns += ns / 4;
    while (step * 20 < ns)
        step *= 10;
    ns = gw_div_up(ns, step) * step;
    snprintf(name, sizeof name, "downtime-limit %u ms", (unsigned)(ns / GW_NS_PER_MS));
    add(in, a, name, (struct gw_forecast_set){.downtime_limit_ns = ns});
}

/* Negative: a is better. */
static int compare(const struct gw_forecast_choice *a, const struct gw_forecast_choice *b)
{
    static const int order[] = {[GW_FORECAST_YES] = 0, [GW_FORECAST_UNKNOWN] = 1, [GW_FORECAST_NO] = 2};
    double x = a->forecast.total_ns.typical, y = b->forecast.total_ns.typical;

    if (a->forecast.converges != b->forecast.converges)
        return order[a->forecast.converges] - order[b->forecast.converges];
    if (a->forecast.converges == GW_FORECAST_NO)
        return (int)capabilities(&a->set) - (int)capabilities(&b->set);
    if (disturbs(&a->set) != disturbs(&b->set))
        return disturbs(&a->set) ? 1 : -1;
    return x < y ? -1 : x > y;
}

static void rank(struct gw_forecast_advice *a)
{
    unsigned best = 0;

    for (unsigned i = 1; i < a->count; i++) {
        struct gw_forecast_choice c = a->choice[i];
        unsigned k = i;

        for (; k && compare(&c, &a->choice[k - 1]) < 0; k--)
            a->choice[k] = a->choice[k - 1];
        a->choice[k] = c;
    }
    /* Among those about as fast as the fastest, chooses the one with the fewest capabilities. */
    for (unsigned i = 1; i < a->count; i++) {
        const struct gw_forecast_choice *c = &a->choice[i];

        if (c->forecast.converges != a->choice[0].forecast.converges || c->forecast.converges == GW_FORECAST_NO ||
            disturbs(&c->set) != disturbs(&a->choice[0].set) ||
            c->forecast.total_ns.typical > a->choice[0].forecast.total_ns.typical * 1.1)
            break;
        if (capabilities(&c->set) < capabilities(&a->choice[best].set))
            best = i;
    }
    if (best) {
        struct gw_forecast_choice c = a->choice[best];

        memmove(&a->choice[1], &a->choice[0], best * sizeof c);
        a->choice[0] = c;
    }
}

/* ---- in words ----------------------------------------------------------------------------------------------------- */

static const struct gw_forecast_choice *plain(const struct gw_forecast_advice *a)
{
    for (unsigned i = 0; i < a->count; i++)
        if (!capabilities(&a->choice[i].set))
            return &a->choice[i];
    return &a->choice[0];
}

static double mib(double bytes)
{
    return bytes / (double)GW_MIB;
}

/* Explains why plain settings do not suffice. */
static int misfit(const struct gw_forecast *p, char *buf, size_t size)
{
    return snprintf(buf, size, "without it, %.0f MiB are left after each round, %.0f ms of the link, and the guest dirties them again",
                    mib(p->rest_bytes), p->link_bytes_per_s > 0 ? p->rest_bytes / p->link_bytes_per_s * 1e3 : 0);
}

static void why_that(const struct gw_forecast_in *in, const struct gw_forecast_choice *c, char *buf, size_t size)
{
    const struct gw_forecast_codec *codec = c->set.compression == GW_FORECAST_ZSTD   ? &in->zstd
                                            : c->set.compression == GW_FORECAST_ZLIB ? &in->zlib
                                                                                     : &in->deflate;

    if (c->set.auto_converge)
        snprintf(buf, size, "it slows the guest down, finally by %u %%, and no set without throttling is "
                            "enough", c->forecast.throttle);
    else if (c->set.dirty_limit)
        snprintf(buf, size, "it limits the vCPUs' dirty rates, and no set without throttling is enough");
    else if (c->set.downtime_limit_ns)
        snprintf(buf, size, "the bytes left after each round fit into it, and no set is enough with the present limit");
    else if (c->set.xbzrle && in->xbzrle.known)
        snprintf(buf, size, "what the guest changes of a page is %.0f %% of it", in->xbzrle.ratio * 100);
    else if (c->set.xbzrle)
        snprintf(buf, size, "it may send less for pages with small changes; how much they change is not known");
    else if ((c->set.compression || c->set.compress) && codec->known)
        snprintf(buf, size, "pages shrink to %.0f %%, at %.1f us of CPU time each", codec->ratio * 100, codec->ns / 1e3);
    else if (c->set.compression || c->set.compress)
        snprintf(buf, size, "pages may shrink; by how much is not known");
    else
        snprintf(buf, size, "the work is shared by %u threads", GW_MIN(in->multifd_channels, in->cpus ? in->cpus : 2));
}

static void explain(const struct gw_forecast_in *in, struct gw_forecast_advice *a)
{
    const struct gw_forecast_choice *best = &a->choice[0], *p = plain(a);
    char reason[120], other[160];

    if (best->forecast.converges == GW_FORECAST_NO) {
        misfit(&p->forecast, other, sizeof other);
        snprintf(a->why, sizeof a->why, "nothing here makes it converge: %s", strchr(other, ',') + 2);
    } else if (best == p && best->forecast.converges == GW_FORECAST_YES) {
        snprintf(a->why, sizeof a->why, "it converges with no capability at all, and none saves a tenth of the time");
    } else if (best == p) {
        snprintf(a->why, sizeof a->why, "whether it converges is not certain with any of them");
    } else {
        why_that(in, best, reason, sizeof reason);
        if (p->forecast.converges == GW_FORECAST_YES)
            snprintf(other, sizeof other, "it takes %.0f %% of the time without it",
                     100 * best->forecast.total_ns.typical / GW_MAX(p->forecast.total_ns.typical, 1.0));
        else if (p->forecast.converges == GW_FORECAST_NO)
            misfit(&p->forecast, other, sizeof other);
        else
            snprintf(other, sizeof other, "without it, whether it converges is not certain");
        snprintf(a->why, sizeof a->why, "%s; %s", reason, other);
    }
}

static void advise(const struct gw_forecast_in *in, const struct gw_forecast_can *can, struct gw_forecast_advice *a)
{
    add(in, a, "plain", (struct gw_forecast_set){0});
    if (can->xbzrle)
        add(in, a, "xbzrle", (struct gw_forecast_set){.xbzrle = true});
    if (can->multifd)
        add(in, a, "multifd", (struct gw_forecast_set){.multifd = true});
    if (can->multifd && can->zstd)
        add(in, a, "multifd + zstd", (struct gw_forecast_set){.multifd = true, .compression = GW_FORECAST_ZSTD});
    if (can->multifd && can->zlib)
        add(in, a, "multifd + zlib", (struct gw_forecast_set){.multifd = true, .compression = GW_FORECAST_ZLIB});
    if (can->compress)
        add(in, a, "compress", (struct gw_forecast_set){.compress = true});
    if (can->compress && can->xbzrle)
        add(in, a, "compress + xbzrle", (struct gw_forecast_set){.compress = true, .xbzrle = true});
    if (can->auto_converge)
        add(in, a, "auto-converge", (struct gw_forecast_set){.auto_converge = true});
    if (can->dirty_limit)
        add(in, a, "dirty-limit", (struct gw_forecast_set){.dirty_limit = true});
    add_longer(in, a);
    rank(a);
    explain(in, a);
}

int gw_forecast_advise_sized(const struct gw_forecast_in *in, size_t in_bytes, const struct gw_forecast_can *can,
                             size_t can_bytes, struct gw_forecast_advice *ret, size_t ret_bytes, struct gw_error *err)
{
    struct gw_forecast_in own;
    struct gw_forecast_can own_can;
    struct gw_forecast_set none = {0};
    struct gw_forecast probe;
    struct gw_forecast_advice *a;
    int r = gw_sized_in(&own, sizeof own, in, in_bytes, GW_SIZED_UNTIL(struct gw_forecast_in, points),
                        "struct gw_forecast_in", err);

    if (r >= 0)
        r = gw_sized_in(&own_can, sizeof own_can, can, can_bytes, 1, "struct gw_forecast_can", err);
    if (r >= 0)
        r = gw_forecast(&own, &none, &probe, err); /* an error in the input is found here */
    if (r < 0)
        return r;
    a = calloc(1, sizeof *a);
    if (!a)
        return gw_nomem(err, "an advice");
    advise(&own, &own_can, a);
    gw_sized_out(ret, ret_bytes, a, sizeof *a);
    free(a);
    return 0;
}
