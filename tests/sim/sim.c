/* SPDX-License-Identifier: MIT */
#include "sim.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include <cmocka.h>

#include "../owned.h"

static const char *const names[SIM_BLOCKS] = {"sim.low", "sim.high", "sim.vram"};

/* The address and the value of write number k. */
static void place(const struct sim *s, uint64_t seed, uint64_t k, unsigned *block, uint64_t *offset, uint64_t *value)
{
    uint64_t r = sim_mix(seed + k * 0x9E3779B97F4A7C15ull), bytes;

    *block = (unsigned)(r % SIM_BLOCKS);
    bytes = s->ram_bytes[*block];
    if (s->window_bytes && s->window_bytes < bytes)
        bytes = s->window_bytes;
    *offset = (sim_mix(r) % (bytes / 8)) * 8;
    *value = sim_mix(r ^ 0x5851F42D4C957F2Dull) & ((r >> 20) % 5 ? ~0ull : 0); /* a fifth of the writes are zeros */
}

/* Guest memory is written while it is read for sending, which dirty tracking handles: TSan must ignore it. */
__attribute__((noinline, no_sanitize("thread"))) static void store(uint8_t *at, uint64_t value)
{
    *(volatile uint64_t *)at = value;
}

static void *writer(void *arg)
{
    struct sim *s = arg;

    pthread_mutex_lock(&s->lock);
    while (!s->quit) {
        uint64_t n = atomic_load(&s->words_per_ms);
        const struct sim_part *part = s->part_ops;

        if (!s->run) {
            s->running = false;
            pthread_cond_broadcast(&s->changed);
            pthread_cond_wait(&s->changed, &s->lock);
            continue;
        }
        s->running = true;
        pthread_mutex_unlock(&s->lock);
        for (uint64_t i = 0; i < n; i++) {
            unsigned block;
            uint64_t offset, value;

            place(s, s->device.seed, ++s->device.writes, &block, &offset, &value);
            store(s->ram[block] + offset, value);
            if (atomic_load_explicit(&s->mark, memory_order_relaxed))
                gw_vm_mark_dirty(s->vm, ((uint64_t)block << 32) + offset, 8);
        }
        if (part)
            part->work(s->part);
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
        pthread_mutex_lock(&s->lock);
        s->made = s->device.writes;
        pthread_cond_broadcast(&s->changed);
    }
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

static void set_run(struct sim *s, bool run)
{
    pthread_mutex_lock(&s->lock);
    s->run = run;
    if (run)
        s->running = true;
    pthread_cond_broadcast(&s->changed);
    while (!run && (s->running || s->acting))
        pthread_cond_wait(&s->changed, &s->lock);
    pthread_mutex_unlock(&s->lock);
}

int sim_start(struct sim *s)
{
    set_run(s, true);
    return 0;
}

int sim_stop(struct sim *s)
{
    set_run(s, false);
    return 0;
}

bool sim_runs(struct sim *s)
{
    bool r;

    pthread_mutex_lock(&s->lock);
    r = s->run;
    pthread_mutex_unlock(&s->lock);
    return r;
}

bool sim_act(struct sim *s, void (*act)(void *opaque), void *opaque)
{
    bool runs;

    pthread_mutex_lock(&s->lock);
    runs = s->run;
    s->acting += runs;
    pthread_mutex_unlock(&s->lock);
    if (!runs)
        return false;
    act(opaque);
    pthread_mutex_lock(&s->lock);
    s->acting--;
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->lock);
    return true;
}

void sim_await_writes(struct sim *s, uint64_t writes)
{
    uint64_t until;

    pthread_mutex_lock(&s->lock);
    until = s->made + writes;
    while (s->run && atomic_load(&s->words_per_ms) && s->made < until)
        pthread_cond_wait(&s->changed, &s->lock);
    pthread_mutex_unlock(&s->lock);
}

static int write_before_sync(void *opaque, enum gw_notify what, struct gw_error *err)
{
    if (what == GW_NOTIFY_BEFORE_SYNC)
        sim_await_writes(opaque, 400);
    return 0;
}

