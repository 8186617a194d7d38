/* SPDX-License-Identifier: MIT */
#include "policy/switchover.h"

#define SMALL_NS     (300 * 1000ull) /* a smaller saving is not worth a pass */
#define EXTRA_NS     GW_NS_PER_S     /* limit for all extra passes together, or */
#define EXTRA_SHARE  8               /* this fraction of the time since the start */
#define EXTRA_PASSES 16
#define NEAR_SYNCS   8
#define NEAR_NS      (10 * GW_NS_PER_S)
#define IDLE_WAIT_NS (10 * GW_NS_PER_MS)
#define GUESS        GW_MIB /* bytes per second assumed for an unknown link */

const char *gw_switch_reason_name(enum gw_switch_reason r)
{
    static const char *const names[GW_SWITCH_REASON_COUNT] = {
        [GW_SWITCH_PASS_RUNS] = "pass-runs",       [GW_SWITCH_PASS_OVER] = "pass-over",
        [GW_SWITCH_NO_WINDOW] = "no-window",       [GW_SWITCH_TOO_MUCH] = "too-much",
        [GW_SWITCH_PASS_PAYS] = "pass-pays",       [GW_SWITCH_NOT_ALLOWED] = "not-allowed",
        [GW_SWITCH_NOTHING_LEFT] = "nothing-left", [GW_SWITCH_SMALL] = "small",
        [GW_SWITCH_NO_SHRINKING] = "no-shrinking", [GW_SWITCH_SPENT] = "spent",
        [GW_SWITCH_RELAXED] = "relaxed",
    };

    return (unsigned)r < GW_SWITCH_REASON_COUNT ? names[r] : "?";
}

const char *gw_switch_verdict_name(enum gw_switch_verdict v)
{
    static const char *const names[] = {"continue", "sync", "now"};

    return (unsigned)v < GW_ARRAY_LEN(names) ? names[v] : "?";
}

void gw_switchover_init(struct gw_switchover *s)
{
    *s = (struct gw_switchover){0};
}

uint64_t gw_switchover_dirty_rate(const struct gw_switchover *s)
{
    return s->syncs ? s->rate[(s->syncs - 1) % GW_SWITCH_RATES] : 0;
}

static uint64_t plus(uint64_t a, uint64_t b)
{
    uint64_t r;

    return gw_add_overflows(a, b, &r) ? UINT64_MAX : r;
}

static uint64_t bytes_in(uint64_t bytes_per_s, uint64_t ns)
{
    unsigned __int128 r = (unsigned __int128)bytes_per_s * ns / GW_NS_PER_S;

    return r > UINT64_MAX ? UINT64_MAX : (uint64_t)r;
}

static uint64_t most(const uint64_t *v)
{
    uint64_t m = 0;

    for (unsigned i = 0; i < GW_SWITCH_RATES; i++)
        m = GW_MAX(m, v[i]);
    return m;
}

/* Converts bytes on the wire to the unit of the bandwidth (window.h). */
static uint64_t as_pages(const struct gw_switch_in *in, uint64_t wire_bytes)
{
    unsigned __int128 r = wire_bytes;

    if (in->avail_bytes_per_s || !in->bandwidth.wire_bytes || !in->bandwidth.bytes)
        return wire_bytes;
    r = r * in->bandwidth.bytes / in->bandwidth.wire_bytes;
    return r > UINT64_MAX ? UINT64_MAX : (uint64_t)r;
}

/* Time that no pass can reduce. */
static uint64_t fixed_ns(const struct gw_switch_in *in, uint64_t bandwidth)
{
    const struct gw_switch_costs *c = &in->costs;
    uint64_t t = gw_time_for(as_pages(in, plus(c->device_bytes, in->in_flight_bytes)), bandwidth);

    return plus(plus(plus(t, c->stop_ns), plus(c->sync_ns, c->device_ns)), c->answer_ns);
}

/* The bytes that the guest will write between the sync and the stop, in addition to the pending ones. */
static uint64_t late_bytes(const struct gw_switchover *s, const struct gw_switch_in *in)
{
    return GW_MIN(bytes_in(most(s->rate), plus(in->costs.stop_ns, in->costs.sync_ns)), most(s->dirty));
}

static uint64_t room_ns(uint64_t limit_ns, uint64_t fixed)
{
    return GW_MAX(limit_ns > fixed ? limit_ns - fixed : 0, limit_ns / 8);
}

static bool fits(const struct gw_switchover *s, const struct gw_switch_in *in, uint64_t bandwidth)
{
    uint64_t rest = gw_time_for(plus(in->pending_bytes, late_bytes(s, in)), bandwidth);

    return bandwidth && rest <= room_ns(in->limit_ns, fixed_ns(in, bandwidth));
}

static void note_sync(struct gw_switchover *s, const struct gw_switch_in *in)
{
    uint64_t ns = in->now_ns - s->synced_ns;
    unsigned i = s->syncs++ % GW_SWITCH_RATES;

    s->rate[i] = gw_rate_per_s(in->dirty_bytes, ns);
    s->dirty[i] = in->dirty_bytes;
    s->synced_ns = in->now_ns;
}

