/* SPDX-License-Identifier: MIT
 *
 * Programs that were compiled with an older or a newer version of the headers: sizes that cross the border of the
 * library (godwit/version.h), through its public functions. The copy itself: base/test_sized.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/sized.h"
#include "godwit/godwit.h"

static int nothing(void *opaque, struct gw_error *err)
{
    return 0;
}

static bool never(void *opaque)
{
    return false;
}

static const struct gw_vm_ops ops = {GW_SIZED(struct gw_vm_ops), .stop = nothing, .start = nothing, .running = never};

/* A program of a later version: the struct has one word more. */
#define NEWER(type)                                                                                                    \
    struct {                                                                                                           \
        type s;                                                                                                        \
        uint64_t later;                                                                                                \
    }

static void test_vm_config(void **state)
{
    NEWER(struct gw_vm_config) n = {.s = {.machine = "m", .page_bytes = 4096, .ops = &ops}};
    struct gw_error err = GW_ERROR_INIT;
    struct gw_vm *vm = NULL;

    assert_int_equal(gw_vm_new_sized(&n.s, 0, &vm, &err), -EINVAL);
    assert_int_equal(err.blame, GW_BLAME_CALLER);
    assert_non_null(strstr(err.text, "gw_vm_config"));
    n.later = 1;
    assert_int_equal(gw_vm_new_sized(&n.s, sizeof n, &vm, &err), -E2BIG);
    assert_null(vm);
    n.later = 0;
    assert_int_equal(gw_vm_new_sized(&n.s, sizeof n, &vm, &err), 0);
    vm = gw_vm_free(vm);
    /* An older one, without the clock: that member is not looked at. */
    n.s.clock = (const struct gw_clock *)1;
    assert_int_equal(gw_vm_new_sized(&n.s, offsetof(struct gw_vm_config, clock), &vm, &err), 0);
    gw_vm_free(vm);
}

static void test_tables(void **state)
{
    static const struct gw_vm_ops forgotten = {.stop = nothing, .start = nothing, .running = never};
    static const struct gw_clock clock = {.now_ns = NULL};
    struct gw_vm_config config = {.machine = "m", .page_bytes = 4096, .ops = &forgotten};
    NEWER(struct gw_vm_ops) n = {.s = ops, .later = 5};
    struct gw_error err = GW_ERROR_INIT;
    const size_t small = GW_SIZED_UNTIL(struct gw_vm_ops, running);
    void *old;
    struct gw_vm *vm = NULL;

    assert_int_equal(gw_vm_new(&config, &vm, &err), -EINVAL);
    assert_non_null(strstr(err.text, "GW_SIZED(struct gw_vm_ops)"));
    n.s.bytes = sizeof n;
    config.ops = &n.s;
    assert_int_equal(gw_vm_new(&config, &vm, &err), -E2BIG);
    n.later = 0;
    config.clock = &clock;
    assert_int_equal(gw_vm_new(&config, &vm, &err), -EINVAL);
    assert_non_null(strstr(err.text, "struct gw_clock"));
    config.clock = NULL;
    assert_int_equal(gw_vm_new(&config, &vm, &err), 0);
    vm = gw_vm_free(vm);
    /* One that ends with `running`, in memory that ends there too. It is copied: it may go. */
    old = malloc(small);
    memcpy(old, &ops, small);
    memcpy(old, &small, sizeof small);
    config.ops = old;
    assert_int_equal(gw_vm_new(&config, &vm, &err), 0);
    free(old);
    assert_int_equal(gw_options_set_capability(gw_vm_options(vm), "auto-converge", true, NULL), 0);
    /* It has no throttle. */
    assert_int_equal(
        gw_send_start(vm, &(struct gw_send_config){.uri = "tcp:127.0.0.1:1"}, &(struct gw_send *){NULL}, &err),
        -ENOTSUP);
    gw_vm_free(vm);
}

