/* SPDX-License-Identifier: MIT */
#include "control/internal.h"

static bool has_ram(enum gw_status status)
{
    return status == GW_STATUS_ACTIVE || status == GW_STATUS_DEVICE || status == GW_STATUS_PRE_SWITCHOVER ||
           status == GW_STATUS_CANCELLING || status == GW_STATUS_COMPLETED || status == GW_STATUS_COLO ||
           (status >= GW_STATUS_POSTCOPY_ACTIVE && status <= GW_STATUS_POSTCOPY_RECOVER);
}

static json_t *ram(const struct gw_stats *s)
{
    const struct {
        const char *key;
        uint64_t value;
    } numbers[] = {
        {"transferred", s->transferred_bytes},
        {"remaining", s->remaining_bytes},
        {"total", s->total_bytes},
        {"duplicate", s->duplicate_pages},
        {"skipped", s->skipped_pages},
        {"normal", s->normal_pages},
        {"normal-bytes", s->normal_bytes},
        {"dirty-pages-rate", s->dirty_pages_rate},
        {"dirty-sync-count", s->dirty_sync_count},
        {"postcopy-requests", s->postcopy_requests},
        {"page-size", s->page_size},
        {"multifd-bytes", s->multifd_bytes},
        {"pages-per-second", s->pages_per_second},
        {"precopy-bytes", s->precopy_bytes},
        {"downtime-bytes", s->downtime_bytes},
        {"postcopy-bytes", s->postcopy_bytes},
        {"dirty-sync-missed-zero-copy", s->dirty_sync_missed_zero_copy},
    };
    json_t *o = json_object();
    bool bad = gw_json_put_real(o, "mbps", s->mbps);

    for (size_t i = 0; i < GW_ARRAY_LEN(numbers); i++)
        bad |= gw_json_put_int(o, numbers[i].key, numbers[i].value);
    if (bad) {
        json_decref(o);
        return NULL;
    }
    return o;
}

/* The members of ram{}; those without a value here exist in QEMU and are 0. */
static json_t *disk(const struct gw_disk_stats *d)
{
    static const char *const none[] = {"duplicate",         "skipped",        "normal",     "normal-bytes",
                                       "dirty-pages-rate",  "dirty-sync-count", "page-size", "postcopy-requests",
                                       "multifd-bytes",     "pages-per-second", "mbps",      "precopy-bytes",
                                       "downtime-bytes",    "postcopy-bytes",   "dirty-sync-missed-zero-copy"};
    json_t *o = json_object();
    bool bad = gw_json_put_int(o, "transferred", d->transferred_bytes);

    bad |= gw_json_put_int(o, "remaining", d->remaining_bytes);
    bad |= gw_json_put_int(o, "total", d->total_bytes);
    for (size_t i = 0; i < GW_ARRAY_LEN(none); i++)
        bad |= gw_json_put_int(o, none[i], 0);
    if (bad) {
        json_decref(o);
        return NULL;
    }
    return o;
}

