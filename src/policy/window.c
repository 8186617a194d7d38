/* SPDX-License-Identifier: MIT */
#include "policy/window.h"

#define FLUSH_NS    (5 * GW_NS_PER_MS)
#define FLUSH_BYTES GW_MIB
#define PATIENCE_NS GW_NS_PER_S /* how long a window without bytes may last */
#define LONG_COUNTS 4u          /* one window counts as this many at most */
/* A smaller and faster step measures the cost of calls, not the link. */
#define STEP_IDLE_BYTES 512u
#define STEP_IDLE_NS    GW_NS_PER_MS

uint64_t gw_rate_per_s(uint64_t bytes, uint64_t ns)
{
    unsigned __int128 r;

    if (!ns)
        return 0;
    r = (unsigned __int128)bytes * GW_NS_PER_S / ns;
    return r > UINT64_MAX ? UINT64_MAX : (uint64_t)r;
}

uint64_t gw_time_for(uint64_t bytes, uint64_t bytes_per_s)
{
    unsigned __int128 r;

    if (!bytes)
        return 0;
    if (!bytes_per_s)
        return UINT64_MAX;
    r = (unsigned __int128)bytes * GW_NS_PER_S / bytes_per_s;
    return r > UINT64_MAX ? UINT64_MAX : (uint64_t)r;
}

void gw_window_init(struct gw_window *w)
{
    *w = (struct gw_window){0};
}

static void end_window(struct gw_window *w)
{
    uint64_t counts = GW_MIN(GW_MAX(w->open.ns / GW_WINDOW_NS, 1), LONG_COUNTS);
    struct gw_window_sample one = {w->open.bytes / counts, w->open.wire_bytes / counts, w->open.pages / counts,
                                   w->open.ns / counts};

    while (counts--)
        w->kept[w->ended++ % GW_WINDOW_KEPT] = one;
    w->open = (struct gw_window_sample){0};
}

bool gw_window_add(struct gw_window *w, const struct gw_window_sample *step)
{
    if (step->bytes < STEP_IDLE_BYTES && step->ns < STEP_IDLE_NS)
        return false;
    w->open.bytes += step->bytes;
    w->open.wire_bytes += step->wire_bytes;
    w->open.pages += step->pages;
    w->open.ns += step->ns;
    if (w->open.ns < GW_WINDOW_NS)
        return false;
    if (w->open.bytes < GW_WINDOW_IDLE_BYTES) {
        if (w->open.ns < PATIENCE_NS)
            return false;
        /* No bytes for a second: either a wait was counted as sending, or the link has stalled, which stall.h handles.
         */
        if (!w->open.bytes) {
            w->open = (struct gw_window_sample){0};
            return false;
        }
    }
    end_window(w);
    return true;
}

bool gw_window_flush(struct gw_window *w)
{
    if (w->open.ns < FLUSH_NS || w->open.bytes < FLUSH_BYTES)
        return false;
    end_window(w);
    return true;
}

static void sort(uint64_t *v, unsigned n)
{
    for (unsigned i = 1; i < n; i++) {
        uint64_t x = v[i];
        unsigned k = i;

        for (; k && v[k - 1] > x; k--)
            v[k] = v[k - 1];
        v[k] = x;
    }
}

/* i counts back from the latest window. */
static const struct gw_window_sample *at(const struct gw_window *w, unsigned i)
{
    return &w->kept[(w->ended - 1 - i) % GW_WINDOW_KEPT];
}

void gw_window_estimate(const struct gw_window *w, uint64_t span_ns, struct gw_bandwidth *ret)
{
    unsigned n = (unsigned)GW_MIN(w->ended, GW_WINDOW_KEPT), stretches = 0;
    uint64_t v[GW_WINDOW_KEPT];
    uint64_t low;

    *ret = (struct gw_bandwidth){0};
    if (!n) {
        ret->low_bytes_per_s = gw_rate_per_s(w->open.bytes, w->open.ns) / 4;
        ret->typical_bytes_per_s = ret->low_bytes_per_s * 3;
        return;
    }
    ret->known = true;
    ret->latest_bytes_per_s = gw_rate_per_s(at(w, 0)->bytes, at(w, 0)->ns);
    ret->pages_per_s = gw_rate_per_s(at(w, 0)->pages, at(w, 0)->ns);
    for (unsigned i = 0; i < n; i++) {
        v[i] = gw_rate_per_s(at(w, i)->bytes, at(w, i)->ns);
        ret->bytes += at(w, i)->bytes;
        ret->wire_bytes += at(w, i)->wire_bytes;
    }
    sort(v, n);
    ret->typical_bytes_per_s = v[n / 2];

    /* A transfer of the span's length averages over the windows in it, so its worst case is milder than a window's. */
    span_ns = GW_MIN(span_ns, 4 * GW_WINDOW_NS);
    for (unsigned i = 0; i < n; i++) {
        struct gw_window_sample sum = {0};

        for (unsigned k = i; k < n && (k == i || sum.ns < span_ns); k++) {
            sum.bytes += at(w, k)->bytes;
            sum.ns += at(w, k)->ns;
        }
        if (i && sum.ns < span_ns)
            break; /* no older windows */
        v[stretches++] = gw_rate_per_s(sum.bytes, sum.ns);
    }
    low = v[0]; /* the latest span: if the link has become slow, earlier windows do not count */
    sort(v, stretches);
    low = GW_MIN(low, v[stretches / 10]);
    /* With few windows, assume less. */
    ret->low_bytes_per_s = n >= 4 ? low / 10 * 9 : low / 4 * 3;
}

double gw_window_mbps(const struct gw_window *w)
{
    if (!w->ended || !at(w, 0)->ns)
        return 0;
    return (double)at(w, 0)->wire_bytes * 8e3 / (double)at(w, 0)->ns;
}