/* What is taken is freed, whatever is wrong with the rest. */
static void test_sessions(void **state)
{
    NEWER(struct gw_send_config) s = {.later = 1};
    NEWER(struct gw_recv_config) v = {.later = 1};
    struct gw_vm_config config = {.machine = "m", .page_bytes = 4096, .ops = &ops};
    struct gw_error err = GW_ERROR_INIT;
    struct gw_channel *a, *b;
    struct gw_send *send = NULL;
    struct gw_recv *recv = NULL;
    struct gw_vm *vm;
    char byte;

    assert_int_equal(gw_vm_new(&config, &vm, NULL), 0);
    assert_int_equal(gw_channel_memory_pair(64, &a, &b, NULL), 0);
    s.s.take_channel = a;
    assert_int_equal(gw_send_start_sized(vm, &s.s, sizeof s, &send, &err), -E2BIG);
    assert_int_equal(gw_channel_readv(b, &(struct iovec){&byte, 1}, 1, NULL), 0);
    gw_channel_free(b);
    assert_int_equal(gw_channel_memory_pair(64, &a, &b, NULL), 0);
    v.s.take_channel = a;
    assert_int_equal(gw_recv_start_sized(vm, &v.s, sizeof v, &recv, &err), -E2BIG);
    assert_int_equal(gw_channel_readv(b, &(struct iovec){&byte, 1}, 1, NULL), 0);
    gw_channel_free(b);
    assert_int_equal(gw_send_start_sized(vm, &s.s, 0, &send, &err), -EINVAL);
    assert_int_equal(gw_recv_start_sized(vm, &v.s, 3, &recv, &err), -EINVAL);
    assert_null(send);
    assert_null(recv);
    gw_vm_free(vm);
}

static void test_statistics(void **state)
{
    struct gw_vm_config config = {.machine = "m", .page_bytes = 4096, .ops = &ops};
    NEWER(struct gw_stats) *n = malloc(sizeof *n);
    struct gw_stats older;
    struct gw_channel *a, *b;
    struct gw_recv *recv;
    struct gw_vm *vm;

    assert_int_equal(gw_vm_new(&config, &vm, NULL), 0);
    assert_int_equal(gw_channel_memory_pair(64, &a, &b, NULL), 0);
    assert_int_equal(gw_recv_start(vm, &(struct gw_recv_config){.take_channel = a}, &recv, NULL), 0);
    memset(n, 0xee, sizeof *n);
    gw_recv_stats_sized(recv, &n->s, sizeof *n);
    assert_int_equal(n->s.status, gw_recv_status(recv));
    assert_int_equal(n->later, 0);
    memset(&older, 0xee, sizeof older);
    gw_recv_stats_sized(recv, &older, offsetof(struct gw_stats, rounds));
    assert_int_equal(older.status, n->s.status);
    assert_int_equal(older.rounds, 0xeeeeeeee);
    gw_recv_free(recv);
    gw_channel_free(b);
    gw_vm_free(vm);
    free(n);
}

static void test_state_layout(void **state)
{
    static const struct gw_field fields[] = {GW_UNUSED_BYTES(1), GW_END};
    static const struct gw_state description = {.name = "d", .version = 1, .oldest = 1, .size = 1, .fields = fields};
    struct gw_vm_config config = {.machine = "m", .page_bytes = 4096, .ops = &ops};
    struct gw_error err = GW_ERROR_INIT;
    struct gw_vm *vm;
    char device;

    assert_int_equal(gw_vm_new(&config, &vm, NULL), 0);
    assert_int_equal(gw_registry_add_abi(gw_vm_registry(vm), GW_STATE_ABI + 1, &description, "d", 0, &device, &err),
                     -ENOTSUP);
    assert_int_equal(err.blame, GW_BLAME_CALLER);
    assert_int_equal(gw_registry_add(gw_vm_registry(vm), &description, "d", 0, &device, &err), 0);
    gw_vm_free(vm);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vm_config),  cmocka_unit_test(test_tables),       cmocka_unit_test(test_sessions),
        cmocka_unit_test(test_statistics), cmocka_unit_test(test_state_layout),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
