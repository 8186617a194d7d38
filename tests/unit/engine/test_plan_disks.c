/* SPDX-License-Identifier: MIT
 *
 * Which sessions send disks: by capability, by argument, and to whom it cannot be.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/plan.h"

static int nothing(void *opaque, struct gw_error *err)
{
    return 0;
}

static bool runs(void *opaque)
{
    return false;
}

static struct gw_vm *new_vm(void)
{
    static const struct gw_vm_ops ops = {GW_SIZED(struct gw_vm_ops), .stop = nothing, .start = nothing, .running = runs};
    struct gw_vm *vm = NULL;

    assert_int_equal(gw_vm_new(&(struct gw_vm_config){.machine = "none", .page_bytes = 4096, .ops = &ops}, &vm, NULL), 0);
    return vm;
}

static bool sends(struct gw_vm *vm, enum gw_send_disks disks)
{
    struct gw_plan plan = {.disks = disks};
    struct gw_live *live = NULL;
    bool any;

    assert_int_equal(gw_plan_disks_send(&plan, vm, &live, NULL), 0);
    any = live != NULL;
    if (live)
        live->ops->free(live);
    return any;
}

static void capability(struct gw_vm *vm, const char *name, bool on)
{
    assert_int_equal(gw_options_set_capability(gw_vm_options(vm), name, on, NULL), 0);
}

static void test_sends(void **state)
{
    struct gw_vm *vm = new_vm();
    struct gw_live *live = NULL;
    uint32_t id;

    assert_false(sends(vm, GW_SEND_DISKS_AS_SET));
    assert_true(sends(vm, GW_SEND_DISKS_ALL));
    assert_true(sends(vm, GW_SEND_DISKS_TOP));
    id = vm->block_section_id;
    capability(vm, "block", true);
    assert_true(sends(vm, GW_SEND_DISKS_AS_SET));
    assert_int_equal(vm->block_section_id, id);
    assert_int_equal(gw_plan_disks_recv(vm, &live, NULL), 0);
    assert_null(live); /* it has no disk */
    gw_vm_free(vm);
}

static void refused(struct gw_vm *vm, enum gw_send_disks disks, const char *peer, const char *why)
{
    struct gw_error err = GW_ERROR_INIT;
    int r = gw_plan_check_disks(disks, vm, gw_wire_profile(peer), &err);

    assert_int_equal(r, why ? err.code : 0);
    if (why && !strstr(err.text, why))
        fail_msg("\"%s\" is not in: %s", why, err.text);
}

static void test_check(void **state)
{
    struct gw_vm *vm = new_vm();

    refused(vm, GW_SEND_DISKS_AS_SET, "10.0", NULL);
    refused(vm, GW_SEND_DISKS_ALL, "7.2", NULL);
    refused(vm, GW_SEND_DISKS_ALL, "10.0", "QEMU 9.1 and later do not take them");
    capability(vm, "block", true);
    refused(vm, GW_SEND_DISKS_AS_SET, "godwit", NULL);
    refused(vm, GW_SEND_DISKS_AS_SET, "10.0", "QEMU 9.1 and later do not take them");
    refused(vm, GW_SEND_DISKS_ALL, "7.2", "turn off the capability block");
    capability(vm, "block", false);
    assert_int_equal(gw_options_set_parameter(gw_vm_options(vm), "block-incremental", "on", NULL), 0);
    refused(vm, GW_SEND_DISKS_TOP, "7.2", "block-incremental");
    assert_int_equal(gw_options_set_parameter(gw_vm_options(vm), "block-incremental", "off", NULL), 0);
    capability(vm, "mapped-ram", true);
    refused(vm, GW_SEND_DISKS_ALL, "7.2", "mapped-ram");
    gw_vm_free(vm);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_sends), cmocka_unit_test(test_check)};

    return cmocka_run_group_tests_name("plan_disks", tests, NULL, NULL);
}
