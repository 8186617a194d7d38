/* SPDX-License-Identifier: MIT */
#include <time.h>

#include "machine/internal.h"

#define MS 1000000ull
#define SLICE_NS (10 * MS)

static void sleep_until(struct gw_vcpu *v, uint64_t monotonic_ns, bool for_events)
{
    struct timespec until = {.tv_sec = (time_t)(monotonic_ns / 1000000000ull), .tv_nsec = (long)(monotonic_ns % 1000000000ull)};

    pthread_mutex_lock(&v->sleep_lock);
    bool *ends = for_events ? &v->event : &v->limits_changed;
    while (!atomic_load(&v->leave) && !*ends) {
        if (gw_clock_monotonic_ns() >= monotonic_ns)
            break;
        pthread_cond_timedwait(&v->wake, &v->sleep_lock, &until);
    }
    *ends = false;
    pthread_mutex_unlock(&v->sleep_lock);
}

void gw_vcpu_pace_wake(struct gw_vcpu *v, bool event)
{
    pthread_mutex_lock(&v->sleep_lock);
    if (event)
        v->event = true;
    else
        v->limits_changed = true;
    pthread_cond_broadcast(&v->wake);
    pthread_mutex_unlock(&v->sleep_lock);
}

void gw_vcpu_pace_wait(struct gw_vcpu *v, uint64_t until_virtual_ns)
{
    uint64_t now = gw_clock_virtual_ns(&v->machine->clock);

    if (until_virtual_ns <= now)
        return;
    /* until_virtual_ns is from the guest and may be any value. */
    uint64_t left = until_virtual_ns - now;
    sleep_until(v, gw_clock_monotonic_ns() + (left < 3600000 * MS ? left : 3600000 * MS), true);
}

void gw_vcpu_pace_throttle(struct gw_vcpu *v)
{
    unsigned percent = atomic_load(&v->machine->throttle_percent);
    uint64_t now = gw_clock_monotonic_ns();

    if (!percent) {
        v->slice_began_ns = 0;
        return;
    }
    if (!v->slice_began_ns)
        v->slice_began_ns = now;
    if (now - v->slice_began_ns < SLICE_NS)
        return;
    uint64_t rest = (now - v->slice_began_ns) * percent / (100 - percent);
    /* The time since the slice began may include a stop of any length. */
    if (rest > SLICE_NS * 200)
        rest = SLICE_NS * percent / (100 - percent);
    sleep_until(v, now + rest, false);
    v->slice_began_ns = gw_clock_monotonic_ns();
}

static uint64_t dirty_limit(const struct gw_vcpu *v)
{
    uint64_t all = atomic_load(&v->machine->dirty_limit_bytes_per_s), own = atomic_load(&v->dirty_limit_bytes_per_s);

    return all && own ? (all < own ? all : own) : all + own;
}

void gw_vcpu_pace_dirtied(struct gw_vcpu *v, uint64_t bytes)
{
    atomic_fetch_add(&v->dirtied_bytes, bytes);
    for (;; bytes = 0) {
        uint64_t now = gw_clock_monotonic_ns();
        uint64_t due = gw_debt_add(&v->debt, dirty_limit(v), bytes, now);

        if (due <= now || atomic_load(&v->leave))
            return;
        sleep_until(v, due, false); /* or until the limit changes */
        atomic_fetch_add(&v->limited_ns, gw_clock_monotonic_ns() - now);
    }
}

uint64_t gw_machine_limited_ns(const struct gw_machine *m)
{
    uint64_t most = 0;

    for (unsigned i = 0; i < m->cpus; i++) {
        uint64_t ns = atomic_load(&m->vcpu[i].limited_ns);

        most = ns > most ? ns : most;
    }
    return most;
}

void gw_machine_throttle(struct gw_machine *m, unsigned percent)
{
    atomic_store(&m->throttle_percent, percent < 99 ? percent : 99);
    for (unsigned i = 0; i < m->cpus; i++)
        gw_vcpu_pace_wake(&m->vcpu[i], false);
}

void gw_machine_dirty_limit(struct gw_machine *m, uint64_t bytes_per_s)
{
    atomic_store(&m->dirty_limit_bytes_per_s, bytes_per_s);
    for (unsigned i = 0; i < m->cpus; i++)
        gw_vcpu_pace_wake(&m->vcpu[i], false);
}

void gw_machine_vcpu_dirty_limit(struct gw_machine *m, unsigned cpu, uint64_t bytes_per_s)
{
    atomic_store(&m->vcpu[cpu].dirty_limit_bytes_per_s, bytes_per_s);
    gw_vcpu_pace_wake(&m->vcpu[cpu], false);
}
