/* SPDX-License-Identifier: MIT
 *
 * The session's API contract: its end is reported once, as the last event, when the vm is free, and by a descriptor;
 * options given with a start are applied all or not at all.
 */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <poll.h>

#include "../owned.h"
#include "sim.h"

static void must(int r, const struct gw_error *err)
{
    if (r < 0)
        print_error("%d %s: %s\n", r, gw_blame_name(err->blame), err->text);
    assert_true(r >= 0);
}

struct side {
    struct sim *sim;
    struct gw_error err;
    _Atomic unsigned ended, after; /* events ENDED; events of any type after ENDED */
    _Atomic(enum gw_status) status; /* the status in ENDED */
    _Atomic(enum gw_status) last;   /* the last STATUS */
    bool again;            /* start another session from ENDED */
    _Atomic int started;   /* the result of that start */
    struct gw_recv *next;
};

/* Calls come one at a time. The members are atomic because the test reads them after a descriptor becomes readable,
 * which is no lock. */
static void see(void *opaque, const struct gw_event *e)
{
    struct side *s = opaque;

    s->after += s->ended > 0;
    if (e->type == GW_EVENT_STATUS)
        s->last = e->status;
    if (e->type != GW_EVENT_ENDED)
        return;
    s->ended++;
    s->status = e->status;
    if (s->again)
        s->started = gw_recv_start(s->sim->vm, &(struct gw_recv_config){.uri = "tcp:127.0.0.1:0"}, &s->next, &s->err);
}

static bool readable(int fd, int timeout_ms)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};

    assert_true(fd >= 0);
    return poll(&p, 1, timeout_ms) == 1;
}

static struct side *up(uint64_t seed)
{
    struct side *s = owned_memory(sizeof *s);

    s->sim = sim_new(seed, 8, NULL);
    must(gw_options_set_u64(gw_vm_options(s->sim->vm), "max-bandwidth", 0, &s->err), &s->err);
    return s;
}

static void down(struct side *s)
{
    owned_end(s->sim);
    owned_end(s);
}

static void expect_end(const struct side *s, enum gw_status status)
{
    assert_int_equal(s->ended, 1);
    assert_int_equal(s->after, 0);
    assert_int_equal(s->status, status);
    assert_int_equal(s->last, status);
}

static void test_good_end(void **state)
{
    struct side *from = up(42), *to = up(0);
    struct gw_channel *a, *b;
    struct gw_recv *recv;
    struct gw_send *send;
    int fd;

    from->again = true;
    must(gw_channel_memory_pair(1 << 20, &a, &b, &from->err), &from->err);
    must(gw_recv_start(to->sim->vm, &(struct gw_recv_config){.take_channel = b, .on_event = see, .opaque = to}, &recv,
                       &to->err),
         &to->err);
    owned_recv(recv);
    fd = gw_recv_fd(recv, &to->err);
    assert_false(readable(fd, 0));
    must(gw_send_start(from->sim->vm,
                       &(struct gw_send_config){
                           .take_channel = a, .on_event = see, .opaque = from, .progress_timeout_ns = UINT64_MAX},
                       &send, &from->err),
         &from->err);
    owned_send(send);
    /* Only the descriptor signals it: after it wait returns at once, and all events were delivered. */
    assert_true(readable(fd, -1));
    assert_int_equal(gw_recv_fd(recv, &to->err), fd);
    expect_end(to, GW_STATUS_COMPLETED);
    assert_int_equal(gw_recv_wait(recv, NULL), 0);
    assert_int_equal(gw_send_wait(send, NULL), 0);
    expect_end(from, GW_STATUS_COMPLETED);
    assert_int_equal(from->started, 0);                     /* the vm was free */
    assert_true(readable(gw_send_fd(send, &from->err), 0)); /* the descriptor was requested after the end */
    gw_recv_free(from->next);
    owned_end(send);
    owned_end(recv);
    down(from);
    down(to);
}