/* The rest fits. Decides whether another pass is still worth its time. */
static enum gw_switch_reason weigh_pass(struct gw_switchover *s, const struct gw_switch_in *in, uint64_t low)
{
    uint64_t stuck = GW_MIN(s->stuck_bytes, in->pending_bytes);
    uint64_t sendable = in->pending_bytes - stuck;
    uint64_t typical = in->bandwidth.known ? in->bandwidth.typical_bytes_per_s : low;
    uint64_t pass_ns = plus(gw_time_for(sendable, typical), in->costs.sync_ns);
    uint64_t next = bytes_in(gw_switchover_dirty_rate(s), pass_ns);
    uint64_t budget_ns = GW_MAX(EXTRA_NS, (in->now_ns - s->begun_ns) / EXTRA_SHARE);
    uint64_t before = s->extra_from_bytes;

    s->extra_from_bytes = 0;
    if (gw_time_for(sendable, low) < GW_MAX(SMALL_NS, fixed_ns(in, low) / 8))
        return GW_SWITCH_SMALL;
    /* The rate is an average over the last round. A hot set becomes dirty at once, and a longer round does not find
     * more of it, so the next, shorter one may find as much: the result of the last extra pass outweighs the forecast. */
    if (next >= sendable / 4 * 3 || (before && in->pending_bytes >= before / 4 * 3))
        return GW_SWITCH_NO_SHRINKING;
    if (in->take || s->extra_passes >= EXTRA_PASSES || plus(s->extra_ns, pass_ns) > budget_ns)
        return GW_SWITCH_SPENT;
    s->extra_passes++;
    s->extra_ns += pass_ns;
    s->extra_from_bytes = in->pending_bytes;
    return GW_SWITCH_PASS_PAYS;
}

static bool relaxed(struct gw_switchover *s, const struct gw_switch_in *in, uint64_t bandwidth)
{
    if (!fits(s, in, bandwidth)) {
        s->near_syncs = 0;
        return false;
    }
    if (!s->near_syncs++)
        s->near_ns = in->now_ns;
    return s->near_syncs > NEAR_SYNCS && in->now_ns - s->near_ns >= NEAR_NS;
}

static enum gw_switch_reason judge_exact(struct gw_switchover *s, const struct gw_switch_in *in, uint64_t low)
{
    if (!in->pending_bytes)
        return GW_SWITCH_NOTHING_LEFT;
    if (!low)
        return GW_SWITCH_NO_WINDOW;
    if (fits(s, in, low))
        return weigh_pass(s, in, low);
    s->extra_from_bytes = 0;
    if (!in->avail_bytes_per_s && relaxed(s, in, in->bandwidth.typical_bytes_per_s / 10 * 9))
        return GW_SWITCH_RELAXED;
    return GW_SWITCH_TOO_MUCH;
}

/* The bandwidth used to keep the limit; 0 during the first window, also when the user gave one. */
static uint64_t promised_bandwidth(const struct gw_switchover *s, const struct gw_switch_in *in)
{
    uint64_t age_ns = in->now_ns - s->begun_ns, guess;

    if (in->bandwidth.known)
        return in->avail_bytes_per_s ? in->avail_bytes_per_s : in->bandwidth.low_bytes_per_s;
    if (age_ns < GW_WINDOW_NS)
        return 0;
    if (in->avail_bytes_per_s)
        return in->avail_bytes_per_s;
    /* A machine with almost nothing to send never fills a window, and waiting gives no measurement: assume more over
     * time. */
    guess = GUESS << GW_MIN(age_ns / GW_NS_PER_S, 20);
    return GW_MAX(guess, age_ns < GW_NS_PER_S ? in->bandwidth.low_bytes_per_s : in->bandwidth.typical_bytes_per_s);
}

void gw_switchover_decide(struct gw_switchover *s, const struct gw_switch_in *in, struct gw_switch_out *ret)
{
    struct gw_switch_out out = {.verdict = GW_SWITCH_CONTINUE, .predicted_ns = UINT64_MAX};
    bool over = !in->pending_bytes || in->dry;
    uint64_t low;

    if (!s->begun) {
        s->begun = true;
        s->begun_ns = s->synced_ns = in->now_ns;
    }
    low = promised_bandwidth(s, in);
    if (in->exact)
        note_sync(s, in);
    else if (over)
        s->stuck_bytes = in->pending_bytes;

    if (low) {
        uint64_t fixed = fixed_ns(in, low), may = bytes_in(low, room_ns(in->limit_ns, fixed)), late = late_bytes(s, in);

        out.predicted_ns = plus(fixed, gw_time_for(plus(in->pending_bytes, late), low));
        out.threshold_bytes = may > late ? may - late : 0;
    }
    if (in->exact) {
        out.reason = judge_exact(s, in, low);
        if (out.reason >= GW_SWITCH_NOTHING_LEFT)
            out.verdict = GW_SWITCH_NOW;
        if (out.verdict == GW_SWITCH_NOW && !in->allowed) {
            out.verdict = GW_SWITCH_CONTINUE;
            out.reason = GW_SWITCH_NOT_ALLOWED;
            out.wait_ns = IDLE_WAIT_NS;
        } else if ((out.reason == GW_SWITCH_NO_WINDOW || out.reason == GW_SWITCH_TOO_MUCH) && in->pending_bytes &&
                   in->pending_bytes <= s->stuck_bytes) {
            out.wait_ns = IDLE_WAIT_NS;
        }
    } else if (over) {
        out.verdict = GW_SWITCH_SYNC;
        out.reason = GW_SWITCH_PASS_OVER;
    } else {
        out.reason = GW_SWITCH_PASS_RUNS;
    }
    *ret = out;
}
