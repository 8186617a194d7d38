/* SPDX-License-Identifier: MIT
 *
 * A machine as the engine sees it: what it must have, what blocks it, who is told, and whose it is.
 */
#include "rig.h"

static void refused(struct gw_vm_config config, const char *text)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_vm *vm = NULL;

    rig_fails(gw_vm_new(&config, &vm, &err), -EINVAL, &err, text);
    assert_int_equal(err.blame, GW_BLAME_CALLER);
    assert_null(vm);
}

static void test_new(void **state)
{
    struct gw_vm_ops no_stop = rig_bare_ops;
    char name[257];
    struct gw_vm_config good = {.machine = name, .page_bytes = 4096, .ops = &rig_bare_ops}, bad = good;
    struct gw_vm *vm;

    memset(name, 'x', sizeof name);
    name[256] = 0;
    refused(good, "a machine type's name has 1 to 255 bytes, not 256");
    name[255] = 0;
    bad.machine = "";
    refused(bad, "a machine type's name has 1 to 255 bytes, not 0");
    no_stop.stop = NULL;
    bad = good;
    bad.ops = &no_stop;
    refused(bad, "a machine needs the calls stop, start and running");
    bad = good;
    bad.least_page_bytes = 8192;
    refused(bad, "a target page has 4096 bytes, so the least size of a page cannot be 8192: a power of two up to it");
    bad.least_page_bytes = 3000;
    refused(bad, "a target page has 4096 bytes, so the least size of a page cannot be 3000: a power of two up to it");
    assert_int_equal(gw_vm_new(&good, &vm, NULL), 0);
    assert_false(vm->has_uuid);
    assert_int_equal(strlen(vm->machine), 255);
    gw_vm_free(vm);
    good.uuid[15] = 1;
    assert_int_equal(gw_vm_new(&good, &vm, NULL), 0);
    assert_true(vm->has_uuid);
    assert_null(gw_vm_free(vm));
    assert_null(gw_vm_free(NULL));
}

static void tell(void *opaque, const char *reason)
{
    rig_say("%s; ", reason);
}

/* All reasons are told, to who looks and to who tries; what arrives is not kept from it. */
static void test_blockers(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    unsigned a, b, c;

    assert_int_equal(gw_vm_add_blocker(rig.vm, "one", &a, &err), 0);
    assert_int_equal(gw_vm_add_blocker(rig.vm, "two", &b, &err), 0);
    assert_int_equal(gw_vm_add_blocker(rig.vm, "three", &c, &err), 0);
    gw_vm_remove_blocker(rig.vm, a);
    gw_vm_remove_blocker(rig.vm, a); /* no longer there: nothing */
    gw_vm_for_each_blocker(rig.vm, tell, NULL);
    rig_said("two; three; ");
    rig_fails(gw_vm_begin(rig.vm, true, &err), -EBUSY, &err, "migration is blocked: two; three");
    assert_false(rig.vm->busy);
    assert_int_equal(gw_vm_begin(rig.vm, false, &err), 0);
    rig_fails(gw_vm_add_blocker(rig.vm, "four", &a, &err), -EBUSY, &err,
              "a migration runs: it cannot be blocked any more (four)");
    gw_vm_end(rig.vm);
    gw_vm_remove_blocker(rig.vm, b);
    gw_vm_remove_blocker(rig.vm, c);
    assert_int_equal(gw_vm_begin(rig.vm, true, &err), 0);
    gw_vm_end(rig.vm);
}

static void test_many_blockers(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    char reason[256];
    unsigned id;

    memset(reason, 'r', 255);
    reason[255] = 0;
    for (unsigned i = 0; i < GW_VM_BLOCKERS; i++)
        assert_int_equal(gw_vm_add_blocker(rig.vm, reason, &id, &err), 0);
    rig_fails(gw_vm_add_blocker(rig.vm, "x", &id, &err), -ENOSPC, &err, "more than 32 reasons against migration");
    assert_int_equal(gw_vm_begin(rig.vm, true, &err), -EBUSY); /* and the text ends somewhere */
}

static void test_device_that_cannot(void **state)
{
    static const struct gw_field fields[] = {GW_UNUSED_BYTES(1), GW_END};
    static const struct gw_state st = {.name = "d", .version = 1, .fields = fields, .unmigratable = true};
    struct gw_error err = GW_ERROR_INIT;
    int device;

    assert_int_equal(gw_registry_add(gw_vm_registry(rig.vm), &st, "disk", 0, &device, &err), 0);
    gw_vm_for_each_blocker(rig.vm, tell, NULL);
    rig_said("device disk cannot be migrated; ");
    assert_int_equal(gw_vm_begin(rig.vm, true, &err), -EBUSY);
    assert_false(rig.vm->busy);
}

/* One session at a time, and its options stay as they are. */
static void test_begin(void **state)
{
    struct gw_error err = GW_ERROR_INIT;

    assert_int_equal(gw_vm_begin(rig.vm, true, &err), 0);
    assert_true(rig.vm->outgoing);
    rig_fails(gw_vm_begin(rig.vm, false, &err), -EBUSY, &err, "a migration of this machine is under way");
    rig_fails(gw_vm_came_back(rig.vm, &err), -EBUSY, &err, "a migration of this machine is under way");
    assert_true(gw_options_set_capability(gw_vm_options(rig.vm), "xbzrle", true, &err) < 0);
    rig.vm->ram.blocks[0]->sealed = true;
    rig.vm->ram.blocks[0]->resize = true;
    rig.vm->ram.blocks[0]->resize_to = 20 * RIG_PAGE;
    strcpy(rig.vm->ram.resized, "ram");
    gw_vm_end(rig.vm);
    /* A size that was told meanwhile holds now, and changes count again. */
    assert_int_equal(rig.vm->ram.blocks[0]->pages, 20);
    assert_int_equal(rig.vm->ram.blocks[0]->used_bytes, 20 * RIG_PAGE);
    assert_false(rig.vm->ram.blocks[0]->resize || rig.vm->ram.blocks[0]->sealed || rig.vm->ram.resized[0]);
    assert_int_equal(gw_options_set_capability(gw_vm_options(rig.vm), "xbzrle", true, &err), 0);
    assert_int_equal(gw_vm_begin(rig.vm, false, &err), 0);
    assert_false(rig.vm->outgoing);
    gw_vm_end(rig.vm);
}

