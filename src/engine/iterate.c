/* SPDX-License-Identifier: MIT */
#include "engine/rounds.h"

#include <stdio.h>

/* SHORT: a drain that took no longer needs no second sync for what the guest wrote meanwhile. MAX: a link that needs
 * longer is as good as dead. */
#define DRAIN_SHORT_NS GW_NS_PER_MS
#define DRAIN_MAX_NS   (5 * GW_NS_PER_S)

static uint64_t now(const struct gw_send *s)
{
    return gw_now_ns(&s->session.vm->clock);
}

static uint64_t param(const struct gw_send *s, enum gw_parameter p)
{
    return gw_options_param(s->session.vm->options, p);
}

static void throttle(struct gw_send *s)
{
    struct gw_vm *vm = s->session.vm;
    const struct gw_throttle_params p = gw_send_throttle(s);
    struct gw_throttle_out out;
    uint64_t t = now(s);

    gw_throttle_round(&s->throttle, &p, t, s->last_dirty_bytes, gw_account_bytes(&s->account), &out);
    if (gw_trace_wants(&vm->trace, GW_TRACE_policy)) {
        char line[GW_RECORD_LINE];

        gw_record_throttle(line, &p, t, s->last_dirty_bytes, gw_account_bytes(&s->account), &out);
        gw_trace_policy(&vm->trace, line);
    }
    if (!out.changed)
        return;
    if (p.auto_converge)
        vm->ops->throttle(vm->opaque, out.percent);
    else if (p.dirty_limit)
        vm->ops->dirty_limit(vm->opaque, out.vcpu_bytes_per_s);
}

static bool sync_due(struct gw_send *s)
{
    const struct gw_throttle_params p = gw_send_throttle(s);

    return gw_throttle_sync_due(&s->throttle, &p, now(s));
}


/* The bytes that are due, without a new sync. */
static int known_pending(struct gw_send *s, uint64_t *ret_bytes, struct gw_error *err)
{
    struct gw_pending p;
    int r = gw_send_pending(s, false, &p, err);

    *ret_bytes = p.must_precopy_bytes + p.can_postcopy_bytes;
    return r;
}

bool gw_send_may_switch(struct gw_send *s)
{
    bool ack = s->plan.ways.switchover_ack && gw_vm_running(s->session.vm), may;

    /* Until the peer has answered, it is not known whether the machine changes hands in two steps. */
    pthread_mutex_lock(&s->session.lock);
    may = gw_rp_knows_peer(&s->rp) && (!ack || s->rp.switchover_ack);
    pthread_mutex_unlock(&s->session.lock);
    return may;
}

static void note_round_trip(struct gw_send *s)
{
    pthread_mutex_lock(&s->session.lock);
    if (s->pings && s->rp.pongs == s->pings && s->rp.pong_ns > s->ping_ns) {
        uint64_t ns = s->rp.pong_ns - s->ping_ns;

        s->rtt_ns = s->rtt_ns ? GW_MIN(s->rtt_ns, ns) : ns;
    }
    pthread_mutex_unlock(&s->session.lock);
    /* One way for the last data, one way for the answer, one way for COMMIT. */
    s->costs.answer_ns = s->rtt_ns + s->rtt_ns / 2;
}

/* Waits until the destination has received everything that was sent: the socket buffers of both sides may hold
 * megabytes, and the machine still runs while they are emptied. */
static int drain(struct gw_send *s, uint64_t *ret_ns, struct gw_error *err)
{
    uint64_t t = now(s), deadline = t + DRAIN_MAX_NS;
    int r;

    *ret_ns = 0;
    if (!s->rp.running)
        return 0;
    gw_send_ping(s, 2);
    r = gw_send_flush(s, err);
    if (r < 0)
        return r;
    pthread_mutex_lock(&s->session.lock);
    while (s->rp.pongs < s->pings && !s->rp.ended && !s->session.cancelled && !s->session.yanked &&
           gw_session_wait_until(&s->session, deadline))
        ;
    pthread_mutex_unlock(&s->session.lock);
    *ret_ns = now(s) - t;
    gw_trace_drain(&s->session.vm->trace, *ret_ns);
    return gw_send_check(s, err);
}

/* Predicts the end, for the statistics; decides nothing. */
static void predict(struct gw_send *s, const struct gw_switch_in *in, const struct gw_switch_out *decided)
{
    static const char *const words[] = {"unknown", "yes", "no"};
    const struct gw_predict_in question = {
        .pending_bytes = in->pending_bytes,
        .pass_ns = in->now_ns - s->round_began_ns,
        .rate_known = s->set_bytes != 0,
        .dirty_bytes_per_s = gw_switchover_dirty_rate(&s->switchover),
        .set_bytes = s->set_bytes,
        .bytes_per_s = s->bandwidth.typical_bytes_per_s,
        .threshold_bytes = decided->threshold_bytes,
        .sync_ns = s->costs.sync_ns,
    };
    struct gw_predict_out answer;

    gw_predict(&question, &answer);
    gw_trace_predict(&s->session.vm->trace, words[answer.converges], answer.eta_ns, answer.passes, answer.rest_bytes);
    pthread_mutex_lock(&s->session.lock);
    s->session.stats.converges = (enum gw_converges)answer.converges;
    s->session.stats.eta_ns = answer.eta_ns; /* UINT64_MAX is GW_ETA_UNKNOWN */
    s->session.stats.expected_downtime_ns =
        gw_predict_expected_downtime_ns(s->last_dirty_bytes, s->bandwidth.typical_bytes_per_s, in->limit_ns);
    pthread_mutex_unlock(&s->session.lock);
}

