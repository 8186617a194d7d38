/* SPDX-License-Identifier: MIT
 *
 * rests: how often vCPUs rest (for a throttle, a dirty limit, or a guest that has nothing to do), and whether one does
 * now. A busy machine makes a rest longer, not more frequent; so tests count these and measure no time. Include it once
 * in a program that is linked with --wrap=pthread_cond_timedwait; call rests_begin() on the thread of the test.
 */
#ifndef TEST_MACHINE_RESTS_H
#define TEST_MACHINE_RESTS_H

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

static struct {
    pthread_t test; /* its own waits do not count */
    atomic_bool counts;
    atomic_bool endless; /* who rests goes on when it is woken, and never because the time is over */
    atomic_uint all, now;
    _Atomic uint64_t *clock; /* a wait of the test's thread does not sleep, it moves this clock; NULL: it sleeps */
} rests;

int __real_pthread_cond_timedwait(pthread_cond_t *cond, pthread_mutex_t *lock, const struct timespec *until);
int __wrap_pthread_cond_timedwait(pthread_cond_t *cond, pthread_mutex_t *lock, const struct timespec *until);

int __wrap_pthread_cond_timedwait(pthread_cond_t *cond, pthread_mutex_t *lock, const struct timespec *until)
{
    int r;

    if (rests.clock && pthread_equal(pthread_self(), rests.test)) {
        *rests.clock = (uint64_t)until->tv_sec * 1000000000u + (uint64_t)until->tv_nsec;
        return ETIMEDOUT;
    }
    if (!atomic_load(&rests.counts) || pthread_equal(pthread_self(), rests.test))
        return __real_pthread_cond_timedwait(cond, lock, until);
    atomic_fetch_add(&rests.all, 1);
    atomic_fetch_add(&rests.now, 1);
    r = atomic_load(&rests.endless) ? pthread_cond_wait(cond, lock) : __real_pthread_cond_timedwait(cond, lock, until);
    atomic_fetch_sub(&rests.now, 1);
    return r;
}

/* Before the first vCPU runs. */
static inline void rests_begin(void)
{
    rests.test = pthread_self();
    atomic_store(&rests.counts, true);
}

#endif
