/* SPDX-License-Identifier: MIT
 *
 * rig: a machine, a clock and a log, for tests of one file of the engine. For tests with setup `rig_up` and teardown `rig_down`.
 *
 * The clock goes on by what is slept on it, and nothing sleeps really: a wait with an end reaches it at once. What is to happen
 * while somebody waits is `rig.slept`, which is called with each sleep: it may change what is waited for.
 */
#ifndef ENGINE_RIG_H
#define ENGINE_RIG_H

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/base.h"
#include "engine/vm.h"
#include "godwit/godwit.h"

#define RIG_PAGE  4096u
#define RIG_PAGES 16u

static struct rig {
    struct gw_vm *vm;
    uint8_t *ram;
    _Atomic uint64_t now_ns;
    atomic_bool running;
    int stop_fails, start_fails; /* what these calls return */
    atomic_uint percent;         /* the most that the guest was throttled by */
    void (*slept)(void);
    /* What happened, a word for each. Under lock. */
    pthread_mutex_t lock;
    char log[4000];
} rig = {.lock = PTHREAD_MUTEX_INITIALIZER};

GW_PRINTF(1, 2)
static inline void rig_say(const char *fmt, ...)
{
    size_t n;
    va_list ap;

    pthread_mutex_lock(&rig.lock);
    n = strlen(rig.log);
    va_start(ap, fmt);
    vsnprintf(rig.log + n, sizeof rig.log - n, fmt, ap);
    va_end(ap);
    pthread_mutex_unlock(&rig.lock);
}

/* What was said since the last look. */
static inline void rig_said(const char *want)
{
    char log[sizeof rig.log];

    pthread_mutex_lock(&rig.lock);
    memcpy(log, rig.log, sizeof log);
    rig.log[0] = 0;
    pthread_mutex_unlock(&rig.lock);
    assert_string_equal(log, want);
}

static uint64_t rig_now(void *opaque)
{
    return atomic_load(&rig.now_ns);
}

static void rig_sleep(void *opaque, uint64_t ns)
{
    atomic_fetch_add(&rig.now_ns, ns);
    if (rig.slept)
        rig.slept();
}

static uint64_t rig_random(void *opaque)
{
    return 4;
}

static int rig_stop(void *opaque, struct gw_error *err)
{
    rig_say("stop ");
    if (!rig.stop_fails)
        atomic_store(&rig.running, false);
    return rig.stop_fails;
}

static int rig_start(void *opaque, struct gw_error *err)
{
    rig_say("start ");
    if (!rig.start_fails)
        atomic_store(&rig.running, true);
    return rig.start_fails;
}

static bool rig_running(void *opaque)
{
    return atomic_load(&rig.running);
}

static void rig_throttle(void *opaque, unsigned percent)
{
    if (percent > atomic_load(&rig.percent))
        atomic_store(&rig.percent, percent);
}

static void rig_dirty_limit(void *opaque, uint64_t bytes)
{
    rig_say("limit %u ", (unsigned)bytes);
}

static void rig_handed(void *opaque, enum gw_hand_over what)
{
    static const char *const words[] = {"arrived", "left", "revoked"};

    rig_say("%s ", words[what]);
}

static inline void rig_event(void *opaque, const struct gw_event *e)
{
    static const char *const kinds[] = {
        [GW_EVENT_STATUS] = "status", [GW_EVENT_PASS] = "pass", [GW_EVENT_STOP] = "STOP", [GW_EVENT_RESUME] = "RESUME"};

    if (e->type == GW_EVENT_STATUS)
        rig_say("[%s] ", gw_status_name(e->status));
    else if (e->type == GW_EVENT_PASS)
        rig_say("pass%u ", (unsigned)e->pass);
    else if (e->type == GW_EVENT_LOG)
        rig_say("%s%s; ", e->refused ? "refused: " : "", e->text);
    else if (e->type == GW_EVENT_ENDED)
        rig_say("[ended] ");
    else
        rig_say("%s ", kinds[e->type]);
}

static const struct gw_vm_ops rig_ops = {GW_SIZED(struct gw_vm_ops), .stop = rig_stop, .start = rig_start, .running = rig_running,
                                         .throttle = rig_throttle, .dirty_limit = rig_dirty_limit, .handed_over = rig_handed};
/* Of a machine that can do no more than it must. */
static const struct gw_vm_ops rig_bare_ops GW_UNUSED = {GW_SIZED(struct gw_vm_ops), .stop = rig_stop, .start = rig_start,
                                                        .running = rig_running};

/* "ram", 16 pages that are not zeros, with an explicit tracker. ops: NULL: rig_ops. */
static inline int rig_up_as(const char *machine, const struct gw_vm_ops *ops)
{
    static const struct gw_clock clock = {GW_SIZED(struct gw_clock), rig_now, rig_sleep, rig_random, NULL};
    struct gw_vm_config config = {.machine = machine, .page_bytes = RIG_PAGE, .ops = ops ? ops : &rig_ops, .clock = &clock};
    struct gw_ram_desc ram = {.name = "ram", .used_bytes = RIG_PAGES * RIG_PAGE, .max_bytes = 2 * RIG_PAGES * RIG_PAGE,
                              .gpa = 0x10000, .flags = GW_RAM_RESIZEABLE};
    struct gw_tracker_config tracker = {.kind = GW_TRACKER_EXPLICIT};

    rig.slept = NULL;
    rig.stop_fails = rig.start_fails = 0;
    rig.running = false;
    rig.percent = 0;
    rig.now_ns = GW_NS_PER_S;
    rig.log[0] = 0;
    ram.host = rig.ram = aligned_alloc(RIG_PAGE, (size_t)ram.max_bytes);
    memset(rig.ram, 1, (size_t)ram.max_bytes);
    return gw_vm_new(&config, &rig.vm, NULL) || gw_vm_add_ram(rig.vm, &ram, NULL) || gw_vm_set_tracker(rig.vm, &tracker, NULL);
}

static inline int rig_up(void **state)
{
    return rig_up_as("m", NULL);
}

static inline int rig_down(void **state)
{
    rig.vm = gw_vm_free(rig.vm);
    free(rig.ram);
    rig.ram = NULL;
    return 0;
}

static inline void rig_cap(const char *name)
{
    struct gw_error err = GW_ERROR_INIT;

    if (gw_options_set_capability(gw_vm_options(rig.vm), name, true, &err) < 0)
        fail_msg("%s", err.text);
}

static inline void rig_param(const char *name, const char *value)
{
    struct gw_error err = GW_ERROR_INIT;

    if (gw_options_set_parameter(gw_vm_options(rig.vm), name, value, &err) < 0)
        fail_msg("%s", err.text);
}

/* A call that was to fail did, for this reason. */
static inline void rig_fails(int r, int code, const struct gw_error *err, const char *text)
{
    assert_int_equal(r, code);
    assert_string_equal(err->text, text);
}

#define rig_test(f) cmocka_unit_test_setup_teardown(f, rig_up, rig_down)

#endif
