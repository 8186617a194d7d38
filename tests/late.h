/* SPDX-License-Identifier: MIT
 *
 * late: by how much a busy machine lets threads run too late. For tests of which a time is the point: what a machine was
 * late meanwhile is added to what is allowed. A thread that only sleeps measures it, from before main() on.
 */
#ifndef LATE_H
#define LATE_H

#include <pthread.h>
#include <stdint.h>
#include <time.h>

#define LATE_STEP_NS 2000000u

static uint64_t late_most, late_all;

static inline uint64_t late_now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static inline void *late_measure(void *opaque)
{
    for (;;) {
        uint64_t at = late_now_ns(), late;

        nanosleep(&(struct timespec){.tv_nsec = LATE_STEP_NS}, NULL);
        late = late_now_ns() - at;
        late -= late < LATE_STEP_NS ? late : LATE_STEP_NS;
        __atomic_fetch_add(&late_all, late, __ATOMIC_RELAXED);
        if (late > __atomic_load_n(&late_most, __ATOMIC_RELAXED))
            __atomic_store_n(&late_most, late, __ATOMIC_RELAXED);
    }
    return NULL;
}

__attribute__((constructor)) static void late_start(void)
{
    pthread_t t;

    if (!pthread_create(&t, NULL, late_measure, NULL))
        pthread_detach(t);
}

/* At one time, at most. */
static inline uint64_t late_most_ns(void)
{
    return __atomic_load_n(&late_most, __ATOMIC_RELAXED);
}

/* Altogether: what has to wait for several threads in turn can be that much late. Take the difference of two. */
static inline uint64_t late_all_ns(void)
{
    return __atomic_load_n(&late_all, __ATOMIC_RELAXED);
}

#endif
