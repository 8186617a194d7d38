/* SPDX-License-Identifier: MIT
 *
 * debt: what a vCPU that dirties memory owes to a limit of bytes a second. Numbers in, an instant out.
 *
 * What is owed is owed in bytes: when the limit changes, the rest of the wait is as long as the new limit makes it, and
 * without a limit nothing is owed.
 */
#ifndef MACHINE_DEBT_H
#define MACHINE_DEBT_H

#include <stdint.h>

/* What was not used of this time may be used at once; older rests are lost. */
#define GW_DEBT_SAVED_NS 10000000ull

struct gw_debt { /* zeros: nothing is owed */
    uint64_t limit_bytes_per_s; /* that it was reckoned with last */
    uint64_t due_ns;            /* instant at which it is paid for */
};

/* At now_ns, under this limit (0: none), so many bytes more were dirtied: until when to wait; the past: not at all. */
uint64_t gw_debt_add(struct gw_debt *d, uint64_t limit_bytes_per_s, uint64_t bytes, uint64_t now_ns);

#endif
