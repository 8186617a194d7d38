/* SPDX-License-Identifier: MIT
 *
 * door_time: the clock of a listening destination, controlled by the test. It replaces the system's clock between
 * door_begin and door_end: no visitor's hello and no turn of a source times out before the test advances it. Include it
 * once, in a program that is linked with
 * --wrap=gw_clock_system, --wrap=gw_wait_ready and --wrap=gw_vm_head_get.
 *
 * Waits of up to half a second are polling and stay real; waits of more than ten seconds never end. A machine (gw_vm)
 * that is made meanwhile gets the real clock by door_real_clock().
 */
#ifndef DOOR_TIME_H
#define DOOR_TIME_H

#include <stdatomic.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "channel/cancel.h"
#include "engine/head.h"

static struct {
    atomic_bool on;
    _Atomic uint64_t now_ns;
    atomic_uint readers;   /* number of heads read so far */
    atomic_int reader[64]; /* the threads that read them: each ends when the destination has its head */
} door;

const struct gw_clock *__real_gw_clock_system(void);
const struct gw_clock *__wrap_gw_clock_system(void);
int __real_gw_wait_ready(int fd, short events, const struct gw_cancel *wake, const struct gw_cancel *also,
                         uint64_t deadline_ns);
int __wrap_gw_wait_ready(int fd, short events, const struct gw_cancel *wake, const struct gw_cancel *also,
                         uint64_t deadline_ns);

static uint64_t door_now(void *opaque)
{
    return atomic_load(&door.on) ? atomic_load(&door.now_ns) : gw_now_ns(__real_gw_clock_system());
}

static void door_nap(uint64_t ns)
{
    nanosleep(&(struct timespec){.tv_sec = (time_t)(ns / GW_NS_PER_S), .tv_nsec = (long)(ns % GW_NS_PER_S)}, NULL);
}

static const struct gw_clock *door_real_clock(void)
{
    return __real_gw_clock_system();
}

static void door_sleep(void *opaque, uint64_t ns)
{
    door_nap(ns);
}

static uint64_t door_random(void *opaque)
{
    return door_real_clock()->random(door_real_clock()->opaque);
}

const struct gw_clock *__wrap_gw_clock_system(void)
{
    static const struct gw_clock clock = {GW_SIZED(struct gw_clock), .now_ns = door_now, .sleep_ns = door_sleep,
                                          .random = door_random};

    return atomic_load(&door.on) ? &clock : __real_gw_clock_system();
}

int __wrap_gw_wait_ready(int fd, short events, const struct gw_cancel *wake, const struct gw_cancel *also,
                         uint64_t deadline_ns)
{
    const uint64_t turn_ns = GW_NS_PER_S / 2, endless_ns = 10 * GW_NS_PER_S, look_ns = 2 * GW_NS_PER_MS;
    uint64_t left_ns = deadline_ns - door_now(NULL), real_ns = gw_now_ns(door_real_clock());
    int r;

    if (!atomic_load(&door.on) || !deadline_ns)
        return __real_gw_wait_ready(fd, events, wake, also, deadline_ns);
    if (deadline_ns <= door_now(NULL) || left_ns <= turn_ns)
        return __real_gw_wait_ready(fd, events, wake, also, deadline_ns <= door_now(NULL) ? 1 : real_ns + left_ns);
    if (left_ns > endless_ns)
        return __real_gw_wait_ready(fd, events, wake, also, 0);
    do
        r = __real_gw_wait_ready(fd, events, wake, also, gw_now_ns(door_real_clock()) + look_ns);
    while (r == -ETIMEDOUT && door_now(NULL) < deadline_ns);
    return r;
}

int __real_gw_vm_head_get(const struct gw_vm *vm, struct gw_reader *reader, struct gw_wire_head *ret_head,
                          struct gw_error *err);
int __wrap_gw_vm_head_get(const struct gw_vm *vm, struct gw_reader *reader, struct gw_wire_head *ret_head,
                          struct gw_error *err);

/* Called on the visitor's thread. */
int __wrap_gw_vm_head_get(const struct gw_vm *vm, struct gw_reader *reader, struct gw_wire_head *ret_head,
                          struct gw_error *err)
{
    int r = __real_gw_vm_head_get(vm, reader, ret_head, err);
    unsigned n;

    if (r < 0 || !atomic_load(&door.on))
        return r;
    n = atomic_fetch_add(&door.readers, 1);
    if (n < GW_ARRAY_LEN(door.reader))
        atomic_store(&door.reader[n], (int)gettid());
    return r;
}

/* Whether this many heads were read and processed: each visitor's thread has ended. */
static inline bool door_knows_heads(unsigned n)
{
    char path[64];

    if (atomic_load(&door.readers) < n)
        return false;
    for (unsigned i = 0; i < n && i < GW_ARRAY_LEN(door.reader); i++) {
        snprintf(path, sizeof path, "/proc/self/task/%d", atomic_load(&door.reader[i]));
        if (!atomic_load(&door.reader[i]) || !access(path, F_OK))
            return false;
    }
    return true;
}

/* Starts the time of a new destination. */
static void door_begin(void)
{
    atomic_store(&door.now_ns, gw_now_ns(door_real_clock()));
    for (unsigned i = 0; i < GW_ARRAY_LEN(door.reader); i++)
        atomic_store(&door.reader[i], 0);
    atomic_store(&door.readers, 0);
    atomic_store(&door.on, true);
}

static void door_end(void)
{
    atomic_store(&door.on, false);
}

static void door_pass_ms(unsigned ms)
{
    atomic_fetch_add(&door.now_ns, ms * GW_NS_PER_MS);
}

/* Called on a stranger's thread; *ends cancels the wait. */
static inline void door_wait_ms(unsigned ms, const atomic_bool *ends)
{
    uint64_t until = door_now(NULL) + ms * GW_NS_PER_MS;

    while (!atomic_load(ends) && door_now(NULL) < until)
        door_nap(GW_NS_PER_MS);
}

#endif
