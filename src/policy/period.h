/* SPDX-License-Identifier: MIT
 *
 * period: the rate per second of events counted in portions, over periods of at least a second: a rate over a few ms is
 * meaningless.
 */
#ifndef GW_PERIOD_H
#define GW_PERIOD_H

#include <stdint.h>

struct gw_period {
    uint64_t since_ns, count;
    uint64_t per_s; /* of the last complete period; 0: none yet */
};

void gw_period_begin(struct gw_period *p, uint64_t now_ns);
/* `count` is the number since the last call. A period ends with the first call more than a second after its start. */
void gw_period_add(struct gw_period *p, uint64_t now_ns, uint64_t count);

#endif
