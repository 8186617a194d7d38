/* SPDX-License-Identifier: MIT */
#include "policy/course.h"

#include <math.h>

#include "policy/switchover.h"
#include "policy/throttle.h"

#define ROUNDS_MAX    600u
#define TIME_MAX_NS   (4 * 3600 * 1e9)
#define STUCK_ROUNDS  24u
/* A rest that fits only at the typical bandwidth leads to the switchover after this long (switchover.h). */
#define RELAX_NS      (11 * 1e9)
/* Once nothing shrinks any more, several rounds shorter than this are simulated at once. */
#define SHORT_NS      (50 * 1e6)
#define PACE_NS       (35 * 1e6) /* channel/pace.h */
/* No switchover before the bandwidth is known: that takes a pass of 5 ms and 1 MiB, or 100 ms (window.h). */
#define WINDOW_NS     (100 * 1e6)
#define FLUSH_NS      (5 * 1e6)
#define FLUSH_BYTES   1048576.0

struct set {
    double bytes, tau_s, due;
};

struct run {
    const struct gw_course_in *in;
    struct set first, hot, cold; /* first: pages never sent yet; they are not counted in the other two sets' due */
    double began_ns, now_ns, sent;
    double bandwidth; /* as the source measures it: bytes on the wire over the time of the last pass */
    struct gw_switchover switchover;
    struct gw_throttle throttle;
    double share; /* the share of its CPU time that the guest gets */
    unsigned round;
    bool measured; /* a bandwidth window has ended */
};

static double due(const struct run *r)
{
    return r->first.due + r->hot.due + r->cold.due;
}

struct cost {
    double wire, ns;
};

/* Adds pages of `each` bytes on the wire that cost `cpu_ns` each in threads other than the sender. */
static void add(const struct run *r, struct cost *c, double pages, double each, double cpu_ns, double own_ns)
{
    const struct gw_course_in *in = r->in;
    double wire = pages * (each + in->frame_bytes), ns = wire / in->link * 1e9 + pages * own_ns / (in->coded.known ? 1 : in->parallel);

    c->wire += wire;
    c->ns += GW_MAX(ns, pages * cpu_ns / in->parallel);
}

/* The cost of sending these bytes of RAM of each kind. limited: the rate limit applies. */
static struct cost cost_of(const struct run *r, double first, double hot, double cold, bool limited)
{
    const struct gw_course_in *in = r->in;
    double page = in->page_bytes, again = hot + cold, differ = 0;
    double zeros = (first * in->zero_share + again * in->dirty_zero_share) / page;
    double fulls = (first + again) / page - zeros;
    double ratio = in->coded.known ? in->coded.ratio : 1;
    struct cost c = {0};

    /* A page is cached when it is sent a second time, so differences begin with the third. */
    if (in->xbzrle.known && r->round >= 2 && r->hot.bytes > 0)
        differ = hot / page * GW_MIN(1.0, in->xbzrle_cache_bytes / r->hot.bytes) * (1 - in->dirty_zero_share);
    add(r, &c, zeros, 1, 0, in->zero_ns);
    add(r, &c, GW_MAX(fulls - differ, 0), page * ratio, in->coded.known ? in->coded.ns : 0, in->page_ns);
    add(r, &c, differ, page * in->xbzrle.ratio, 0, in->page_ns + in->xbzrle.ns);
    c.ns *= in->delay;
    /* The limit lets unused allowance be sent at once, so the first pass gains a little, and a delay costs half. */
    if (limited)
        c.ns = GW_MAX(c.ns, (1 + GW_MAX(in->delay - 1, 0.0) / 2) * c.wire / in->limit * 1e9 - (in->qemu || r->round ? 0 : PACE_NS));
    return c;
}

