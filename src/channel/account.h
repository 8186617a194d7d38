/* SPDX-License-Identifier: MIT
 *
 * account: how many bytes a session has sent, by cause and time. One for all writers of a session: the rate limit, the
 * bandwidth window and the statistics take their figures from here.
 *
 * A writer adds its bytes at each flush, automatic or explicit. So the sums are exact after a flush of all writers;
 * between flushes they lack the bytes that are still buffered in writers.
 *
 * Threads: all functions but init may be called from any thread. Sums never decrease.
 */
#ifndef GW_CHANNEL_ACCOUNT_H
#define GW_CHANNEL_ACCOUNT_H

#include "base/base.h"
#include "godwit/clock.h"
#include "godwit/stats.h"

struct gw_account {
    struct gw_clock clock;
    _Atomic uint64_t by[GW_CAUSE_COUNT];
};

struct gw_account_sums {
    uint64_t at_ns; /* time of the account's clock, taken before the counters were read */
    uint64_t bytes; /* the sum of by[] */
    uint64_t by[GW_CAUSE_COUNT];
};

/* clock NULL: gw_clock_real. */
void gw_account_init(struct gw_account *a, const struct gw_clock *clock);
void gw_account_add(struct gw_account *a, enum gw_cause cause, uint64_t bytes);
void gw_account_read(struct gw_account *a, struct gw_account_sums *ret);
uint64_t gw_account_bytes(struct gw_account *a);

#endif
