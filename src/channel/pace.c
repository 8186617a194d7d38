/* SPDX-License-Identifier: MIT */
#include "channel/pace.h"

#define LONGEST_WAIT_NS (100 * GW_NS_PER_MS)

void gw_pace_init(struct gw_pace *p, const struct gw_clock *clock, uint64_t bytes_per_s)
{
    *p = (struct gw_pace){.clock = clock ? *clock : gw_clock_real, .bytes_per_s = bytes_per_s};
    pthread_mutex_init(&p->lock, NULL);
}

void gw_pace_fini(struct gw_pace *p)
{
    pthread_mutex_destroy(&p->lock);
}

static uint64_t scale(uint64_t value, uint64_t by, uint64_t divisor, uint64_t *rest)
{
    unsigned __int128 product = (unsigned __int128)value * by + *rest, result = product / divisor;

    *rest = (uint64_t)(product % divisor);
    /* Limited to a year. */
    return result > 365 * 86400 * GW_NS_PER_S ? 365 * 86400 * GW_NS_PER_S : (uint64_t)result;
}

void gw_pace_set(struct gw_pace *p, uint64_t bytes_per_s)
{
    uint64_t now = gw_now_ns(&p->clock), rest = 0;

    pthread_mutex_lock(&p->lock);
    if (bytes_per_s != p->bytes_per_s) {
        if (!bytes_per_s)
            p->due_ns = 0;
        else if (p->bytes_per_s && p->due_ns > now)
            p->due_ns = now + scale(p->due_ns - now, p->bytes_per_s, bytes_per_s, &rest);
        p->rest = 0;
        p->bytes_per_s = bytes_per_s;
    }
    pthread_mutex_unlock(&p->lock);
}

uint64_t gw_pace_chunk(struct gw_pace *p)
{
    uint64_t rate, chunk;

    pthread_mutex_lock(&p->lock);
    rate = p->bytes_per_s;
    pthread_mutex_unlock(&p->lock);
    chunk = rate / (GW_NS_PER_S / GW_PACE_CHUNK_NS);
    return rate ? GW_MAX(chunk, 1) : UINT64_MAX;
}

uint64_t gw_pace_ask(struct gw_pace *p, uint64_t bytes)
{
    uint64_t now = gw_now_ns(&p->clock), earliest = now > GW_PACE_CREDIT_NS ? now - GW_PACE_CREDIT_NS : 0, wait = 0;

    pthread_mutex_lock(&p->lock);
    if (p->bytes_per_s) {
        if (p->due_ns > now)
            wait = GW_MIN(p->due_ns - now, LONGEST_WAIT_NS);
        else
            p->due_ns = GW_MAX(p->due_ns, earliest) + scale(bytes, GW_NS_PER_S, p->bytes_per_s, &p->rest);
    }
    pthread_mutex_unlock(&p->lock);
    return wait;
}

void gw_pace_refund(struct gw_pace *p, uint64_t bytes)
{
    uint64_t rest = 0, ns;

    pthread_mutex_lock(&p->lock);
    if (p->bytes_per_s) {
        ns = scale(bytes, GW_NS_PER_S, p->bytes_per_s, &rest);
        p->due_ns -= GW_MIN(ns, p->due_ns);
    }
    pthread_mutex_unlock(&p->lock);
}

int gw_pace_wait(struct gw_pace *p, uint64_t bytes, const struct gw_cancel *wake)
{
    uint64_t wait;
    int r;

    while ((wait = gw_pace_ask(p, bytes))) {
        r = gw_wait_ready(-1, 0, wake, NULL, gw_deadline(wait));
        if (r != -ETIMEDOUT)
            return r;
    }
    return 0;
}