void sim_write_before_syncs(struct sim *s)
{
    assert_int_equal(gw_vm_add_notifier(s->vm, write_before_sync, s, NULL), 0);
}

void sim_option(struct sim *s, const char *name, const char *value)
{
    assert_int_equal(gw_options_set_parameter(gw_vm_options(s->vm), name, value, NULL), 0);
}

static int op_stop(void *opaque, struct gw_error *err)
{
    struct sim *s = opaque;

    if (atomic_load(&s->fail_stop))
        return gw_fail(err, -EIO, GW_BLAME_EMBEDDER, "a device does not quiesce");
    atomic_fetch_add(&s->stops, 1);
    if (!atomic_load(&s->fail_stopped))
        return sim_stop(s);
    sim_stop(s);
    return gw_fail(err, -EIO, GW_BLAME_EMBEDDER, "a disk did not take the last bytes");
}

static __attribute__((noinline, no_sanitize("thread"))) void write_again(struct sim *s)
{
    for (unsigned i = 0; i < SIM_BLOCKS; i++)
        for (uint64_t o = 0; o < s->ram_bytes[i]; o += 4096) {
            volatile uint8_t *at = s->ram[i] + o;

            *at = *at;
        }
}

static int op_start(void *opaque, struct gw_error *err)
{
    struct sim *s = opaque;

    if (atomic_load(&s->fail_start))
        return gw_fail(err, -EIO, GW_BLAME_EMBEDDER, "a vCPU does not start");
    atomic_store(&s->starting, true);
    for (unsigned i = 0; i < 60000 && atomic_load(&s->hold_start); i++)
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    if (atomic_load(&s->start_writes))
        write_again(s);
    atomic_fetch_add(&s->starts, 1);
    return sim_start(s);
}

static bool op_running(void *opaque)
{
    return sim_runs(opaque);
}

/* The session's thread alone calls these two. */
static void op_throttle(void *opaque, unsigned percent)
{
    struct sim *s = opaque;

    atomic_store(&s->throttle, percent);
    if (percent > atomic_load(&s->throttle_most))
        atomic_store(&s->throttle_most, percent);
}

static void op_dirty_limit(void *opaque, uint64_t bytes_per_s)
{
    struct sim *s = opaque;
    uint64_t least = atomic_load(&s->dirty_limit_least);

    atomic_store(&s->dirty_limit, bytes_per_s);
    if (bytes_per_s && (!least || bytes_per_s < least))
        atomic_store(&s->dirty_limit_least, bytes_per_s);
}

static void op_handed_over(void *opaque, enum gw_hand_over what)
{
    struct sim *s = opaque;

    atomic_fetch_add(what == GW_HAND_OVER_ARRIVED ? &s->arrived : what == GW_HAND_OVER_LEFT ? &s->left : &s->revoked, 1);
}

static const struct gw_vm_ops ops = {GW_SIZED(struct gw_vm_ops), .stop = op_stop,
                                     .start = op_start,
                                     .running = op_running,
                                     .throttle = op_throttle,
                                     .dirty_limit = op_dirty_limit,
                                     .handed_over = op_handed_over};

static const struct gw_field fields[] = {
    GW_FIELD(struct sim_device, writes),
    GW_FIELD(struct sim_device, seed),
    GW_FIELD(struct sim_device, level),
    GW_FIELD(struct sim_device, fifo_len),
    GW_ARRAY_N(struct sim_device, fifo, fifo_len),
    GW_END,
};

static const struct gw_state state = {
    .name = "sim", .version = 1, .oldest = 1, .size = sizeof(struct sim_device), .fields = fields};

