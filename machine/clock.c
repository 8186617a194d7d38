/* SPDX-License-Identifier: MIT */
#include <time.h>

#include "machine/internal.h"

static uint64_t read_ns(clockid_t id)
{
    struct timespec t;
    clock_gettime(id, &t);
    return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}

uint64_t gw_clock_monotonic_ns(void)
{
    return read_ns(CLOCK_MONOTONIC);
}

uint64_t gw_clock_wall_ns(void)
{
    return read_ns(CLOCK_REALTIME);
}

uint64_t gw_clock_virtual_ns(struct gw_machine_clock *clock)
{
    return atomic_load(&clock->running) ? gw_clock_monotonic_ns() - atomic_load(&clock->origin_ns) : clock->virtual_ns;
}

void gw_clock_run(struct gw_machine_clock *clock)
{
    atomic_store(&clock->origin_ns, gw_clock_monotonic_ns() - clock->virtual_ns);
    atomic_store(&clock->running, true);
}

void gw_clock_stand(struct gw_machine_clock *clock)
{
    clock->virtual_ns = gw_clock_virtual_ns(clock);
    atomic_store(&clock->running, false);
}

static const struct gw_field clock_fields[] = {
    GW_FIELD(struct gw_machine_clock, virtual_ns),
    GW_END
};

/* Saved and loaded while the machine, and so the clock, is stopped. */
const struct gw_state gw_machine_clock_description = {
    .name = "clock", .version = 1, .oldest = 1, .size = sizeof(struct gw_machine_clock), .fields = clock_fields,
};
