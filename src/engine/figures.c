/* SPDX-License-Identifier: MIT */
#include "engine/send.h"

#include "base/sized.h"

static uint64_t now(const struct gw_send *s)
{
    return gw_now_ns(&s->session.vm->clock);
}

void gw_send_publish(struct gw_send *s)
{
    struct gw_stats *st = &s->session.stats;
    uint32_t page = s->session.vm->ram.page_bytes;
    uint64_t t = now(s);
    struct gw_progress c = gw_plan_progress(&s->plan);
    bool runs = gw_vm_running(s->session.vm);
    struct gw_account_sums sent;
    uint64_t ram;

    gw_account_read(&s->account, &sent);
    ram = sent.by[GW_CAUSE_RAM_META] + sent.by[GW_CAUSE_RAM_PAGE] + sent.by[GW_CAUSE_RAM_ZERO] + sent.by[GW_CAUSE_RAM_CODED];
    pthread_mutex_lock(&s->session.lock);
    st->transferred_bytes = sent.bytes;
    memcpy(st->bytes_by, sent.by, sizeof st->bytes_by);
    st->remaining_bytes = c.remaining_bytes;
    st->total_bytes = c.total_bytes;
    st->duplicate_pages = c.zero_pages;
    st->normal_pages = c.plain_pages;
    st->normal_bytes = c.plain_pages * page;
    st->packed_pages = c.packed_pages;
    st->skipped_pages = c.skipped_pages;
    st->multifd_bytes = c.channel_bytes;
    st->dirty_sync_missed_zero_copy = c.missed_zero_copy;
    st->xbzrle = c.xbzrle;
    st->compression = c.compression;
    st->disk = c.disk;
    st->dirty_sync_count = s->syncs;
    st->page_size = page;
    st->pages_per_second = s->bandwidth.pages_per_s;
    st->mbps = gw_window_mbps(&s->window);
    *(runs ? &st->precopy_bytes : s->postcopy && s->followed ? &st->postcopy_bytes : &st->downtime_bytes) += ram - s->ram_bytes;
    st->postcopy_requests = s->plan.requests ? gw_requests_count(s->plan.requests) : 0;
    s->ram_bytes = ram;
    gw_earlier_add(s->earlier, st);
    st->cpu_throttle_percentage = s->throttle.percent;
    st->total_time_ns = t - s->began_ns;
    if (s->active_ns && !s->earlier)
        st->setup_time_ns = s->active_ns - s->started_ns;
    gw_history_sample(&s->history, (struct gw_sample){t, sent.bytes, st->remaining_bytes, 0, s->throttle.percent},
                      !runs);
    pthread_mutex_unlock(&s->session.lock);
}

void gw_send_lap(struct gw_send *s, enum gw_downtime cause)
{
    uint64_t t = now(s);

    s->downtime_by[cause] += t - s->lap_ns;
    s->lap_ns = t;
}

void gw_send_downtime(struct gw_send *s, enum gw_downtime cause)
{
    struct gw_stats *st = &s->session.stats;

    gw_send_lap(s, cause);
    pthread_mutex_lock(&s->session.lock);
    st->downtime_ns = s->lap_ns - s->stop_ns;
    memcpy(st->downtime_by, s->downtime_by, sizeof st->downtime_by);
    pthread_mutex_unlock(&s->session.lock);
}

void gw_send_stats_sized(struct gw_send *s, struct gw_stats *ret_stats, size_t stats_bytes)
{
    struct gw_session *x = &s->session;
    struct gw_stats stats;

    pthread_mutex_lock(&x->lock);
    stats = x->stats;
    if (!x->ended)
        stats.total_time_ns = now(s) - s->began_ns;
    pthread_mutex_unlock(&x->lock);
    gw_sized_out(ret_stats, stats_bytes, &stats, sizeof stats);
}

void gw_send_history_sized(struct gw_send *s, struct gw_history *ret_history, size_t history_bytes)
{
    pthread_mutex_lock(&s->session.lock);
    gw_sized_out(ret_history, history_bytes, &s->history.h, sizeof s->history.h);
    pthread_mutex_unlock(&s->session.lock);
}