/* The guest writes for ns while a share of the due pages is sent. */
static double write_for(struct run *r, double ns, double sent_share)
{
    double t = ns / 1e9 * r->share, each = r->first.due / (r->hot.bytes + r->cold.bytes), late = 1 - r->in->early, h, c;

    h = gw_curve_found(r->hot.bytes, r->hot.tau_s, (r->hot.due + each * r->hot.bytes) * late, t);
    c = gw_curve_found(r->cold.bytes, r->cold.tau_s, (r->cold.due + each * r->cold.bytes) * late, t);
    /* pages not sent in this period remain due */
    r->first.due *= 1 - sent_share;
    r->hot.due = r->hot.due * (1 - sent_share) + h;
    r->cold.due = r->cold.due * (1 - sent_share) + c;
    return h + c;
}

static void dirty_limited(struct run *r)
{
    const struct gw_course_in *in = r->in;
    double all = r->in->curve.cold_bytes_per_s + (in->curve.hot_bytes > 0 ? in->curve.hot_bytes / in->curve.tau_s : 0);

    r->share = all > in->dirty_limit ? in->dirty_limit / all : 1;
}

static void throttle(struct run *r, double found)
{
    const struct gw_course_in *in = r->in;
    const struct gw_throttle_params p = {.auto_converge = in->throttle_initial,
                                         .dirty_limit = in->dirty_limit > 0,
                                         .trigger_percent = in->throttle_trigger,
                                         .initial = in->throttle_initial,
                                         .increment = in->throttle_increment,
                                         .max = in->throttle_max,
                                         .vcpu_bytes_per_s = gw_whole(in->dirty_limit)};
    struct gw_throttle_out out;

    if (!p.auto_converge && !p.dirty_limit)
        return;
    gw_throttle_round(&r->throttle, &p, gw_whole(r->now_ns), gw_whole(found), gw_whole(r->sent), &out);
    if (out.percent)
        r->share = 1 - out.percent / 100.0;
    if (out.vcpu_bytes_per_s)
        dirty_limited(r);
}

/* Whether a source would stop the machine when a sync has found this much. */
static bool switches(struct run *r, double found)
{
    const struct gw_course_in *in = r->in;
    double low = r->bandwidth * (1 - in->noise);
    struct gw_switch_in q = {
        .now_ns = gw_whole(r->now_ns),
        .exact = true,
        .allowed = true,
        .pending_bytes = gw_whole(due(r)),
        .dirty_bytes = gw_whole(found),
        .limit_ns = gw_whole(in->downtime_limit_ns),
        .bandwidth = {true, gw_whole(low), gw_whole(r->bandwidth), gw_whole(r->bandwidth), 0},
        .costs = {gw_whole(in->stop_ns), gw_whole(in->sync_ns), gw_whole(in->device_bytes), gw_whole(in->device_ns),
                  gw_whole(in->answer_ns)},
    };
    struct gw_switch_out out;

    if (in->qemu)
        return due(r) <= r->bandwidth * in->downtime_limit_ns / 1e9;
    q.bandwidth.known = r->measured;
    gw_switchover_decide(&r->switchover, &q, &out);
    return out.verdict == GW_SWITCH_NOW && r->measured;
}

/* The share of due pages sent in this pass: a QEMU syncs as soon as the rest fits; auto-converge cuts long passes. */
static double pass_share(const struct run *r, double whole_ns)
{
    double share = 1, all = due(r);

    if (r->in->qemu && all > 0) {
        double rest = r->bandwidth * r->in->downtime_limit_ns / 1e9;

        share = GW_MAX(1 - rest / all, 0.02);
    }
    if (r->in->throttle_initial && whole_ns * share > GW_THROTTLE_SYNC_NS)
        share = GW_THROTTLE_SYNC_NS / whole_ns;
    return share;
}

static double pass(struct run *r, unsigned times, struct gw_course *ret)
{
    const struct gw_course_in *in = r->in;
    struct cost whole = cost_of(r, r->first.due, r->hot.due, r->cold.due, true);
    double share, found, ns;

    if (!r->round)
        r->bandwidth = whole.ns > 0 ? whole.wire / whole.ns * 1e9 : 1;
    share = pass_share(r, whole.ns);
    ns = whole.ns * share + in->sync_ns;
    /* A link that is not saturated has at least the measured bandwidth. */
    if (whole.ns > 1e6)
        r->bandwidth = whole.wire / whole.ns * 1e9;
    found = write_for(r, ns, share);
    r->now_ns += ns * times;
    r->sent += whole.wire * share * times;
    if (r->round < GW_FORECAST_ROUNDS)
        ret->round[r->round] = (struct gw_forecast_round){gw_whole(whole.wire * share), gw_whole(ns), gw_whole(found)};
    r->round++;
    r->measured |= (ns >= FLUSH_NS && whole.wire * share >= FLUSH_BYTES) || r->now_ns - r->began_ns >= WINDOW_NS;
    throttle(r, found * times);
    return found;
}

