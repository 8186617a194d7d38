/* SPDX-License-Identifier: MIT
 *
 * period: how many a second, of what comes in portions, over at least a second: a rate over a few ms says little.
 */
#ifndef GW_PERIOD_H
#define GW_PERIOD_H

#include <stdint.h>

struct gw_period {
    uint64_t since_ns, count;
    uint64_t per_s; /* of the last period that is over; 0: none is */
};

void gw_period_begin(struct gw_period *p, uint64_t now_ns);
/* So many came since the last call. A period ends with the first call that is more than a second behind its begin. */
void gw_period_add(struct gw_period *p, uint64_t now_ns, uint64_t count);

#endif
