/* SPDX-License-Identifier: MIT */
#include "engine/send.h"

#include "wire/numbers.h"

#include <stdio.h>

#define STEP_NS (50 * GW_NS_PER_MS)
/* A drain that took no longer needs no second look at what the guest wrote meanwhile; one that takes longer than this
 * waits for a link that is as good as dead. */
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

/* ---- one step -----------------------------------------------------------------------------------------------------
 */

struct step {
    struct gw_budget budget;
    struct gw_send *send;
    uint64_t until_ns, bytes, limit_bytes;
};

/* Where things stood at a moment. */
struct mark {
    struct gw_account_sums sent;
    struct gw_progress put;
    uint64_t queued, ns;
};

static bool spent(struct gw_budget *b, uint64_t bytes_put)
{
    struct step *t = b->opaque;

    t->bytes += bytes_put;
    return t->bytes >= t->limit_bytes || now(t->send) >= t->until_ns ||
           gw_session_check(&t->send->session, NULL) < 0;
}

static uint64_t put_pages(const struct gw_progress *p)
{
    return p->plain_pages + p->zero_pages + p->coded_pages;
}

uint64_t gw_send_share(struct gw_send *s)
{
    uint64_t rate = param(s, GW_PARAM_MAX_BANDWIDTH);

    gw_pace_set(&s->pace, rate);
    return rate ? GW_MAX(rate / 100, 4096) : UINT64_MAX;
}

static void take_mark(struct gw_send *s, struct mark *m)
{
    gw_account_read(&s->account, &m->sent);
    m->put = gw_plan_progress(&s->plan);
    m->queued = gw_channel_queued(s->channel);
    m->ns = now(s);
}

/* What was carried between the two. What only made the queue longer has not been yet. */
static struct gw_window_sample carried(const struct gw_send *s, const struct mark *a, const struct mark *b)
{
    uint64_t put = b->sent.bytes - a->sent.bytes, coded = b->sent.by[GW_CAUSE_RAM_CODED] - a->sent.by[GW_CAUSE_RAM_CODED];
    uint64_t pages = b->put.coded_pages + b->put.packed_pages - a->put.coded_pages - a->put.packed_pages;
    uint64_t before = put - coded + pages * s->session.vm->ram.page_bytes; /* as it was before it was coded */
    struct gw_window_sample step = {
        .wire_bytes = put + a->queued > b->queued ? put + a->queued - b->queued : 0,
        .pages = put_pages(&b->put) - put_pages(&a->put),
        .ns = b->ns - a->ns,
    };

    step.bytes = put ? (uint64_t)((unsigned __int128)step.wire_bytes * before / put) : step.wire_bytes;
    return step;
}

static bool comes_first(struct gw_live *live)
{
    return live->ops->first && live->ops->first(live);
}

bool gw_send_in_bulk(const struct gw_send *s)
{
    for (unsigned i = 0; i < s->plan.lives; i++)
        if (comes_first(s->plan.live[i]))
            return true;
    return false;
}

/* In their order; each gets an even share of what the ones before it have left over, so that none starves. */
static int put_parts(struct gw_send *s, uint64_t limit, uint64_t began_ns, bool *ret_dry, struct gw_error *err)
{
    struct step t = {.send = s};
    bool dry = true, alone = false;
    int r = 0;

    for (unsigned i = 0; r >= 0 && !alone && i < s->plan.lives; i++) {
        struct gw_live *live = s->plan.live[i];
        unsigned share = s->plan.lives - i;

        if (gw_live_left_out(live, true))
            continue;
        t.limit_bytes = t.bytes + (limit - t.bytes) / share;
        t.until_ns = now(s) + (STEP_NS - GW_MIN(now(s) - began_ns, STEP_NS)) / share;
        t.budget = (struct gw_budget){.spent = spent, .opaque = &t, .batch_bytes = limit};
        gw_send_section(s, GW_SECTION_PART, live);
        r = live->ops->step(live, &s->writer, &t.budget, err);
        gw_send_footer(s, live);
        alone = comes_first(live);
        dry &= r > 0 && !alone;
    }
    if (r >= 0)
        r = gw_send_flush(s, err);
    *ret_dry = dry;
    return r;
}

