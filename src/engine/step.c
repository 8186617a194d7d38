/* SPDX-License-Identifier: MIT */
#include "engine/rounds.h"

#define STEP_NS (50 * GW_NS_PER_MS)

static uint64_t now(const struct gw_send *s)
{
    return gw_now_ns(&s->session.vm->clock);
}

struct step {
    struct gw_budget budget;
    struct gw_send *send;
    uint64_t until_ns, bytes, limit_bytes;
};

/* The counters at one instant. */
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

uint64_t gw_send_share(struct gw_send *s)
{
    uint64_t rate = gw_options_param(s->session.vm->options, GW_PARAM_MAX_BANDWIDTH);

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

/* Bytes that were sent between the two marks. Bytes that are still queued in the channel do not count. */
static struct gw_window_sample carried(const struct gw_send *s, const struct mark *a, const struct mark *b)
{
    uint64_t put = b->sent.bytes - a->sent.bytes, coded = b->sent.by[GW_CAUSE_RAM_CODED] - a->sent.by[GW_CAUSE_RAM_CODED];
    uint64_t pages = b->put.coded_pages + b->put.packed_pages - a->put.coded_pages - a->put.packed_pages;
    /* size of the pages before they were encoded */
    uint64_t before = put - coded + pages * s->session.vm->ram.page_bytes;
    struct gw_window_sample step = {
        .wire_bytes = put + a->queued > b->queued ? put + a->queued - b->queued : 0,
        .pages = gw_progress_pages(&b->put) - gw_progress_pages(&a->put),
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

/* Writes a PART of each section, in their order; each gets an even share of what the earlier ones have left over, so
 * that none starves. */
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

/* Adds the measurement between the two marks to the bandwidth window. */
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

int gw_send_step(struct gw_send *s, bool *ret_dry, struct gw_error *err)
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

int gw_send_all(struct gw_send *s, uint64_t step_bytes,
                int (*rest)(struct gw_send *s, uint64_t put_bytes, bool *ret_dry, struct gw_error *err), struct gw_error *err)
{
    bool dry = false;
    uint64_t bytes;
    int r = 0;

    while (r >= 0 && !dry) {
        r = gw_send_check(s, err);
        if (r >= 0)
            r = gw_send_parts(s, step_bytes ? step_bytes : gw_send_share(s), &bytes, &dry, err);
        if (r >= 0 && rest)
            r = rest(s, bytes, &dry, err);
        gw_send_publish(s);
    }
    return r;
}
