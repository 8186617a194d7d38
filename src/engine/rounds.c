/* SPDX-License-Identifier: MIT */
#include "engine/rounds.h"

static uint64_t now(const struct gw_send *s)
{
    return gw_now_ns(&s->session.vm->clock);
}

static void end_round(struct gw_send *s, uint64_t fresh_pages)
{
    struct gw_stats *st = &s->session.stats;
    const struct gw_vm *vm = s->session.vm;
    struct gw_progress c = gw_plan_progress(&s->plan);
    uint64_t t = now(s), limited_ns = vm->ops->limited_ns ? vm->ops->limited_ns(vm->opaque) : 0;

    s->round.bytes = gw_account_bytes(&s->account) - s->round_offset;
    s->round.zero_pages = c.zero_pages - s->round_progress.zero_pages;
    s->round.pages = gw_progress_pages(&c) - gw_progress_pages(&s->round_progress);
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

int gw_send_pending(struct gw_send *s, bool exact, struct gw_pending *ret, struct gw_error *err)
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

/* Around a sync, notifiers only give hints: an error is logged, and the migration goes on. */
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
    r = gw_send_pending(s, false, &p, err);
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
    r = gw_send_pending(s, true, &p, err);
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
        .pages = gw_progress_pages(&c) - gw_progress_pages(&s->round_progress),
        .zero_pages = c.zero_pages - s->round_progress.zero_pages,
    };

    pthread_mutex_lock(&s->session.lock);
    gw_history_end_round(&s->history, now(s), &last, 0);
    pthread_mutex_unlock(&s->session.lock);
}
