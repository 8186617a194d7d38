/* SPDX-License-Identifier: MIT */
#include "channel/account.h"

void gw_account_init(struct gw_account *a, const struct gw_clock *clock)
{
    *a = (struct gw_account){.clock = clock ? *clock : gw_clock_real};
}

void gw_account_add(struct gw_account *a, enum gw_cause cause, uint64_t bytes)
{
    atomic_fetch_add_explicit(&a->by[cause], bytes, memory_order_relaxed);
}

void gw_account_read(struct gw_account *a, struct gw_account_sums *ret)
{
    *ret = (struct gw_account_sums){.at_ns = gw_now_ns(&a->clock)};
    for (unsigned i = 0; i < GW_CAUSE_COUNT; i++) {
        ret->by[i] = atomic_load_explicit(&a->by[i], memory_order_relaxed);
        ret->bytes += ret->by[i];
    }
}

uint64_t gw_account_bytes(struct gw_account *a)
{
    struct gw_account_sums sums;

    gw_account_read(a, &sums);
    return sums.bytes;
}