static void test_cancelled_and_failed(void **state)
{
    struct side *from = up(42), *to = up(0);
    struct gw_channel *a, *b;
    struct gw_recv *recv;
    struct gw_send *send;

    must(gw_channel_memory_pair(4096, &a, &b, &from->err), &from->err);
    must(gw_send_start(from->sim->vm,
                       &(struct gw_send_config){
                           .take_channel = a, .on_event = see, .opaque = from, .progress_timeout_ns = UINT64_MAX},
                       &send, &from->err),
         &from->err);
    owned_send(send);
    assert_int_equal(gw_send_cancel(send, &from->err), 0);
    assert_true(readable(gw_send_fd(send, &from->err), -1));
    expect_end(from, GW_STATUS_CANCELLED);
    owned_end(send);
    gw_channel_free(b);

    must(gw_channel_memory_pair(4096, &a, &b, &from->err), &from->err);
    gw_channel_free(a);
    must(gw_recv_start(to->sim->vm, &(struct gw_recv_config){.take_channel = b, .on_event = see, .opaque = to}, &recv,
                       &to->err),
         &to->err);
    owned_recv(recv);
    assert_true(gw_recv_wait(recv, NULL) < 0);
    expect_end(to, GW_STATUS_FAILED);
    owned_end(recv);
    down(from);
    down(to);
}

static void test_options_of_a_start(void **state)
{
    struct gw_options *given, *vms;
    struct gw_error err = GW_ERROR_INIT;
    struct gw_send *send = NULL;
    struct gw_recv *recv = NULL;
    struct side *from = up(42);
    uint64_t n;
    bool on;

    vms = gw_vm_options(from->sim->vm);
    must(gw_options_new(&given, &err), &err);
    must(gw_options_set_u64(given, "downtime-limit", 77, &err), &err);
    must(gw_options_set_bool(given, "events", true, &err), &err);

    /* A start that is refused, early or late, changes nothing. */
    assert_int_equal(
        gw_send_start(from->sim->vm,
                      &(struct gw_send_config){.uri = "nowhere", .options = given, .progress_timeout_ns = UINT64_MAX},
                      &send, &err),
        -EINVAL);
    assert_true(gw_recv_start(from->sim->vm, &(struct gw_recv_config){.uri = "tcp:127.0.0.1:x", .options = given}, &recv,
                              &err) < 0);
    must(gw_options_get_u64(vms, "downtime-limit", &n, &err), &err);
    must(gw_options_get_bool(vms, "events", &on, &err), &err);
    assert_int_equal(n, 300);
    assert_false(on);
    must(gw_options_get_u64(vms, "max-bandwidth", &n, &err), &err);
    assert_int_equal(n, 0);

    /* A start that succeeds applies all of them, also those that were not changed. */
    must(gw_recv_start(from->sim->vm, &(struct gw_recv_config){.uri = "tcp:127.0.0.1:0", .options = given}, &recv, &err),
         &err);
    owned_recv(recv);
    given = gw_options_free(given);
    must(gw_options_get_u64(vms, "downtime-limit", &n, &err), &err);
    must(gw_options_get_bool(vms, "events", &on, &err), &err);
    assert_int_equal(n, 77);
    assert_true(on);
    must(gw_options_get_u64(vms, "max-bandwidth", &n, &err), &err);
    assert_int_equal(n, 128 << 20);
    owned_end(recv);

    /* The session itself uses them. */
    must(gw_options_new(&given, &err), &err);
    must(gw_options_set_bool(given, "pause-before-switchover", true, &err), &err);
    must(gw_options_set_u64(given, "max-bandwidth", 0, &err), &err);
    {
        struct gw_channel *a, *b;
        struct side *to = up(0);

        must(gw_channel_memory_pair(1 << 20, &a, &b, &err), &err);
        must(gw_recv_start(to->sim->vm, &(struct gw_recv_config){.take_channel = b}, &recv, &err), &err);
        owned_recv(recv);
        must(gw_send_start(
                 from->sim->vm,
                 &(struct gw_send_config){.take_channel = a, .options = given, .progress_timeout_ns = UINT64_MAX},
                 &send, &err),
             &err);
        owned_send(send);
        while (gw_send_status(send) != GW_STATUS_PRE_SWITCHOVER)
            poll(NULL, 0, 1);
        must(gw_send_continue(send, &err), &err);
        assert_int_equal(gw_send_wait(send, &err), 0);
        owned_end(send);
        owned_end(recv);
        down(to);
    }
    gw_options_free(given);
    down(from);
}