/* What was measured between the two goes into the bandwidth window. */
static void book(struct gw_send *s, const struct mark *before, const struct mark *after, bool dry)
{
    const struct gw_trace *trace = &s->session.vm->trace;
    struct gw_window_sample sent = carried(s, before, after);

    gw_window_add(&s->window, &sent);
    if (dry)
        gw_window_flush(&s->window);
    gw_trace_step(trace, sent.wire_bytes, sent.pages, sent.ns);
    if (gw_trace_wants(trace, GW_TRACE_policy)) {
        char line[GW_RECORD_LINE];

        gw_record_window(line, &sent);
        gw_trace_policy(trace, line);
        if (dry)
            gw_trace_policy(trace, "f");
    }
}

int gw_send_parts(struct gw_send *s, uint64_t limit_bytes, uint64_t *ret_bytes, bool *ret_dry, struct gw_error *err)
{
    struct mark before, after;
    int r;

    take_mark(s, &before);
    r = put_parts(s, limit_bytes, before.ns, ret_dry, err);
    if (r < 0)
        return r;
    take_mark(s, &after);
    *ret_bytes = after.sent.bytes - before.sent.bytes;
    book(s, &before, &after, *ret_dry);
    return 0;
}

/* Sleeps for the rate limit. *ret_dry: nothing was left in any section. */
static int step(struct gw_send *s, bool *ret_dry, struct gw_error *err)
{
    struct mark before, after;
    uint64_t wait;
    int r;

    take_mark(s, &before);
    r = put_parts(s, gw_send_share(s), before.ns, ret_dry, err);
    if (r < 0)
        return r;
    take_mark(s, &after);
    while ((wait = gw_pace_ask(&s->pace, after.sent.bytes - before.sent.bytes)) && gw_send_check(s, NULL) >= 0)
        gw_send_sleep(s, wait);
    after.queued = gw_channel_queued(s->channel);
    after.ns = now(s);
    book(s, &before, &after, *ret_dry);
    gw_send_publish(s);
    return 0;
}

/* ---- rounds -------------------------------------------------------------------------------------------------------
 */

static void end_round(struct gw_send *s, uint64_t fresh_pages)
{
    struct gw_stats *st = &s->session.stats;
    const struct gw_vm *vm = s->session.vm;
    struct gw_progress c = gw_plan_progress(&s->plan);
    uint64_t t = now(s), limited_ns = vm->ops->limited_ns ? vm->ops->limited_ns(vm->opaque) : 0;

    s->round.bytes = gw_account_bytes(&s->account) - s->round_offset;
    s->round.zero_pages = c.zero_pages - s->round_progress.zero_pages;
    s->round.pages = put_pages(&c) - put_pages(&s->round_progress);
    s->round.duration_ns = t - s->round_began_ns;
    s->round.dirty_pages_per_s = gw_rate_per_s(fresh_pages, s->round.duration_ns);
    gw_period_add(&s->dirtied, t, fresh_pages);
    gw_trace_round(&s->session.vm->trace, st->rounds + 1ull, s->round.bytes, fresh_pages, s->round.duration_ns);
    pthread_mutex_lock(&s->session.lock);
    if (st->rounds_kept == GW_ROUNDS_KEPT)
        memmove(&st->round[0], &st->round[1], (GW_ROUNDS_KEPT - 1) * sizeof st->round[0]);
    else
        st->rounds_kept++;
    st->round[st->rounds_kept - 1] = s->round;
    st->rounds++;
    st->dirty_pages_rate = s->dirtied.per_s;
    st->dirty_limit_throttle_time_ns = limited_ns - s->limited_ns;
    gw_history_end_round(&s->history, t, &s->round, fresh_pages << vm->ram.page_bits);
    pthread_mutex_unlock(&s->session.lock);
    s->limited_ns = limited_ns;
    s->round_offset += s->round.bytes;
    s->round_progress = c;
    s->round_began_ns = t;
}

static int pending(struct gw_send *s, bool exact, struct gw_pending *ret, struct gw_error *err)
{
    *ret = (struct gw_pending){0};
    for (unsigned i = 0; i < s->plan.lives; i++) {
        struct gw_pending p;
        int r = s->plan.live[i]->ops->pending(s->plan.live[i], exact, &p, err);

        if (r < 0)
            return r;
        ret->must_precopy_bytes += p.must_precopy_bytes;
        ret->can_postcopy_bytes += p.can_postcopy_bytes;
        ret->fresh_bytes += p.fresh_bytes;
    }
    return 0;
}

