/* SPDX-License-Identifier: MIT */
#include "source_clock.h"

#include <pthread.h>
#include <stdbool.h>

static struct {
    pthread_mutex_t lock;
    bool known; /* whether the session's thread is known */
    pthread_t thread;
    unsigned times;
    uint64_t now_ns;
} source_time = {.lock = PTHREAD_MUTEX_INITIALIZER};

static uint64_t now_ns(void *opaque)
{
    return source_clock_now();
}

static void sleep_ns(void *opaque, uint64_t duration_ns)
{
    unsigned times;

    pthread_mutex_lock(&source_time.lock);
    times = source_time.times;
    pthread_mutex_unlock(&source_time.lock);
    gw_clock_real.sleep_ns(NULL, duration_ns / times);
    pthread_mutex_lock(&source_time.lock);
    if (source_time.known && pthread_equal(source_time.thread, pthread_self()))
        source_time.now_ns += duration_ns;
    pthread_mutex_unlock(&source_time.lock);
}

static uint64_t no_random(void *opaque)
{
    return 4; /* not called */
}

const struct gw_clock source_clock = {
    GW_SIZED(struct gw_clock), .now_ns = now_ns, .sleep_ns = sleep_ns, .random = no_random};

void source_clock_begin(unsigned times)
{
    pthread_mutex_lock(&source_time.lock);
    source_time.known = false;
    source_time.times = times;
    source_time.now_ns = 1000000000;
    pthread_mutex_unlock(&source_time.lock);
}

void source_clock_adopt(void)
{
    pthread_mutex_lock(&source_time.lock);
    if (!source_time.known) {
        source_time.known = true;
        source_time.thread = pthread_self();
    }
    pthread_mutex_unlock(&source_time.lock);
}

uint64_t source_clock_now(void)
{
    uint64_t t;

    pthread_mutex_lock(&source_time.lock);
    t = source_time.now_ns;
    pthread_mutex_unlock(&source_time.lock);
    return t;
}