static int fill(struct sim *s, uint64_t seed, uint64_t mib, const struct gw_clock *clock, struct gw_error *err)
{
    struct gw_vm_config config = {.machine = "sim-1", .page_bytes = 4096, .ops = &ops, .opaque = s, .clock = clock};
    int r;

    s->device.seed = seed;
    s->device.fifo_len = seed ? 5 : 0;
    r = gw_vm_new(&config, &s->vm, err);
    for (unsigned i = 0; r >= 0 && i < SIM_BLOCKS; i++) {
        struct gw_ram_desc d = {.name = names[i], .gpa = (uint64_t)i << 32, .flags = GW_RAM_FRESH};

        s->ram_bytes[i] = i == 2 ? 256 * 1024 : (mib << 20) / 2;
        s->ram[i] = mmap(NULL, s->ram_bytes[i], PROT_READ | PROT_WRITE,
                         (i == 1 ? MAP_SHARED : MAP_PRIVATE) | MAP_ANONYMOUS, -1, 0);
        if (s->ram[i] == MAP_FAILED) {
            s->ram[i] = NULL;
            return gw_fail(err, -ENOMEM, GW_BLAME_LOCAL, "no memory for the test machine");
        }
        d.host = s->ram[i];
        d.used_bytes = s->ram_bytes[i];
        r = gw_vm_add_ram(s->vm, &d, err);
    }
    if (r >= 0)
        r = gw_registry_add(gw_vm_registry(s->vm), &state, "sim", 0, &s->device, err);
    if (r >= 0) {
        s->threaded = !pthread_create(&s->thread, NULL, writer, s);
        r = s->threaded ? 0 : -EAGAIN;
    }
    return r;
}

static void sim_free(void *what)
{
    struct sim *s = what;

    if (s->threaded) {
        pthread_mutex_lock(&s->lock);
        s->quit = true;
        pthread_cond_broadcast(&s->changed);
        pthread_mutex_unlock(&s->lock);
        pthread_join(s->thread, NULL);
    }
    gw_vm_free(s->vm);
    if (s->part_ops)
        s->part_ops->free(s->part);
    for (unsigned i = 0; i < SIM_BLOCKS; i++)
        if (s->ram[i])
            munmap(s->ram[i], s->ram_bytes[i]);
    pthread_mutex_destroy(&s->lock);
    pthread_cond_destroy(&s->changed);
    free(s);
}

struct sim *sim_new(uint64_t seed, uint64_t mib, const struct gw_clock *clock)
{
    struct gw_error err = GW_ERROR_INIT;
    struct sim *s = calloc(1, sizeof *s);
    int r;

    if (!s)
        fail_msg("no memory for the test machine");
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->changed, NULL);
    owned(s, sim_free);
    r = fill(s, seed, mib, clock, &err);
    if (r < 0)
        fail_msg("the test machine: %d %s", r, err.text);
    return s;
}

void sim_take_part(struct sim *s, const struct sim_part *part_ops, void *part)
{
    pthread_mutex_lock(&s->lock);
    s->part = part;
    s->part_ops = part_ops;
    pthread_mutex_unlock(&s->lock);
}

void sim_ease(struct sim *s, uint64_t since_ns)
{
    uint64_t now_ns = gw_now_ns(&gw_clock_real), words = atomic_load(&s->words_per_ms);

    if (words <= 1 || now_ns < since_ns + 5000000000u || now_ns < s->eased_ns + 1000000000u)
        return;
    s->eased_ns = now_ns;
    atomic_store(&s->words_per_ms, words / 2);
}

uint64_t sim_check(struct sim *s)
{
    uint64_t wrong = s->part_ops ? s->part_ops->check(s->part) : 0;
    uint8_t *want[SIM_BLOCKS];

    for (unsigned i = 0; i < SIM_BLOCKS; i++)
        want[i] = calloc(1, s->ram_bytes[i]);
    for (uint64_t k = 1; k <= s->device.writes; k++) {
        unsigned block;
        uint64_t offset, value;

        place(s, s->device.seed, k, &block, &offset, &value);
        memcpy(want[block] + offset, &value, 8);
    }
    for (unsigned i = 0; i < SIM_BLOCKS; i++) {
        for (uint64_t o = 0; o < s->ram_bytes[i]; o += 8)
            wrong += memcmp(want[i] + o, s->ram[i] + o, 8) != 0;
        free(want[i]);
    }
    return wrong;
}
