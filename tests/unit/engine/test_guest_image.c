/* SPDX-License-Identifier: MIT
 *
 * Memory of a machine at rest: blocks that come are made, parking is the caller's, and there is no moment to save.
 */
#include "rig.h"

#include "engine/image_vm.h"
#include "image/image.h"
#include "ram/page/ops.h"

static struct gw_image *image;
static struct gw_vm *vm;
static struct gw_error err;
static int result;

static int park(void *opaque, struct gw_error *e)
{
    return result;
}

static int up(void **state)
{
    err = (struct gw_error)GW_ERROR_INIT;
    result = 0;
    return gw_image_new(NULL, &image, NULL) || gw_image_vm(image, park, NULL, &vm, NULL);
}

static int down(void **state)
{
    gw_image_free(image);
    return 0;
}

static void test_adopt(void **state)
{
    assert_int_equal(vm->guest->adopt(vm, "a", 3 * RIG_PAGE, &err), 0);
    assert_int_equal(vm->ram.count, 1);
    assert_int_equal(image->block_count, 1);
    assert_true(vm->ram.blocks[0]->flags & GW_RAM_FRESH); /* zeros need not be written */
    assert_ptr_equal(vm->ram.blocks[0]->host, gw_memory_host(image, 0));
    gw_image_set_ram_limit(image, 4 * RIG_PAGE);
    assert_int_equal(vm->guest->adopt(vm, "b", 3 * RIG_PAGE, &err), -ENOMEM);
    assert_int_equal(vm->ram.count, 1);
}

/* A callback that only returns a code is given words. */
static void test_park(void **state)
{
    assert_int_equal(vm->guest->park(vm, &err), 0);
    result = -ENOSPC;
    rig_fails(vm->guest->park(vm, &err), -ENOSPC, &err, "parking: No space left on device");
    assert_int_equal(err.blame, GW_BLAME_EMBEDDER);
    gw_fail(&err, -ENOSPC, GW_BLAME_LOCAL, "its own words");
    rig_fails(vm->guest->park(vm, &err), -ENOSPC, &err, "its own words");
    assert_int_equal(vm->guest->park(vm, NULL), -ENOSPC);
}

static void test_no_snapshot(void **state)
{
    struct gw_source *source = NULL;

    rig_fails(vm->guest->can_snapshot(vm, &err), -ENOTSUP, &err,
              "this machine rests in a file and does not run: send or convert the file");
    assert_int_equal(vm->guest->snapshot(vm, NULL, &source, &err), -ENOTSUP);
    assert_null(source);
    assert_true(gw_options_set_capability(gw_vm_options(vm), "background-snapshot", true, &err) < 0);
}

/* What has arrived in memory is sent from there. */
static void test_sent_on(void **state)
{
    struct gw_source *source = NULL;
    struct gw_store *store = NULL;

    assert_int_equal(vm->guest->adopt(vm, "a", 3 * RIG_PAGE, &err), 0);
    assert_int_equal(vm->guest->source(vm, true, &source, &err), 0);
    assert_false(source->once); /* as of any machine in memory */
    source->free(source);
    assert_int_equal(vm->guest->store(vm, &store, &err), 0);
    store->free(store);
}

#define T(f) cmocka_unit_test_setup_teardown(f, up, down)

int main(void)
{
    const struct CMUnitTest tests[] = {T(test_adopt), T(test_park), T(test_no_snapshot), T(test_sent_on)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
