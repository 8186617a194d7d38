/* SPDX-License-Identifier: MIT */
#ifndef MUST_H
#define MUST_H

#include <time.h>

#include "godwit/error.h"

static inline void must(int r, const struct gw_error *err)
{
    if (r < 0)
        print_error("%d %s: %s\n", r, gw_blame_name(err->blame), err->text);
    assert_true(r >= 0);
}

static inline void sleep_ms(unsigned ms)
{
    nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000}, NULL);
}

#endif
