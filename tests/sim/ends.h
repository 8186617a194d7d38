/* SPDX-License-Identifier: MIT
 *
 * ends: common parts of tests that hold both ends of a migration themselves, without a pair.
 */
#ifndef TESTS_SIM_ENDS_H
#define TESTS_SIM_ENDS_H

#include <time.h>

#include "sim.h"

static inline void must(int r, const struct gw_error *err)
{
    if (r < 0)
        fail_msg("%d: %s", r, err->text);
}

static inline void nap(void)
{
    nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL);
}

/* The destination's state is read first: if both had run at one instant, this order would show it. */
static inline void sim_never_both(struct sim *from, struct sim *to)
{
    bool there = sim_runs(to), here = sim_runs(from);

    assert_false(there && here);
}

#endif
