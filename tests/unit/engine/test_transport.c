/* SPDX-License-Identifier: MIT
 *
 * An embedder's page transport becomes one of its vm, or does not: tables of other sizes, and when it may change. What it
 * does: ram/page/test_transport.c, and in whole migrations tests/sim/test_transport.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "engine/vm.h"
#include "godwit/godwit.h"

static int nothing(void *opaque, struct gw_error *err)
{
    return 0;
}

static bool never(void *opaque)
{
    return false;
}

static int take(void *opaque, const struct gw_transport_page *page, struct gw_error *err)
{
    return GW_TAKE_DECLINED;
}

static int record(void *opaque, struct gw_transport_in *in, struct gw_error *err)
{
    return 0;
}

static const struct gw_vm_ops ops = {GW_SIZED(struct gw_vm_ops), .stop = nothing, .start = nothing, .running = never};
static struct gw_vm *vm;

static int up(void **state)
{
    struct gw_vm_config config = {.machine = "m", .page_bytes = 4096, .ops = &ops};

    return gw_vm_new(&config, &vm, NULL);
}

static int down(void **state)
{
    vm = gw_vm_free(vm);
    return 0;
}

static void test_set(void **state)
{
    struct gw_page_transport_ops table = {GW_SIZED(struct gw_page_transport_ops), .take = take};
    struct gw_error err = GW_ERROR_INIT;
    struct gw_transport *first;
    int opaque;

    gw_page_taken(vm, 5, -EIO); /* there is none: nobody cares */
    assert_int_equal(gw_vm_set_page_transport(vm, &table, &opaque, &err), 0);
    first = vm->transport;
    assert_ptr_equal(first->opaque, &opaque);
    assert_ptr_equal(first->ops.take, take);
    gw_page_taken(vm, 5, -EIO);
    assert_int_equal(first->result, -EIO);
    /* Another one takes its place; NULL takes it away. */
    table.take = NULL;
    table.record = record;
    assert_int_equal(gw_vm_set_page_transport(vm, &table, NULL, &err), 0);
    assert_ptr_equal(vm->transport->ops.record, record);
    assert_int_equal(vm->transport->result, 0);
    assert_int_equal(gw_vm_set_page_transport(vm, NULL, NULL, &err), 0);
    assert_null(vm->transport);
    assert_int_equal(gw_vm_set_page_transport(vm, NULL, NULL, &err), 0);
}

static void test_refused(void **state)
{
    struct {
        struct gw_page_transport_ops table;
        uint64_t later;
    } newer = {.table = {GW_SIZED(struct gw_page_transport_ops)}};
    struct gw_error err = GW_ERROR_INIT;

    assert_int_equal(gw_vm_set_page_transport(vm, &newer.table, NULL, &err), -EINVAL);
    assert_int_equal(err.blame, GW_BLAME_CALLER);
    assert_string_equal(err.text, "a page transport needs the call take or the call record");
    newer.table.take = take;
    newer.table.bytes = 0;
    assert_int_equal(gw_vm_set_page_transport(vm, &newer.table, NULL, &err), -EINVAL);
    assert_non_null(strstr(err.text, "GW_SIZED(struct gw_page_transport_ops)"));
    newer.table.bytes = offsetof(struct gw_page_transport_ops, take);
    assert_int_equal(gw_vm_set_page_transport(vm, &newer.table, NULL, &err), -EINVAL);
    newer.table.bytes = sizeof newer;
    newer.later = 1;
    assert_int_equal(gw_vm_set_page_transport(vm, &newer.table, NULL, &err), -E2BIG);
    assert_null(vm->transport);
    newer.later = 0;
    assert_int_equal(gw_vm_set_page_transport(vm, &newer.table, NULL, &err), 0);
    /* One that ends with take has no other function. */
    newer.table.bytes = offsetof(struct gw_page_transport_ops, take) + sizeof newer.table.take;
    newer.table.record = record;
    assert_int_equal(gw_vm_set_page_transport(vm, &newer.table, NULL, &err), 0);
    assert_null(vm->transport->ops.record);
}

/* Under a session it stays what it is. */
static void test_busy(void **state)
{
    struct gw_page_transport_ops table = {GW_SIZED(struct gw_page_transport_ops), .take = take};
    struct gw_error err = GW_ERROR_INIT;
    struct gw_transport *own;
    struct gw_channel *a, *b;
    struct gw_recv *recv;

    assert_int_equal(gw_vm_set_page_transport(vm, &table, NULL, &err), 0);
    own = vm->transport;
    assert_int_equal(gw_channel_memory_pair(64, &a, &b, &err), 0);
    assert_int_equal(gw_recv_start(vm, &(struct gw_recv_config){.take_channel = a}, &recv, &err), 0);
    assert_int_equal(gw_vm_set_page_transport(vm, &table, NULL, &err), -EBUSY);
    assert_int_equal(err.blame, GW_BLAME_CALLER);
    assert_int_equal(gw_vm_set_page_transport(vm, NULL, NULL, &err), -EBUSY);
    assert_ptr_equal(vm->transport, own);
    gw_recv_free(recv);
    gw_channel_free(b);
    assert_int_equal(gw_vm_set_page_transport(vm, NULL, NULL, &err), 0);
}

#define transport_test(f) cmocka_unit_test_setup_teardown(f, up, down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        transport_test(test_set),
        transport_test(test_refused),
        transport_test(test_busy),
    };

    return cmocka_run_group_tests_name("transport", tests, NULL, NULL);
}
