/* SPDX-License-Identifier: MIT
 *
 * Waits for pages: measured where the capability is on and somebody can wait, told with all vCPUs that have a name.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "engine/recv.h"
#include "ram/store/blocktime.h"

struct rig {
    struct gw_recv recv;
    struct gw_vm *vm;
};

static int does(void *opaque, struct gw_error *err)
{
    return 0;
}

static bool runs(void *opaque)
{
    return false;
}

static int up(void **state)
{
    static const struct gw_vm_ops ops = {GW_SIZED(struct gw_vm_ops), .stop = does, .start = does, .running = runs};
    struct gw_vm_config config = {.machine = "box", .page_bytes = 4096, .ops = &ops};
    struct rig *t = calloc(1, sizeof *t);

    assert_int_equal(gw_vm_new(&config, &t->vm, NULL), 0);
    t->recv.session.vm = t->vm;
    *state = t;
    return 0;
}

static int down(void **state)
{
    struct rig *t = *state;

    gw_blocktime_free(t->recv.blocktime);
    gw_vm_free(t->vm);
    free(t);
    return 0;
}

static void test_off(void **state)
{
    struct rig *t = *state;
    struct gw_vcpu_waits vcpu = {1, 1};
    struct gw_postcopy_waits w = {.vcpus = 9};

    assert_int_equal(gw_waits_begin(&t->recv, NULL), 0);
    assert_null(t->recv.blocktime);
    assert_false(gw_recv_waits(&t->recv, &w, &vcpu, 1));
    assert_int_equal(w.vcpus, 0);
    assert_int_equal(vcpu.blocktime_ns, 0);
}

static void test_at_rest(void **state)
{
    struct rig *t = *state;

    assert_int_equal(gw_options_set_bool(gw_vm_options(t->vm), "postcopy-blocktime", true, NULL), 0);
    gw_plan_decide(&t->recv.plan, gw_vm_options(t->vm));
    t->vm->guest = &gw_guest_at_rest;
    assert_int_equal(gw_waits_begin(&t->recv, NULL), 0);
    assert_null(t->recv.blocktime);
    t->vm->guest = &gw_guest_here;
}

static void test_told(void **state)
{
    struct rig *t = *state;
    struct gw_vcpu_waits vcpu[4];
    struct gw_postcopy_waits w;

    assert_int_equal(gw_options_set_bool(gw_vm_options(t->vm), "postcopy-blocktime", true, NULL), 0);
    gw_plan_decide(&t->recv.plan, gw_vm_options(t->vm));
    assert_int_equal(gw_vm_set_vcpu_thread(t->vm, 0, 100, NULL), 0);
    assert_int_equal(gw_vm_set_vcpu_thread(t->vm, 1, 101, NULL), 0);
    assert_int_equal(gw_waits_begin(&t->recv, NULL), 0);
    assert_int_equal(gw_blocktime_begin(t->recv.blocktime, 101, 5, 1000), 0);
    gw_blocktime_end(t->recv.blocktime, 5, 1000 + 64000);
    assert_int_equal(gw_blocktime_begin(t->recv.blocktime, 7, 6, 100000), 0);
    gw_blocktime_end(t->recv.blocktime, 6, 100000 + 2000);
    assert_true(gw_recv_waits(&t->recv, &w, vcpu, 4));
    assert_int_equal(w.vcpus, 2);
    assert_int_equal(w.waits, 2);
    assert_int_equal(w.others_waits, 1);
    assert_int_equal(w.latency_ns, 33000);
    assert_int_equal(w.others_latency_ns, 2000);
    assert_int_equal(w.blocktime_ns, 0); /* never both at a time */
    assert_int_equal(w.latency_dist[6], 1);
    assert_int_equal(w.latency_dist[1], 1);
    assert_int_equal(vcpu[0].blocktime_ns, 0);
    assert_int_equal(vcpu[1].blocktime_ns, 64000);
    assert_int_equal(vcpu[1].latency_ns, 64000);
    assert_int_equal(vcpu[3].blocktime_ns, 0);
    /* Fewer are asked for than there are. */
    assert_true(gw_recv_waits(&t->recv, &w, vcpu, 1));
    assert_int_equal(w.vcpus, 2);
    assert_true(gw_recv_waits(&t->recv, &w, NULL, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_off, up, down),
        cmocka_unit_test_setup_teardown(test_at_rest, up, down),
        cmocka_unit_test_setup_teardown(test_told, up, down),
    };

    return cmocka_run_group_tests_name("waits", tests, NULL, NULL);
}
