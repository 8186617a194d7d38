/* SPDX-License-Identifier: MIT
 *
 * debt: computes how long a vCPU that dirtied memory must wait under a limit of bytes per second.
 *
 * The debt is counted
 * in bytes: when the limit changes, the rest of the wait changes accordingly, and without a limit there is none.
 */
#ifndef MACHINE_DEBT_H
#define MACHINE_DEBT_H

#include <stdint.h>

/* This much unused time may be used at once; older unused time is lost. */
#define GW_DEBT_SAVED_NS 10000000ull

struct gw_debt { /* zeros: no debt */
    uint64_t limit_bytes_per_s; /* the limit at the last calculation */
    uint64_t due_ns;            /* when the debt is paid off */
};

/* Adds bytes dirtied at now_ns under this limit (0: none). Returns until when to wait; a time in the past: no wait. */
uint64_t gw_debt_add(struct gw_debt *d, uint64_t limit_bytes_per_s, uint64_t bytes, uint64_t now_ns);

#endif