static json_t *rounds(const struct gw_stats *s)
{
    json_t *list = json_array();

    for (uint32_t i = 0; list && i < GW_MIN(s->rounds_kept, GW_ROUNDS_KEPT); i++) {
        const struct gw_round *r = &s->round[i];
        json_t *o = json_object();
        bool bad = gw_json_put_int(o, "bytes", r->bytes);

        bad |= gw_json_put_int(o, "pages", r->pages);
        bad |= gw_json_put_int(o, "zero-pages", r->zero_pages);
        bad |= gw_json_put_int(o, "duration-us", r->duration_ns / 1000);
        bad |= gw_json_put_int(o, "dirty-pages-at-start", r->dirty_pages_at_start);
        bad |= gw_json_put_int(o, "dirty-pages-per-second", r->dirty_pages_per_s);
        bad |= json_array_append_new(list, o) != 0;
        if (bad) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

static json_t *bytes_by_cause(const struct gw_stats *s)
{
    static const char *const causes[GW_CAUSE_COUNT] = {"head",      "ram-meta", "ram-page", "ram-zero",
                                                       "ram-coded", "device",   "disk",     "vmdesc"};
    json_t *o = json_object();
    bool bad = !o;

    for (size_t i = 0; i < GW_CAUSE_COUNT; i++)
        bad |= gw_json_put_int(o, causes[i], s->bytes_by[i]);
    if (bad) {
        json_decref(o);
        return NULL;
    }
    return o;
}

static json_t *downtime_by_cause(const struct gw_stats *s)
{
    static const char *const causes[GW_DOWNTIME_COUNT] = {"stop", "paused", "sync", "memory", "devices", "load", "hand-over"};
    json_t *o = json_object();
    bool bad = !o;

    for (size_t i = 0; i < GW_DOWNTIME_COUNT; i++)
        if (s->downtime_by[i])
            bad |= gw_json_put_int(o, causes[i], s->downtime_by[i] / 1000);
    if (bad) {
        json_decref(o);
        return NULL;
    }
    return o;
}

/* Values without a QMP name. */
static json_t *extras(struct gw_control *c, bool incoming, const struct gw_stats *s, enum gw_owner owner)
{
    static const char *const owners[] = {"source", "destination", "undecided"};
    static const char *const answers[] = {"unknown", "yes", "no"};
    const char *tracker = gw_vm_tracker_name(c->vm);
    json_t *o = json_object();
    bool bad = gw_json_put_text(o, "side", incoming ? "destination" : "source");

    bad |= gw_json_put_text(o, "owner", owners[owner]);
    if (!incoming && tracker)
        bad |= gw_json_put_text(o, "tracker", tracker);
    bad |= gw_json_put_int(o, "downtime-us", s->downtime_ns / 1000);
    if (s->downtime_ns)
        bad |= gw_json_put(o, "downtime-by-cause-us", downtime_by_cause(s));
    if (!incoming && s->status == GW_STATUS_ACTIVE) {
        bad |= gw_json_put_text(o, "converges", answers[s->converges]);
        if (s->eta_ns != GW_ETA_UNKNOWN)
            bad |= gw_json_put_int(o, "eta-ms", s->eta_ns / GW_NS_PER_MS);
    }
    if (s->downtime_limit_ns)
        bad |= gw_json_put_int(o, "downtime-limit-ms", s->downtime_limit_ns / GW_NS_PER_MS);
    if (s->tended[0])
        bad |= gw_json_put_text(o, "tended", s->tended);
    if (s->packed_pages)
        bad |= gw_json_put_int(o, "packed-pages", s->packed_pages);
    bad |= gw_json_put_int(o, "rounds", s->rounds);
    bad |= gw_json_put(o, "round", rounds(s));
    bad |= gw_json_put_int(o, "transferred", s->transferred_bytes);
    bad |= gw_json_put(o, "bytes-by-cause", bytes_by_cause(s));
    if (s->error.code)
        bad |= gw_json_put_text(o, "blame", gw_blame_name(s->error.blame));
    if (bad) {
        json_decref(o);
        return NULL;
    }
    return o;
}

static json_t *xbzrle_cache(const struct gw_xbzrle_stats *x)
{
    json_t *o = json_object();
    bool bad = gw_json_put_int(o, "cache-size", x->cache_bytes);

    bad |= gw_json_put_int(o, "bytes", x->bytes);
    bad |= gw_json_put_int(o, "pages", x->pages);
    bad |= gw_json_put_int(o, "cache-miss", x->misses);
    bad |= gw_json_put_real(o, "cache-miss-rate", x->miss_rate);
    bad |= gw_json_put_real(o, "encoding-rate", x->encoding_rate);
    bad |= gw_json_put_int(o, "overflow", x->overflows);
    if (bad) {
        json_decref(o);
        return NULL;
    }
    return o;
}

static json_t *compression(const struct gw_compression_stats *c)
{
    json_t *o = json_object();
    bool bad = gw_json_put_int(o, "pages", c->pages);

    bad |= gw_json_put_int(o, "busy", c->busy);
    bad |= gw_json_put_real(o, "busy-rate", c->busy_rate);
    bad |= gw_json_put_int(o, "compressed-size", c->bytes);
    bad |= gw_json_put_real(o, "compression-rate", c->compression_rate);
    if (bad) {
        json_decref(o);
        return NULL;
    }
    return o;
}

static bool put_source(struct gw_control *c, json_t *o, const struct gw_stats *s)
{
    bool completed = s->status == GW_STATUS_COMPLETED, dirty_limit = false, bad = false;
    bool postcopy = s->status >= GW_STATUS_POSTCOPY_ACTIVE && s->status <= GW_STATUS_POSTCOPY_RECOVER;

    if (!has_ram(s->status))
        return false;
    bad |= gw_json_put_int(o, "total-time", s->total_time_ns / GW_NS_PER_MS);
    bad |= gw_json_put_int(o, "setup-time", s->setup_time_ns / GW_NS_PER_MS);
    if (completed || postcopy)
        bad |= gw_json_put_int(o, "downtime", s->downtime_ns / GW_NS_PER_MS);
    else
        bad |= gw_json_put_int(o, "expected-downtime", s->expected_downtime_ns / GW_NS_PER_MS);
    bad |= gw_json_put(o, "ram", ram(s));
    if (s->disk.total_bytes)
        bad |= gw_json_put(o, "disk", disk(&s->disk));
    if (s->xbzrle.cache_bytes)
        bad |= gw_json_put(o, "xbzrle-cache", xbzrle_cache(&s->xbzrle));
    if (s->compression.threads)
        bad |= gw_json_put(o, "compression", compression(&s->compression));
    if (s->cpu_throttle_percentage)
        bad |= gw_json_put_int(o, "cpu-throttle-percentage", s->cpu_throttle_percentage);
    gw_options_get_capability(gw_vm_options(c->vm), "dirty-limit", &dirty_limit, NULL);
    if (dirty_limit)
        bad |= gw_json_put_int(o, "dirty-limit-throttle-time-per-round", s->dirty_limit_throttle_time_ns / 1000);
    return bad;
}

struct reasons {
    json_t *list;
    bool bad;
};

static void add_reason(void *opaque, const char *reason)
{
    struct reasons *r = opaque;

    r->bad |= json_array_append_new(r->list, json_string(reason)) != 0;
}

int gw_info_build(struct gw_control *c, bool incoming, const struct gw_stats *stats, enum gw_owner owner,
                  const char *address, json_t **ret_info, struct gw_error *err)
{
    struct reasons blocked = {json_array(), false};
    json_t *o = json_object();
    bool bad = !o || !blocked.list;

    if (stats && stats->status != GW_STATUS_NONE) {
        bad |= gw_json_put_text(o, "status", gw_status_name(stats->status));
        bad |= !incoming && put_source(c, o, stats);
        if (stats->error.code)
            bad |= gw_json_put_text(o, "error-desc", stats->error.text);
        bad |= gw_json_put(o, "x-godwit", extras(c, incoming, stats, owner));
    }
    if (address && *address) {
        json_t *socket = gw_address_to_json(address);

        if (socket)
            bad |= gw_json_put(o, "socket-address", json_pack("[o]", socket));
    }
    gw_vm_for_each_blocker(c->vm, add_reason, &blocked);
    bad |= blocked.bad;
    if (json_array_size(blocked.list))
        bad |= gw_json_put(o, "blocked-reasons", json_incref(blocked.list));
    json_decref(blocked.list);
    return gw_json_finish(o, bad, ret_info, err);
}
