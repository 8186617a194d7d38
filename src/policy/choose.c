/* SPDX-License-Identifier: MIT */
#include "policy/choose.h"

#include "policy/window.h"

#define FAR 8u /* a way that costs this many times the best is tried less often */

void gw_choose_init(struct gw_choose *c, unsigned ways)
{
    *c = (struct gw_choose){.ways = ways, .allowed = 1, .rest = GW_CHOOSE_FIRST_REST};
}

static bool may(const struct gw_choose *c, unsigned way)
{
    return way < c->ways && c->allowed >> way & 1;
}

static void begin(struct gw_choose *c, unsigned way)
{
    c->now = way;
    c->packets = 0;
    c->sum = (struct gw_choose_sample){0};
}

unsigned gw_choose_next(struct gw_choose *c, unsigned allowed)
{
    c->allowed = allowed | 1;
    if (!may(c, c->best))
        c->best = 0;
    if (!may(c, c->now))
        begin(c, c->best);
    return c->now;
}

static uint64_t cost_of(const struct gw_choose_sample *s)
{
    uint64_t own = s->cpu_ns + s->write_ns, paced = s->link_bytes_per_s ? gw_time_for(s->wire_bytes, s->link_bytes_per_s) : 0;
    unsigned __int128 ns = GW_MAX(own, paced);

    ns = ns * GW_MIB / GW_MAX(s->page_bytes, 1);
    return ns > UINT64_MAX / 16 ? UINT64_MAX / 16 : GW_MAX((uint64_t)ns, 1);
}

/* A way that was never tried; else the next one after the last tried; the best if there is no other. */
static unsigned other(struct gw_choose *c)
{
    for (unsigned i = 0; i < c->ways; i++)
        if (may(c, i) && !c->cost_ns[i])
            return i;
    if (c->blocks < c->rest)
        return c->best;
    c->blocks = 0;
    for (unsigned i = 1; i <= c->ways; i++) {
        unsigned way = (c->tried + i) % c->ways;

        if (!may(c, way) || way == c->best)
            continue;
        c->tried = way;
        if (c->cost_ns[way] / FAR <= c->cost_ns[c->best])
            return way;
        c->cost_ns[way] -= c->cost_ns[way] / 4; /* a lower estimate brings its turn closer */
    }
    return c->best;
}

static bool end_block(struct gw_choose *c)
{
    uint64_t cost = cost_of(&c->sum), *known = &c->cost_ns[c->now];
    bool trial = c->now != c->best, first = !c->cost_ns[c->best];
    unsigned best = c->best;

    *known = *known && !trial ? *known / 2 + cost / 2 + 1 : cost;
    for (unsigned i = 0; i < c->ways; i++)
        if (may(c, i) && c->cost_ns[i] && c->cost_ns[i] < c->cost_ns[best] - c->cost_ns[best] / 8)
            best = i;
    if (best != c->best)
        c->rest = GW_CHOOSE_FIRST_REST;
    else if (trial)
        c->rest = GW_MIN(2 * c->rest, GW_CHOOSE_LAST_REST);
    c->blocks = trial ? 0 : c->blocks + 1;
    first |= best != c->best;
    c->best = best;
    if (trial || !c->settled_ns) {
        c->settled_ns = c->cost_ns[best];
    } else if (c->cost_ns[best] / 2 > c->settled_ns || c->cost_ns[best] < c->settled_ns / 2) {
        c->settled_ns = c->cost_ns[best];
        for (unsigned i = 0; i < c->ways; i++)
            if (i != best)
                c->cost_ns[i] = 0;
    }
    begin(c, other(c));
    return first;
}

static bool hopeless(const struct gw_choose *c)
{
    return c->now != c->best && c->packets > GW_CHOOSE_WARM && cost_of(&c->sum) / 2 > c->cost_ns[c->best];
}

bool gw_choose_sent(struct gw_choose *c, const struct gw_choose_sample *s)
{
    if (c->packets++ >= GW_CHOOSE_WARM) {
        c->sum.page_bytes += s->page_bytes;
        c->sum.wire_bytes += s->wire_bytes;
        c->sum.cpu_ns += s->cpu_ns;
        c->sum.write_ns += s->write_ns;
        c->sum.link_bytes_per_s = s->link_bytes_per_s;
    }
    return (c->packets >= GW_CHOOSE_BLOCK || hopeless(c)) && end_block(c);
}