/* A machine that was given away, or may have been, is not sent before somebody says that it is here. */
static void test_place(void **state)
{
    struct gw_error err = GW_ERROR_INIT;

    assert_int_equal(gw_vm_must_be_here(rig.vm, &err), 0);
    rig.vm->place = GW_VM_LEFT;
    assert_false(gw_vm_runs_elsewhere(rig.vm));
    rig.vm->taken = true;
    assert_true(gw_vm_runs_elsewhere(rig.vm));
    assert_int_equal(gw_vm_must_be_here(rig.vm, &err), -EALREADY);
    assert_non_null(strstr(err.text, "the machine has gone to the other side"));
    rig.vm->place = GW_VM_UNDECIDED;
    assert_false(gw_vm_runs_elsewhere(rig.vm));
    assert_int_equal(gw_vm_must_be_here(rig.vm, &err), -EALREADY);
    assert_non_null(strstr(err.text, "it is not known which side has it"));
    assert_int_equal(gw_vm_came_back(rig.vm, &err), 0);
    assert_int_equal(gw_vm_must_be_here(rig.vm, &err), 0);
}

static int fails[3];

static int first(void *opaque, enum gw_notify what, struct gw_error *err)
{
    rig_say("first%u ", (unsigned)what);
    return fails[0];
}

static int second(void *opaque, enum gw_notify what, struct gw_error *err)
{
    rig_say("second ");
    gw_vm_remove_notifier(rig.vm, second, opaque); /* while it is called */
    return 0;
}

/* In their order; one that fails ends it, but for the last, where nobody can be refused any more. */
static void test_notifiers(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    int other;

    assert_int_equal(gw_vm_add_notifier(rig.vm, first, NULL, &err), 0);
    assert_int_equal(gw_vm_add_notifier(rig.vm, second, NULL, &err), 0);
    gw_vm_remove_notifier(rig.vm, first, &other); /* of somebody else */
    fails[0] = -EPERM;
    rig_fails(gw_vm_notify(rig.vm, GW_NOTIFY_SETUP, &err), -EPERM, &err, "notifier: Operation not permitted");
    assert_int_equal(err.blame, GW_BLAME_EMBEDDER);
    rig.log[0] = 0;
    assert_int_equal(gw_vm_notify(rig.vm, GW_NOTIFY_CLEANUP, NULL), 0);
    assert_non_null(strstr(rig.log, "second "));
    rig.log[0] = fails[0] = 0;
    assert_int_equal(gw_vm_notify(rig.vm, GW_NOTIFY_SETUP, &err), 0);
    assert_null(strstr(rig.log, "second "));
    for (unsigned i = 1; i < GW_VM_NOTIFIERS; i++)
        assert_int_equal(gw_vm_add_notifier(rig.vm, first, NULL, &err), 0);
    rig_fails(gw_vm_add_notifier(rig.vm, first, NULL, &err), -ENOSPC, &err, "more than 16 notifiers");
}

/* Calls of the embedder: what it does not say is said for it. */
static int quiet(void *opaque, struct gw_error *err)
{
    return gw_fail(err, -EIO, GW_BLAME_NONE, "of nobody");
}

static void test_calls(void **state)
{
    struct gw_error err = GW_ERROR_INIT;

    rig.vm->own_ops.stop = quiet;
    rig_fails(gw_vm_stop(rig.vm, &err), -EIO, &err, "stopping the machine: of nobody");
    assert_int_equal(err.blame, GW_BLAME_EMBEDDER);
    rig.vm->own_ops.stop = rig_stop;
    err = (struct gw_error)GW_ERROR_INIT;

    rig.start_fails = -ENOMEM;
    rig_fails(gw_vm_start(rig.vm, &err), -ENOMEM, &err, "starting the machine: Cannot allocate memory");
    assert_int_equal(err.blame, GW_BLAME_EMBEDDER);
    err = (struct gw_error)GW_ERROR_INIT;
    rig.stop_fails = -EIO;
    rig_fails(gw_vm_stop(rig.vm, &err), -EIO, &err, "stopping the machine: Input/output error");
    assert_int_equal(gw_vm_stop(rig.vm, NULL), -EIO);
}

static void test_trace(void **state)
{
    struct gw_error err = GW_ERROR_INIT;

    assert_true(gw_vm_set_trace(rig.vm, "no-such-event", (gw_trace_fn)(void *)tell, NULL, &err) < 0);
    assert_int_equal(gw_vm_set_trace(rig.vm, "no-such-event", NULL, NULL, &err), 0); /* to nobody */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        rig_test(test_new),   rig_test(test_blockers), rig_test(test_many_blockers), rig_test(test_device_that_cannot),
            rig_test(test_begin),
        rig_test(test_place), rig_test(test_notifiers), rig_test(test_calls),        rig_test(test_trace),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
