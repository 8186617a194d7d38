/* SPDX-License-Identifier: MIT */
#include "machine/debt.h"

#define MOST_NS (1ull << 62) /* the longest wait */

static uint64_t scaled(uint64_t n, uint64_t by, uint64_t over)
{
    unsigned __int128 r = (unsigned __int128)n * by / over;

    return r < MOST_NS ? (uint64_t)r : MOST_NS;
}

uint64_t gw_debt_add(struct gw_debt *d, uint64_t limit_bytes_per_s, uint64_t bytes, uint64_t now_ns)
{
    uint64_t owed_ns, was = d->limit_bytes_per_s;

    d->limit_bytes_per_s = limit_bytes_per_s;
    if (!limit_bytes_per_s)
        return d->due_ns = 0;
    if (d->due_ns > now_ns && was && was != limit_bytes_per_s)
        d->due_ns = now_ns + scaled(d->due_ns - now_ns, was, limit_bytes_per_s);
    if (d->due_ns + GW_DEBT_SAVED_NS < now_ns)
        d->due_ns = now_ns - GW_DEBT_SAVED_NS;
    owed_ns = scaled(bytes, 1000000000u, limit_bytes_per_s);
    d->due_ns = d->due_ns > now_ns && d->due_ns - now_ns > MOST_NS - owed_ns ? now_ns + MOST_NS : d->due_ns + owed_ns;
    return d->due_ns;
}
