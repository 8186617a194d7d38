/* SPDX-License-Identifier: MIT */
#include "godwit/clock.h"

#include <sys/random.h>
#include <time.h>

#include "base/base.h"

static uint64_t real_now_ns(void *opaque)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * GW_NS_PER_S + (uint64_t)t.tv_nsec;
}

static void real_sleep_ns(void *opaque, uint64_t duration_ns)
{
    struct timespec t = {.tv_sec = (time_t)(duration_ns / GW_NS_PER_S), .tv_nsec = (long)(duration_ns % GW_NS_PER_S)};

    nanosleep(&t, NULL);
}

static uint64_t real_random(void *opaque)
{
    uint64_t v = 0;

    if (getrandom(&v, sizeof v, GRND_NONBLOCK) != sizeof v)
        v = real_now_ns(NULL) * 0x9E3779B97F4A7C15ull;
    return v;
}

const struct gw_clock *gw_clock_system(void)
{
    static const struct gw_clock real = {GW_SIZED(struct gw_clock), .now_ns = real_now_ns, .sleep_ns = real_sleep_ns,
                                         .random = real_random};

    return &real;
}