/* ---- blocks that come and go, marks by block
 * ------------------------------------------------------------------------- */

#define BLOCK_BYTES 65536u

struct blocks {
    struct side *side;
    uint8_t *memory[3];
    unsigned syncs;
};

static void add_blocks(struct blocks *b, struct side *side)
{
    static const char *const names[] = {"dimm0", "dimm1", "dimm2"};

    *b = (struct blocks){.side = side};
    for (unsigned i = 0; i < 3; i++) {
        struct gw_ram_desc d = {.name = names[i], .used_bytes = BLOCK_BYTES, .gpa = (9ull + i) << 32};

        d.host = b->memory[i] = aligned_alloc(4096, BLOCK_BYTES);
        memset(d.host, (int)(1 + i) * (side->sim->device.seed != 0), BLOCK_BYTES);
        must(gw_vm_add_ram(side->sim->vm, &d, &side->err), &side->err);
    }
}

static void free_blocks(struct blocks *b)
{
    for (unsigned i = 0; i < 3; i++)
        free(b->memory[i]);
}

/* Everything was sent once before the third sync, which follows the one in set-up and the one after the first pass:
 * later writes arrive only if they are marked. */
static int write_before_sync(void *opaque, enum gw_notify what, struct gw_error *err)
{
    struct blocks *b = opaque;

    if (what != GW_NOTIFY_BEFORE_SYNC || b->syncs++ < 2)
        return 0;
    b->memory[2][12345] = 99;
    return gw_vm_mark_dirty_block(b->side->sim->vm, "dimm2", 12345, 1, err);
}

static void test_blocks(void **state)
{
    const struct gw_tracker_config tracker = {.kind = GW_TRACKER_EXPLICIT};
    struct side *from = up(42), *to = up(0);
    struct gw_error err = GW_ERROR_INIT;
    struct gw_channel *a, *b;
    struct gw_recv *recv;
    struct gw_send *send;
    struct blocks here, there;

    add_blocks(&here, from);
    add_blocks(&there, to);
    must(gw_vm_set_tracker(from->sim->vm, &tracker, &err), &err);
    must(gw_vm_add_notifier(from->sim->vm, write_before_sync, &here, &err), &err);
    assert_int_equal(gw_vm_remove_ram(from->sim->vm, "dimm9", &err), -ENOENT);
    must(gw_vm_remove_ram(from->sim->vm, "dimm1", &err), &err);
    must(gw_vm_remove_ram(to->sim->vm, "dimm1", &err), &err);
    free(here.memory[1]); /* a sanitizer reports any later access */
    here.memory[1] = NULL;
    assert_int_equal(gw_vm_mark_dirty_block(from->sim->vm, "dimm1", 0, 1, &err), -ENOENT);
    assert_int_equal(gw_vm_mark_dirty_block(from->sim->vm, "dimm2", BLOCK_BYTES, 1, &err), -EINVAL);
    assert_int_equal(gw_vm_mark_dirty_block(from->sim->vm, "dimm2", 1, UINT64_MAX, &err), -EINVAL);

    must(gw_channel_memory_pair(1 << 20, &a, &b, &err), &err);
    must(gw_recv_start(to->sim->vm, &(struct gw_recv_config){.take_channel = b}, &recv, &err), &err);
    owned_recv(recv);
    assert_int_equal(gw_vm_remove_ram(to->sim->vm, "dimm0", &err), -EBUSY);
    must(gw_send_start(from->sim->vm, &(struct gw_send_config){.take_channel = a, .progress_timeout_ns = UINT64_MAX},
                       &send, &err),
         &err);
    owned_send(send);
    must(gw_send_wait(send, &err), &err);
    must(gw_recv_wait(recv, &err), &err);
    owned_end(send);
    assert_true(here.syncs >= 3);
    assert_memory_equal(there.memory[0], here.memory[0], BLOCK_BYTES);
    assert_memory_equal(there.memory[2], here.memory[2], BLOCK_BYTES);
    assert_int_equal(there.memory[2][12345], 99);
    assert_int_equal(there.memory[1][0], 0);

    /* Also after a migration, with the session's object still existing. */
    must(gw_vm_remove_ram(to->sim->vm, "dimm0", &err), &err);
    free(there.memory[0]);
    there.memory[0] = NULL;
    owned_end(recv);
    down(from);
    down(to);
    free_blocks(&here);
    free_blocks(&there);
}

