/* SPDX-License-Identifier: MIT
 *
 * The disks of a machine: added, found by either name, removed, and what is refused.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "engine/vm.h"

static int no(void *opaque, struct gw_error *err)
{
    return 0;
}

static bool running(void *opaque)
{
    return false;
}

static int read_disk(void *opaque, void *to, uint64_t bytes, uint64_t offset, struct gw_error *err)
{
    return 0;
}

static const struct gw_disk_ops ops = {GW_SIZED(struct gw_disk_ops), .read = read_disk};

/* Disks that somebody else has, and what is done. */
static const char *taken;
static char done[200];

static int did(const char *what, const char *name, struct gw_error *err)
{
    size_t n = strlen(done);

    snprintf(done + n, sizeof done - n, "%s %s, ", what, name);
    return taken && !strcmp(taken, name) ? gw_fail(err, -EBUSY, GW_BLAME_LOCAL, "another has it") : 0;
}

static int activate(void *name, struct gw_error *err)
{
    return did("take", name, err);
}

static int inactivate(void *name, struct gw_error *err)
{
    return did("give", name, err);
}

static int start(void *opaque, struct gw_error *err)
{
    return did("start", "vm", err);
}

static int setup(void **state)
{
    static const struct gw_vm_ops vm_ops = {GW_SIZED(struct gw_vm_ops), .stop = no, .start = start, .running = running};
    struct gw_vm_config config = {.machine = "m", .page_bytes = 4096, .ops = &vm_ops};
    struct gw_vm *vm;

    assert_int_equal(gw_vm_new(&config, &vm, NULL), 0);
    *state = vm;
    return 0;
}

static int teardown(void **state)
{
    gw_vm_free(*state);
    return 0;
}

static struct gw_disk *add(struct gw_vm *vm, const char *device, const char *node)
{
    struct gw_disk_desc desc = {.device = device, .node = node, .bytes = 1 << 20, .ops = &ops};
    struct gw_disk *d;

    assert_int_equal(gw_vm_add_disk(vm, &desc, &d, NULL), 0);
    return d;
}

static void test_names(void **state)
{
    struct gw_vm *vm = *state;
    struct gw_disk *both = add(vm, "drive0", "node0"), *node = add(vm, NULL, "node1"), *d = NULL;
    struct gw_disk_desc desc = {.device = "node1", .bytes = 512, .ops = &ops};
    struct gw_error err = GW_ERROR_INIT;

    assert_ptr_equal(gw_vm_find_disk(vm, "drive0"), both);
    assert_ptr_equal(gw_vm_find_disk(vm, "node0"), both);
    assert_ptr_equal(gw_vm_find_disk(vm, "node1"), node);
    assert_null(gw_vm_find_disk(vm, ""));
    assert_int_equal(gw_vm_add_disk(vm, &desc, &d, &err), -EEXIST);
    assert_string_equal(err.text, "a disk called node1 is there already");
    desc.device = "new";
    desc.node = "drive0";
    assert_int_equal(gw_vm_add_disk(vm, &desc, &d, NULL), -EEXIST);
    assert_int_equal(gw_vm_add_disk_sized(vm, &desc, 8, &d, NULL), -EINVAL);
    assert_null(d);
    assert_int_equal(gw_vm_remove_disk(vm, both, NULL), 0);
    assert_null(gw_vm_find_disk(vm, "node0"));
    assert_ptr_equal(gw_vm_find_disk(vm, "node1"), node);
    assert_int_equal(gw_vm_remove_disk(vm, both, NULL), -ENOENT);
}

static void test_busy(void **state)
{
    struct gw_vm *vm = *state;
    struct gw_disk *d = add(vm, "drive0", NULL), *other = NULL;
    struct gw_disk_desc desc = {.device = "drive1", .bytes = 512, .ops = &ops};
    struct gw_error err = GW_ERROR_INIT;
    char name[20];

    assert_int_equal(gw_disk_block(d, "in use by a test", NULL), 0);
    assert_int_equal(gw_vm_remove_disk(vm, d, &err), -EBUSY);
    assert_string_equal(err.text, "disk drive0 cannot be removed: in use by a test");
    gw_disk_unblock(d, "in use by a test");
    assert_int_equal(gw_vm_begin(vm, true, NULL), 0);
    assert_int_equal(gw_vm_add_disk(vm, &desc, &other, NULL), -EBUSY);
    assert_int_equal(gw_vm_remove_disk(vm, d, NULL), -EBUSY);
    gw_vm_end(vm);
    for (unsigned i = 1; i < GW_DISKS_MAX; i++) {
        snprintf(name, sizeof name, "d%u", i);
        add(vm, name, NULL);
    }
    assert_int_equal(gw_vm_add_disk(vm, &desc, &other, NULL), -ENOSPC);
}

/* Behind what goes of them, and before a start, which has all of them or none. */
static void test_hands(void **state)
{
    static const struct gw_disk_ops ops_of = {GW_SIZED(struct gw_disk_ops), .read = read_disk, .activate = activate, .inactivate = inactivate};
    struct gw_vm *vm = *state;
    struct gw_error err = GW_ERROR_INIT;
    static char names[3][2] = {"a", "b", "c"};

    for (unsigned i = 0; i < 3; i++) {
        struct gw_disk_desc desc = {.device = names[i], .bytes = 512, .ops = &ops_of, .opaque = names[i], .inactive = i != 1};
        struct gw_disk *d;

        assert_int_equal(gw_vm_add_disk(vm, &desc, &d, NULL), 0);
    }
    done[0] = 0;
    taken = "c";
    assert_int_equal(gw_vm_start(vm, &err), -EBUSY);
    assert_string_equal(done, "take a, take c, give a, ");
    assert_string_equal(err.text, "disk c: taking it over: another has it");
    done[0] = 0;
    taken = NULL;
    assert_int_equal(gw_vm_start(vm, NULL), 0);
    assert_string_equal(done, "take a, take c, start vm, ");
    done[0] = 0;
    assert_int_equal(gw_vm_give_disks(vm, NULL), 0);
    assert_int_equal(gw_vm_give_disks(vm, NULL), 0);
    assert_string_equal(done, "give a, give b, give c, ");
    taken = "b";
    assert_int_equal(gw_vm_came_back(vm, NULL), -EBUSY);
    taken = NULL;
    assert_int_equal(gw_vm_came_back(vm, NULL), 0);
    done[0] = 0;
    taken = "b";
    assert_int_equal(gw_vm_give_disks(vm, NULL), -EBUSY);
    assert_int_equal(gw_vm_start(vm, NULL), 0); /* it still has that one */
    assert_string_equal(done, "give a, give b, take a, start vm, ");
    taken = NULL;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_names, setup, teardown),
        cmocka_unit_test_setup_teardown(test_busy, setup, teardown),
        cmocka_unit_test_setup_teardown(test_hands, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
