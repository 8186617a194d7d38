/* SPDX-License-Identifier: MIT
 *
 * written: a machine that is memory and a clock which writes to it while it is slept on, so what was written within a time is known
 * exactly. For tests with setup `up` and teardown `down`.
 */
#ifndef WRITTEN_H
#define WRITTEN_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/base.h"
#include "godwit/godwit.h"

#define PAGE  4096u
#define PAGES 32768u /* 128 MiB */

static struct machine {
    struct gw_vm *vm;
    uint8_t *ram;
    _Atomic uint64_t now_ns, written, limits[2];
    uint64_t pages_per_s; /* the first vCPU writes three of four */
    atomic_bool hold, held;      /* a sleep lasts until it is taken away; one has begun */
} m;

static uint64_t now(void *opaque)
{
    return atomic_load(&m.now_ns);
}

static void sleep_ns(void *opaque, uint64_t ns)
{
    uint64_t until;

    while (atomic_load(&m.hold)) {
        atomic_store(&m.held, true);
        gw_clock_real.sleep_ns(NULL, GW_NS_PER_MS);
        if (!atomic_load(&m.now_ns))
            return;
    }
    atomic_fetch_add(&m.now_ns, ns);
    until = (uint64_t)((double)atomic_load(&m.now_ns) / 1e9 * (double)m.pages_per_s);
    for (; atomic_load(&m.written) < until; atomic_fetch_add(&m.written, 1)) {
        uint64_t page = atomic_load(&m.written) * 40503 % PAGES;

        ++*(uint64_t *)(m.ram + page * PAGE);
        gw_vm_mark_dirty(m.vm, page * PAGE, 8);
    }
}

static uint64_t random_bits(void *opaque)
{
    static uint64_t x = 88172645463325252ull;

    x ^= x << 13;
    x ^= x >> 7;
    return x ^= x << 17;
}

static int nothing(void *opaque, struct gw_error *err)
{
    return 0;
}

static bool never(void *opaque)
{
    return false;
}

static unsigned two(void *opaque)
{
    return 2;
}

static uint64_t dirtied(void *opaque, unsigned vcpu)
{
    uint64_t n = atomic_load(&m.written);

    return (vcpu ? n / 4 : n - n / 4) * PAGE;
}

static void limit(void *opaque, unsigned vcpu, uint64_t bytes_per_s)
{
    atomic_store(&m.limits[vcpu], bytes_per_s);
}

static const struct gw_vm_ops ops = {GW_SIZED(struct gw_vm_ops), .stop = nothing,  .start = nothing,          .running = never,
                                     .vcpus = two,               .vcpu_dirtied = dirtied, .vcpu_dirty_limit = limit};

static int up_with(const struct gw_vm_ops *o)
{
    static const struct gw_clock clock = {GW_SIZED(struct gw_clock), now, sleep_ns, random_bits, NULL};
    struct gw_vm_config config = {.machine = "m", .page_bytes = PAGE, .ops = o, .clock = &clock};
    struct gw_ram_desc ram = {.name = "ram", .used_bytes = PAGES / 2 * PAGE, .max_bytes = PAGES * PAGE, .flags = GW_RAM_RESIZEABLE};
    struct gw_tracker_config tracker = {.kind = GW_TRACKER_EXPLICIT};

    memset(&m, 0, sizeof m);
    m.now_ns = 1;
    ram.host = m.ram = aligned_alloc(PAGE, (size_t)PAGES * PAGE);
    memset(m.ram, 1, (size_t)PAGES * PAGE);
    return gw_vm_new(&config, &m.vm, NULL) || gw_vm_add_ram(m.vm, &ram, NULL) || gw_vm_resize_ram(m.vm, "ram", PAGES * PAGE, NULL) ||
           gw_vm_set_tracker(m.vm, &tracker, NULL);
}

static inline int up(void **state)
{
    return up_with(&ops);
}

static inline int down(void **state)
{
    atomic_store(&m.hold, false);
    gw_vm_free(m.vm);
    free(m.ram);
    return 0;
}

#endif