/* ---- the vm's clock
 * -------------------------------------------------------------------------------------------------- */

/* A clock that advances only while a thread sleeps on it. */
static uint64_t simulated_now(void *opaque)
{
    return atomic_load((_Atomic uint64_t *)opaque);
}

static void simulated_sleep(void *opaque, uint64_t ns)
{
    atomic_fetch_add((_Atomic uint64_t *)opaque, ns);
    poll(NULL, 0, 0);
}

static uint64_t simulated_chance(void *opaque)
{
    return 4;
}

static int rest(void *opaque, struct gw_error *err)
{
    return 0;
}

static bool rests(void *opaque)
{
    return false;
}

static void *swallow(void *channel)
{
    char bytes[4096];

    while (gw_channel_readv(channel, &(struct iovec){bytes, sizeof bytes}, 1, NULL) > 0)
        ;
    return NULL;
}

/* A destination that reads everything and never answers is given up after its time-out, which is minutes on the
 * machine's clock. */
static void test_simulated_time(void **state)
{
    static const uint64_t patience_ns = 400 * 1000000000ull;
    _Atomic uint64_t time_ns = 1;
    const struct gw_vm_ops ops = {GW_SIZED(struct gw_vm_ops), .stop = rest, .start = rest, .running = rests};
    const struct gw_clock clock = {GW_SIZED(struct gw_clock), .now_ns = simulated_now, .sleep_ns = simulated_sleep,
                                   .random = simulated_chance, .opaque = &time_ns};
    const struct gw_tracker_config tracker = {.kind = GW_TRACKER_EXPLICIT};
    struct gw_error err = GW_ERROR_INIT;
    struct gw_channel *a, *b;
    struct gw_send *send;
    struct gw_vm *vm;
    pthread_t thread;

    must(gw_vm_new(&(struct gw_vm_config){.machine = "m", .page_bytes = 4096, .ops = &ops, .clock = &clock}, &vm, &err),
         &err);
    must(gw_vm_set_tracker(vm, &tracker, &err), &err);
    must(gw_channel_memory_pair(1 << 20, &a, &b, &err), &err);
    assert_int_equal(pthread_create(&thread, NULL, swallow, b), 0);
    must(
        gw_send_start(vm, &(struct gw_send_config){.take_channel = a, .progress_timeout_ns = patience_ns}, &send, &err),
        &err);
    owned_send(send);
    assert_int_equal(gw_send_wait(send, &err), -ETIMEDOUT);
    if (!strstr(err.text, "a PING"))
        print_error("%s\n", err.text);
    assert_non_null(strstr(err.text, "a PING"));
    assert_true(atomic_load(&time_ns) >= patience_ns);
    owned_end(send);
    pthread_join(thread, NULL);
    gw_channel_free(b);
    gw_vm_free(vm);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        owned_test(test_good_end),           owned_test(test_cancelled_and_failed),
        owned_test(test_options_of_a_start), owned_test(test_blocks),
        owned_test(test_simulated_time),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
