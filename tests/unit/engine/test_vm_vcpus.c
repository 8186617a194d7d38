/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "engine/vm.h"

static int does(void *opaque, struct gw_error *err)
{
    return 0;
}

static bool runs(void *opaque)
{
    return false;
}

static void threads(void **state)
{
    struct gw_vm_config config = {.machine = "box", .page_bytes = 4096};
    static const struct gw_vm_ops ops = {GW_SIZED(struct gw_vm_ops), .stop = does, .start = does, .running = runs};
    struct gw_error err = GW_ERROR_INIT;
    int32_t *t = NULL;
    struct gw_vm *vm;
    unsigned n = 7;

    config.ops = &ops;
    if (gw_vm_new(&config, &vm, &err) < 0)
        fail_msg("%s", err.text);
    assert_int_equal(gw_vm_vcpu_threads(vm, &t, &n, NULL), 0);
    assert_null(t);
    assert_int_equal(n, 0);
    assert_int_equal(gw_vm_set_vcpu_thread(vm, 2, 120, NULL), 0);
    assert_int_equal(gw_vm_set_vcpu_thread(vm, 0, 100, NULL), 0);
    assert_int_equal(gw_vm_vcpu_threads(vm, &t, &n, NULL), 0);
    assert_int_equal(n, 3);
    assert_int_equal(t[0], 100);
    assert_int_equal(t[1], 0);
    assert_int_equal(t[2], 120);
    free(t);
    assert_int_equal(gw_vm_set_vcpu_thread(vm, 2, 0, NULL), 0);
    assert_int_equal(gw_vm_set_vcpu_thread(vm, GW_VCPUS_MAX, 1, &err), -EINVAL);
    assert_int_equal(gw_vm_set_vcpu_thread(vm, 1, -1, &err), -EINVAL);
    assert_int_equal(gw_vm_vcpu_threads(vm, &t, &n, NULL), 0);
    assert_int_equal(n, 3);
    assert_int_equal(t[2], 0);
    free(t);
    gw_vm_free(vm);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(threads),
    };

    return cmocka_run_group_tests_name("vm_vcpus", tests, NULL, NULL);
}
