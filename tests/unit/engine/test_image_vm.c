/* SPDX-License-Identifier: MIT
 *
 * A machine that stands for an image: what it takes over from it, and what it is for a session.
 */
#include "rig.h"

#include "engine/image_vm.h"
#include "image/image.h"

static struct gw_image *image;
static struct gw_error err;

static int up(void **state)
{
    err = (struct gw_error)GW_ERROR_INIT;
    return gw_image_new(NULL, &image, NULL);
}

static int down(void **state)
{
    gw_image_free(image);
    return 0;
}

static int parked(void *opaque, struct gw_error *e)
{
    return *(int *)opaque;
}

static struct gw_vm *make(int (*park)(void *, struct gw_error *), void *opaque)
{
    struct gw_vm *vm = NULL;

    if (gw_image_vm(image, park, opaque, &vm, &err) < 0)
        fail_msg("%s", err.text);
    return vm;
}

/* It rests, everything is taken, and no limit is kept for the sake of a guest. */
static void test_new(void **state)
{
    struct gw_vm *vm = make(NULL, NULL);

    assert_ptr_equal(vm->image, image);
    assert_true(vm->guest->at_rest);
    assert_ptr_equal(vm->devices, &gw_devices_image);
    assert_false(gw_vm_running(vm));
    assert_int_equal(gw_vm_stop(vm, NULL) | gw_vm_start(vm, NULL), 0);
    assert_int_equal(gw_options_param(vm->options, GW_PARAM_MAX_BANDWIDTH), 0);
    assert_string_equal(gw_vm_tracker_name(vm), "explicit");
    assert_string_equal(vm->machine, image->machine); /* also where it has no name */
}

static void test_from_an_image(void **state)
{
    struct gw_vm *vm;
    uint8_t *host[2];

    strcpy(image->machine, "pc");
    image->uuid[2] = 7;
    image->ram_id = 33;
    image->footers = false;
    image->devices = calloc(1, 1);
    assert_int_equal(gw_memory_add_block(image, "a", 2 * RIG_PAGE, &host[0], NULL), 0);
    assert_int_equal(gw_memory_add_block(image, "b", RIG_PAGE, &host[1], NULL), 0);
    vm = make(NULL, NULL);
    assert_string_equal(vm->machine, "pc");
    assert_int_equal(vm->uuid[2], 7);
    assert_int_equal(vm->ram_section_id, 33);
    assert_int_equal(vm->without, GW_STREAM_FOOTERS);
    assert_int_equal(vm->ram.count, 2);
    assert_ptr_equal(vm->ram.blocks[1]->host, host[1]);
    /* Nobody knows where the guest sees them: anywhere, but not twice. */
    assert_true(vm->ram.blocks[1]->gpa >= vm->ram.blocks[0]->gpa + 2 * RIG_PAGE);
}

/* Asked again it is the same, with what it means to arrive as it was said last. */
static void test_again(void **state)
{
    int first = 0, second = -EIO;
    struct gw_vm *vm = make(parked, &first);

    assert_int_equal(vm->guest->park(vm, &err), 0);
    assert_ptr_equal(make(parked, &second), vm);
    assert_int_equal(vm->guest->park(vm, &err), -EIO);
}

static void test_page(void **state)
{
    struct gw_vm *vm = make(NULL, NULL);

    gw_guest_set_page(vm, 14);
    assert_int_equal(vm->ram.page_bytes, 16384);
    assert_int_equal(image->page_bytes, 16384);
    assert_int_equal(image->page_bits, 14);
}

#define T(f) cmocka_unit_test_setup_teardown(f, up, down)

int main(void)
{
    const struct CMUnitTest tests[] = {T(test_new), T(test_from_an_image), T(test_again), T(test_page)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
