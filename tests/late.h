/* SPDX-License-Identifier: MIT
 *
 * late: by how much a busy machine lets threads run too late. For tests of which a time is the point: what a machine
 * was late meanwhile is added to what is allowed. A thread that only sleeps measures it, from before main() on.
 *
 * Better than a limit on wall time is one on the time that the program chose to wait: late_idle_ns() is what is left of
 * the wall time when all CPU time that this process used and all lateness are taken away. A slow processor, a sanitizer
 * or a busy machine do not make it longer; a sleep or a time-out in the code does. (Code that spins instead of sleeping
 * is not seen.)
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

struct late_watch {
    uint64_t began_ns, cpu_ns, late_ns;
};

static inline uint64_t late_cpu_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static inline struct late_watch late_watch(void)
{
    return (struct late_watch){late_now_ns(), late_cpu_ns(), late_all_ns()};
}

/* Since late_watch(). */
static inline uint64_t late_idle_ns(const struct late_watch *w)
{
    uint64_t wall = late_now_ns() - w->began_ns, excused = late_cpu_ns() - w->cpu_ns + 3 * (late_all_ns() - w->late_ns);

    return wall > excused ? wall - excused : 0;
}

#endif