static int decide(struct gw_send *s, bool exact, bool dry, struct gw_switch_out *ret, struct gw_error *err)
{
    struct gw_switch_in in = {
        .exact = exact,
        .dry = dry,
        .allowed = gw_send_may_switch(s),
        .take = gw_tend_takes(&s->tend),
        .limit_ns = gw_send_limit(s),
        .in_flight_bytes = gw_channel_queued(s->channel),
        .avail_bytes_per_s = param(s, GW_PARAM_AVAIL_SWITCHOVER_BANDWIDTH),
    };
    uint64_t t = now(s);
    int r = exact ? gw_send_sync(s, false, &in.pending_bytes, err) : known_pending(s, &in.pending_bytes, err);

    if (r < 0)
        return r;
    in.now_ns = now(s);
    if (exact) {
        s->costs.sync_ns = in.now_ns - t;
        in.dirty_bytes = s->last_dirty_bytes;
        throttle(s);
    }
    note_round_trip(s);
    in.costs = s->costs;
    gw_window_estimate(&s->window, in.limit_ns, &s->bandwidth);
    in.bandwidth = s->bandwidth;
    gw_switchover_decide(&s->switchover, &in, ret);
    if (exact) {
        pthread_mutex_lock(&s->session.lock);
        gw_history_limit(&s->history, ret->threshold_bytes);
        pthread_mutex_unlock(&s->session.lock);
    }
    if (gw_trace_wants(&s->session.vm->trace, GW_TRACE_policy)) {
        char line[GW_RECORD_LINE];

        gw_record_switch(line, &in, ret);
        gw_trace_policy(&s->session.vm->trace, line);
    }
    if (exact && ret->verdict != GW_SWITCH_NOW && !gw_send_in_bulk(s))
        gw_send_tend(s, &in, ret);
    predict(s, &in, ret);
    return 0;
}

static int check_answers(struct gw_send *s, struct gw_error *err)
{
    bool silent;

    pthread_mutex_lock(&s->session.lock);
    silent = !gw_rp_knows_peer(&s->rp);
    pthread_mutex_unlock(&s->session.lock);
    if (!silent || !s->timeout_ns || now(s) - s->active_ns < s->timeout_ns)
        return 0;
    return gw_fail(err, -ETIMEDOUT, GW_BLAME_CHANNEL, "the destination has not answered a PING for %" PRIu64 " ms",
                   (uint64_t)(s->timeout_ns / GW_NS_PER_MS));
}

int gw_send_iterate(struct gw_send *s, struct gw_error *err)
{
    bool dry = false;
    int r;

    s->active_ns = s->round_began_ns = now(s);
    gw_period_begin(&s->dirtied, s->active_ns);
    gw_window_init(&s->window);
    gw_switchover_init(&s->switchover);
    gw_tend_init(&s->tend);
    gw_throttle_init(&s->throttle, s->active_ns);
    if (gw_trace_wants(&s->session.vm->trace, GW_TRACE_policy)) {
        char line[32];

        snprintf(line, sizeof line, "b %" PRIu64, s->active_ns);
        gw_trace_policy(&s->session.vm->trace, line);
    }
    for (;;) {
        struct gw_switch_out out;

        r = gw_send_check(s, err);
        if (r >= 0)
            r = check_answers(s, err);
        if (r >= 0)
            r = gw_send_postcopy_due(s, err);
        if (r > 0)
            return 0;
        if (r >= 0)
            r = decide(s, false, dry, &out, err);
        if (r >= 0 && (out.verdict == GW_SWITCH_SYNC || sync_due(s)))
            r = decide(s, true, false, &out, err);
        if (r < 0)
            return r;
        if (out.verdict == GW_SWITCH_NOW) {
            uint64_t ns;

            r = drain(s, &ns, err);
            if (r >= 0 && ns > DRAIN_SHORT_NS)
                r = decide(s, true, false, &out, err);
            if (r < 0 || out.verdict == GW_SWITCH_NOW)
                return r;
        }
        if (out.wait_ns)
            gw_send_sleep(s, GW_MIN(out.wait_ns, 100 * GW_NS_PER_MS));
        r = gw_send_step(s, &dry, err);
        if (r < 0)
            return r;
    }
}
