/* SPDX-License-Identifier: MIT
 *
 * Both ends in one process over a memory channel, with a machine that writes continuously.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "../owned.h"
#include "sim.h"

static void show(void *opaque, const struct gw_event *e)
{
    if (!getenv("SIM_VERBOSE"))
        return;
    if (e->type == GW_EVENT_LOG)
        print_message("%s: %s\n", (const char *)opaque, e->text);
    else
        print_message("%s: event %d status %s pass %llu\n", (const char *)opaque, e->type, gw_status_name(e->status),
                      (unsigned long long)e->pass);
}

static void must(int r, const struct gw_error *err)
{
    if (r < 0)
        print_error("%d %s: %s\n", r, gw_blame_name(err->blame), err->text);
    assert_true(r >= 0);
}

static void sleep_ms(unsigned ms)
{
    nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000}, NULL);
}

static void set(struct sim *s, const char *name, const char *value)
{
    struct gw_error err = GW_ERROR_INIT;

    must(gw_options_set_parameter(gw_vm_options(s->vm), name, value, &err), &err);
}

static void migrate(struct sim *from, struct sim *to, const char *peer, bool over_uri)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_channel *a = NULL, *b = NULL;
    struct gw_recv *recv;
    struct gw_send *send;
    struct gw_stats stats;
    char address[256];
    bool ran = sim_runs(from);

    if (!over_uri)
        must(gw_channel_memory_pair(1 << 20, &a, &b, &err), &err);
    must(gw_recv_start(to->vm,
                       &(struct gw_recv_config){.uri = over_uri ? "tcp:127.0.0.1:0" : NULL,
                                                .take_channel = b,
                                                .hello_timeout_ns = UINT64_MAX / 4,
                                                .on_event = show,
                                                .opaque = (void *)"to"},
                       &recv, &err),
         &err);
    owned_recv(recv);
    gw_recv_address(recv, address, sizeof address);
    must(gw_send_start(from->vm,
                       &(struct gw_send_config){.uri = over_uri ? address : NULL,
                                                .take_channel = a,
                                                .peer = peer,
                                                .on_event = show,
                                                .opaque = (void *)"from",
                                                .progress_timeout_ns = UINT64_MAX},
                       &send, &err),
         &err);
    owned_send(send);
    for (uint64_t since_ns = gw_now_ns(&gw_clock_real); !sim_over(gw_send_status(send)); sleep_ms(1))
        sim_ease(from, since_ns);
    must(gw_send_wait(send, &err), &err);
    must(gw_recv_wait(recv, &err), &err);
    assert_int_equal(gw_send_owner(send), GW_OWNER_DESTINATION);
    assert_int_equal(gw_recv_owner(recv), GW_OWNER_DESTINATION);
    gw_send_stats(send, &stats);
    if (getenv("SIM_VERBOSE"))
        print_message("total %llu ms, downtime %llu us, %u rounds, %llu bytes, normal %llu zero %llu\n",
                      (unsigned long long)stats.total_time_ns / 1000000, (unsigned long long)stats.downtime_ns / 1000, stats.rounds,
                      (unsigned long long)stats.transferred_bytes, (unsigned long long)stats.normal_pages,
                      (unsigned long long)stats.duplicate_pages);
    uint64_t sum = 0;
    for (unsigned i = 0; i < GW_CAUSE_COUNT; i++)
        sum += stats.bytes_by[i];
    assert_int_equal(sum, stats.transferred_bytes);
    /* Bytes of RAM, by whether the machine was running when they were sent. */
    assert_int_equal(stats.precopy_bytes + stats.downtime_bytes,
                     sum - stats.bytes_by[GW_CAUSE_HEAD] - stats.bytes_by[GW_CAUSE_DEVICE] - stats.bytes_by[GW_CAUSE_VMDESC]);
    assert_true(stats.downtime_bytes > 0);
    assert_true(ran == (stats.precopy_bytes > 0));
    owned_end(send);
    owned_end(recv);
    assert_false(sim_runs(from));
    assert_int_equal(from->left, 1);
    assert_int_equal(to->arrived, 1);
}

static void go(uint64_t rate, const char *peer, bool over_uri, bool running)
{
    struct sim *from = sim_new(42, 32, NULL), *to = sim_new(0, 32, NULL);

    set(from, "max-bandwidth", "0");
    from->words_per_ms = to->words_per_ms = rate;
    if (running) {
        sim_start(from);
        sim_await_writes(from, 1);
    }
    migrate(from, to, peer, over_uri);
    assert_int_equal(sim_runs(to), running);
    if (running)
        sim_await_writes(to, 1);
    sim_stop(to);
    assert_true(!running || !rate || to->device.writes > from->device.writes);
    assert_true(to->device.writes >= from->device.writes);
    assert_int_equal(to->device.fifo_len, 5);
    assert_int_equal(sim_check(to), 0);
    owned_end(from);
    owned_end(to);
}

static void test_stopped(void **state)
{
    go(0, NULL, false, false);
}

static void test_idle(void **state)
{
    go(0, NULL, false, true);
}

static void test_writing(void **state)
{
    go(200, NULL, false, true);
}

static void test_writing_plain_peers(void **state)
{
    go(200, "7.2", false, true);
    go(200, "10.0", false, true);
}

static void test_over_tcp(void **state)
{
    go(200, NULL, true, true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        owned_test(test_stopped),  owned_test(test_idle),
        owned_test(test_writing),  owned_test(test_writing_plain_peers),
        owned_test(test_over_tcp),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
