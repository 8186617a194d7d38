/* SPDX-License-Identifier: MIT
 *
 * clock: where the library takes time and random numbers from, so that a run can be replayed.
 *
 * docs/decisions/time-of-the-vm.md says what is measured by this clock and what by the system's. While a session waits it
 * calls sleep_ns repeatedly, so a simulated clock can advance by the durations slept.
 * All members may be called from any thread at any time. The struct is copied; `opaque` stays the embedder's.
 */
#ifndef GODWIT_CLOCK_H
#define GODWIT_CLOCK_H

#include <stddef.h>
#include <stdint.h>

#include "godwit/error.h"
#include "godwit/version.h"

#ifdef __cplusplus
extern "C" {
#endif

struct gw_clock {
    size_t bytes;                                          /* GW_SIZED(struct gw_clock) */
    uint64_t (*now_ns)(void *opaque);                      /* monotonic nanoseconds, any origin but 0 */
    void (*sleep_ns)(void *opaque, uint64_t duration_ns);  /* may return early */
    uint64_t (*random)(void *opaque);                      /* 64 random bits */
    void *opaque;
};

/* CLOCK_MONOTONIC, nanosleep, getrandom. The pointer is the same in every call. (A function, as the size of a variable
 * would be part of every program.) */
GW_API const struct gw_clock *gw_clock_system(void);
#define gw_clock_real (*gw_clock_system())

static inline uint64_t gw_now_ns(const struct gw_clock *clock)
{
    return clock->now_ns(clock->opaque);
}

#ifdef __cplusplus
}
#endif
#endif
