/* SPDX-License-Identifier: MIT
 *
 * What a machine, a peer or an address cannot do is refused before there is a plan, with what to do instead.
 */
#include "plan_rig.h"

static struct gw_error err;

static struct gw_plan_asked asked(const char *peer)
{
    err = (struct gw_error)GW_ERROR_INIT;
    return (struct gw_plan_asked){.peer = gw_wire_profile(peer), .many = true, .disks = GW_SEND_DISKS_AS_SET};
}

static void refused(const struct gw_plan_asked *a, int code, const char *text)
{
    rig_fails(gw_plan_check_send(rig.vm, a, &err), code, &err, text);
    assert_int_equal(err.blame, GW_BLAME_CALLER);
}

static void test_throttles(void **state)
{
    struct gw_plan_asked a = asked("godwit");

    rig_cap("auto-converge");
    assert_int_equal(gw_plan_check_send(rig.vm, &a, &err), 0);
    rig.vm->own_ops.throttle = NULL;
    refused(&a, -ENOTSUP, "capability auto-converge: this machine has no way to slow its vCPUs down: turn the capability off");
    gw_options_set_capability(gw_vm_options(rig.vm), "auto-converge", false, NULL);
    rig_cap("dirty-limit");
    assert_int_equal(gw_plan_check_send(rig.vm, &a, &err), 0);
    rig.vm->own_ops.dirty_limit = NULL;
    refused(&a, -ENOTSUP,
            "capability dirty-limit: this machine has no way to limit what a vCPU dirties: turn the capability off");
}

static void test_compressed_pages(void **state)
{
    struct gw_plan_asked a = asked("10.0");

    assert_int_equal(gw_plan_check_send(rig.vm, &a, &err), 0);
    rig_cap("compress");
    refused(&a, -ENOTSUP,
            "capability compress: QEMU 9.1 and later refuse compressed pages; turn the capability off, or name another peer than 10.0");
    a = asked("7.2");
    assert_int_equal(gw_plan_check_send(rig.vm, &a, &err), 0);
}

/* Where both capabilities are on, and pages go on channels at all, the peer has to be a godwit. */
static void test_lanes_follow(void **state)
{
    struct gw_plan_asked a = asked("10.0");

    rig_cap("multifd");
    assert_int_equal(gw_plan_check_send(rig.vm, &a, &err), 0);
    rig_cap("postcopy-ram");
    refused(&a, -ENOTSUP,
            "capabilities postcopy-ram and multifd: only a godwit takes pages of postcopy on multifd channels, and the peer is 10.0: "
            "turn one of them off");
    a.resume = true; /* on the main stream */
    assert_int_equal(gw_plan_check_send(rig.vm, &a, &err), 0);
    a = asked("godwit");
    assert_int_equal(gw_plan_check_send(rig.vm, &a, &err), 0);
}

/* What test_plan_disks.c tells of is asked here too. */
static void test_disks(void **state)
{
    struct gw_plan_asked a = asked("godwit");

    if (gw_options_set_capability(gw_vm_options(rig.vm), "background-snapshot", true, &err) < 0) {
        print_message("%s\n", err.text);
        skip();
    }
    a.disks = GW_SEND_DISKS_ALL;
    refused(&a, -EINVAL, "a background snapshot has no disks in it: send it without blk and inc");
}

static void test_postcopy_is_on(void **state)
{
    struct gw_plan_asked a = asked("godwit");

    a.resume = true;
    refused(&a, -EINVAL, "a migration that is resumed takes capability postcopy-ram, and it is off: turn it on");
    a = asked("godwit");
    a.postcopy = true;
    refused(&a, -EINVAL, "postcopy from the start takes capability postcopy-ram, and it is off: turn it on");
    rig_cap("postcopy-ram");
    assert_int_equal(gw_plan_check_send(rig.vm, &a, &err), 0);
}

static void test_resume(void **state)
{
    struct gw_plan_asked a = asked("godwit");

    a.resume = true;
    rig_cap("postcopy-ram");
    assert_int_equal(gw_plan_check_send(rig.vm, &a, &err), 0);
    rig.running = true;
    refused(&a, -EBUSY,
            "this machine runs here, so no destination waits for the rest of it: start a new migration, without resume");
}

/* Only postcopy from the start is refused at once: the others may do without. */
static void test_persistent_memory(void **state)
{
    static const char text[] =
        "RAM block ram is on persistent memory, whose pages cannot follow a guest that runs: send this machine without postcopy";
    struct gw_plan_asked a = asked("godwit");

    rig_cap("postcopy-ram");
    assert_int_equal(gw_plan_check_follow(rig.vm, &err), 0);
    rig.vm->ram.blocks[0]->flags |= GW_RAM_PERSISTENT;
    rig_fails(gw_plan_check_follow(rig.vm, &err), -ENOTSUP, &err, text);
    assert_int_equal(gw_plan_check_send(rig.vm, &a, &err), 0);
    a.postcopy = true;
    refused(&a, -ENOTSUP, text);
    rig.vm->ram.blocks[0]->flags |= GW_RAM_NO_MIGRATE; /* it stays here */
    assert_int_equal(gw_plan_check_send(rig.vm, &a, &err), 0);
}

/* The capability needs an address that gives a second connection, or a dialer. */
static void test_urgent(void **state)
{
    static const char text[] =
        "capability postcopy-preempt: this address gives one connection only; tcp:, unix: and vsock: give more";
    struct gw_plan_asked a = asked("godwit");

    a.many = false;
    assert_int_equal(gw_plan_check_urgent(rig.vm, false, &err), 0); /* it is not wanted */
    rig_cap("postcopy-ram");
    rig_cap("postcopy-preempt");
    assert_int_equal(gw_plan_check_urgent(rig.vm, true, &err), 0);
    rig_fails(gw_plan_check_urgent(rig.vm, false, &err), -EINVAL, &err, text);
    refused(&a, -EINVAL, text);
    rig.vm->dial_pages.dial = (gw_dial_fn)(uintptr_t)1;
    assert_int_equal(gw_plan_check_urgent(rig.vm, false, &err), 0);
}

#define T(f) cmocka_unit_test_setup_teardown(f, up, down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_throttles), T(test_compressed_pages), T(test_lanes_follow), T(test_disks), T(test_postcopy_is_on),
        T(test_resume),    T(test_persistent_memory), T(test_urgent),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