static void begin_round(struct gw_send *s, uint64_t fresh_bytes, uint64_t due_bytes)
{
    uint64_t fresh_pages = fresh_bytes >> s->session.vm->ram.page_bits;

    s->round = (struct gw_round){.dirty_pages_at_start = fresh_pages};
    pthread_mutex_lock(&s->session.lock);
    s->syncs++;
    gw_history_begin_round(&s->history, now(s), due_bytes);
    pthread_mutex_unlock(&s->session.lock);
    gw_session_event(&s->session, GW_EVENT_PASS, s->syncs);
}

/* Around a sync they are hints: what they say is told, and the migration goes on. */
static void notify(struct gw_send *s, enum gw_notify what)
{
    struct gw_error err = GW_ERROR_INIT;

    if (gw_vm_notify(s->session.vm, what, &err) < 0)
        gw_session_log(&s->session, "%s a dirty sync: %s", what == GW_NOTIFY_BEFORE_SYNC ? "before" : "after", err.text);
}

int gw_send_first_round(struct gw_send *s, struct gw_error *err)
{
    struct gw_pending p;
    int r;

    notify(s, GW_NOTIFY_BEFORE_SYNC);
    r = pending(s, false, &p, err);
    if (r < 0)
        return r;
    begin_round(s, p.must_precopy_bytes + p.can_postcopy_bytes, p.must_precopy_bytes + p.can_postcopy_bytes);
    notify(s, GW_NOTIFY_AFTER_SYNC);
    return 0;
}

int gw_send_sync(struct gw_send *s, bool last, uint64_t *ret_bytes, struct gw_error *err)
{
    struct gw_vm *vm = s->session.vm;
    struct gw_pending p;
    int r;

    notify(s, GW_NOTIFY_BEFORE_SYNC);
    if (last)
        gw_ram_seal(&vm->ram, true);
    r = pending(s, true, &p, err);
    if (r < 0)
        return r;
    s->last_dirty_bytes = p.fresh_bytes;
    s->set_bytes = GW_MAX(s->set_bytes, s->last_dirty_bytes);
    end_round(s, p.fresh_bytes >> vm->ram.page_bits);
    *ret_bytes = p.must_precopy_bytes + p.can_postcopy_bytes;
    begin_round(s, p.fresh_bytes, *ret_bytes);
    notify(s, GW_NOTIFY_AFTER_SYNC);
    return 0;
}

void gw_send_last_round(struct gw_send *s)
{
    struct gw_progress c = gw_plan_progress(&s->plan);
    struct gw_round last = {
        .bytes = gw_account_bytes(&s->account) - s->round_offset,
        .pages = put_pages(&c) - put_pages(&s->round_progress),
        .zero_pages = c.zero_pages - s->round_progress.zero_pages,
    };

    pthread_mutex_lock(&s->session.lock);
    gw_history_end_round(&s->history, now(s), &last, 0);
    pthread_mutex_unlock(&s->session.lock);
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

/* ---- decisions ----------------------------------------------------------------------------------------------------
 */

/* What is due, as far as is known without looking again. */
static int known_pending(struct gw_send *s, uint64_t *ret_bytes, struct gw_error *err)
{
    struct gw_pending p;
    int r = pending(s, false, &p, err);

    *ret_bytes = p.must_precopy_bytes + p.can_postcopy_bytes;
    return r;
}

bool gw_send_may_switch(struct gw_send *s)
{
    bool ack = gw_options_cap(s->session.vm->options, GW_CAP_SWITCHOVER_ACK) && gw_vm_running(s->session.vm), may;

    /* Until the peer has answered it is not known how the guest changes hands. */
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
    /* The last data go there, the answer comes back, the last word goes there. */
    s->costs.answer_ns = s->rtt_ns + s->rtt_ns / 2;
}

/* Waits until the destination has taken all that was sent: that may be megabytes in the socket buffers of both sides,
 * and the machine, which runs meanwhile, need not stand still for them. */
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

/* What is to be expected, for who looks: decides nothing. */
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
        r = step(s, &dry, err);
        if (r < 0)
            return r;
    }
}