/* The machine is stopped: all due pages are sent at the link's bandwidth. */
static double stand_still(struct run *r)
{
    const struct gw_course_in *in = r->in;
    struct cost c;
    double ns = in->stop_ns + in->sync_ns + in->device_ns + in->answer_ns;

    write_for(r, in->stop_ns / 2, 0);
    c = cost_of(r, r->first.due, r->hot.due, r->cold.due, isinf(in->link));
    r->sent += c.wire + in->device_bytes;
    return ns + c.ns + (isinf(in->link) ? 0 : in->device_bytes / in->link * 1e9);
}

static double plain_speed(const struct run *r)
{
    const struct gw_course_in *in = r->in;
    double wire = in->page_bytes + in->frame_bytes, ns = in->page_ns + wire / in->link * 1e9;

    return in->page_bytes / GW_MAX(ns, wire / in->limit * 1e9) * 1e9;
}

void gw_course_run(const struct gw_course_in *in, struct gw_course *ret)
{
    struct run r = {.in = in, .share = 1};
    double total = in->curve.hot_bytes + in->curve.cold_bytes, least = INFINITY;
    unsigned since = 0, percent = 0, times = 1;
    double began_ns = 1e9 + in->setup_ns;
    bool waited = false;

    *ret = (struct gw_course){0};
    r.now_ns = r.began_ns = began_ns;
    r.first.due = total;
    r.hot = (struct set){in->curve.hot_bytes, in->curve.tau_s, 0};
    r.cold = (struct set){in->curve.cold_bytes, gw_curve_cold_tau_s(&in->curve), 0};
    ret->speed = plain_speed(&r);
    gw_switchover_init(&r.switchover);
    gw_throttle_init(&r.throttle, gw_whole(r.now_ns));
    switches(&r, 0); /* the migration begins now */
    while (r.round < ROUNDS_MAX && r.now_ns < TIME_MAX_NS) {
        double before = r.now_ns, found = pass(&r, times, ret), rest = due(&r);

        if (switches(&r, found)) {
            ret->converges = true;
            break;
        }
        if (!in->qemu && !r.measured && rest < FLUSH_BYTES) {
            /* Almost nothing is left; the migration continues until a window has ended. */
            write_for(&r, began_ns + WINDOW_NS - r.now_ns, 1);
            r.now_ns = began_ns + WINDOW_NS;
            r.measured = true;
            continue;
        }
        since++;
        if (rest < least * 0.98 || r.throttle.percent != percent) {
            since = 0;
            waited = false;
        }
        least = GW_MIN(least, rest);
        percent = r.throttle.percent;
        times = since > 4 ? (unsigned)GW_MAX(1.0, SHORT_NS / GW_MAX((r.now_ns - before) / times, 1e3)) : 1;
        /* A throttle step may still follow: each needs two seconds and a trigger. */
        if (since <= STUCK_ROUNDS || (in->throttle_initial && percent < in->throttle_max && since <= 4 * STUCK_ROUNDS))
            continue;
        if (waited)
            break;
        r.now_ns += RELAX_NS;
        waited = true;
        since = 0;
    }
    ret->rounds = r.round;
    ret->throttle = r.throttle.percent;
    ret->rest_bytes = due(&r);
    ret->downtime_ns = stand_still(&r);
    ret->total_ns = r.now_ns - began_ns + in->setup_ns + ret->downtime_ns;
    ret->bytes = r.sent;
    if (!ret->converges)
        ret->needed_limit_ns = ret->rest_bytes / (r.bandwidth * (1 - in->noise)) * 1e9 + in->stop_ns + in->sync_ns + in->device_ns + in->answer_ns;
}
