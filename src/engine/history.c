/* SPDX-License-Identifier: MIT */
#include "engine/history.h"

#include "base/base.h"

#define FIRST_APART_NS (20 * GW_NS_PER_MS)

void gw_history_begin(struct gw_history_keeper *k, uint64_t now_ns)
{
    k->h = (struct gw_history){0};
    k->began_ns = now_ns;
    k->apart_ns = FIRST_APART_NS;
    k->each = 1;
    k->open = 0;
}

static uint64_t since(const struct gw_history_keeper *k, uint64_t now_ns)
{
    return now_ns > k->began_ns ? now_ns - k->began_ns : 0;
}

void gw_history_sample(struct gw_history_keeper *k, struct gw_sample s, bool always)
{
    struct gw_history *h = &k->h;

    s.at_ns = since(k, s.at_ns);
    s.round = (uint32_t)k->open;
    if (!always && h->samples && s.at_ns - h->sample[h->samples - 1].at_ns < k->apart_ns)
        return;
    if (h->samples == GW_HISTORY_SAMPLES) {
        /* Samples are sums, so dropping one loses nothing. */
        for (uint32_t i = 0; i < GW_HISTORY_SAMPLES / 2; i++)
            h->sample[i] = h->sample[2 * i];
        h->samples = GW_HISTORY_SAMPLES / 2;
        k->apart_ns *= 2;
    }
    h->sample[h->samples++] = s;
}

void gw_history_stopped(struct gw_history_keeper *k, uint64_t now_ns)
{
    k->h.stopped_ns = GW_MAX(since(k, now_ns), 1);
}

static struct gw_past_round join(const struct gw_past_round *a, const struct gw_past_round *b)
{
    struct gw_past_round r = *a;

    r.count += b->count;
    r.duration_ns += b->duration_ns;
    r.bytes += b->bytes;
    r.pages += b->pages;
    r.zero_pages += b->zero_pages;
    r.dirty_bytes += b->dirty_bytes;
    return r;
}

void gw_history_begin_round(struct gw_history_keeper *k, uint64_t now_ns, uint64_t remaining_bytes)
{
    struct gw_history *h = &k->h;
    bool joins = h->rounds && h->round[h->rounds - 1].count < k->each;

    k->open++;
    if (joins) {
        h->round[h->rounds - 1].count++;
        return;
    }
    if (h->rounds == GW_HISTORY_ROUNDS) {
        for (uint32_t i = 0; i < GW_HISTORY_ROUNDS / 2; i++)
            h->round[i] = join(&h->round[2 * i], &h->round[2 * i + 1]);
        h->rounds = GW_HISTORY_ROUNDS / 2;
        k->each *= 2;
    }
    h->round[h->rounds++] = (struct gw_past_round){
        .first = k->open, .count = 1, .began_ns = since(k, now_ns), .remaining_bytes = remaining_bytes};
}

void gw_history_limit(struct gw_history_keeper *k, uint64_t limit_bytes)
{
    struct gw_history *h = &k->h;

    if (h->rounds && h->round[h->rounds - 1].count == 1)
        h->round[h->rounds - 1].limit_bytes = limit_bytes;
}

void gw_history_end_round(struct gw_history_keeper *k, uint64_t now_ns, const struct gw_round *round, uint64_t dirty_bytes)
{
    struct gw_past_round *r = k->h.rounds ? &k->h.round[k->h.rounds - 1] : NULL;

    if (!r)
        return;
    r->duration_ns = since(k, now_ns) - r->began_ns;
    r->bytes += round->bytes;
    r->pages += round->pages;
    r->zero_pages += round->zero_pages;
    r->dirty_bytes += dirty_bytes;
}
