/* SPDX-License-Identifier: MIT
 *
 * Devices that are registered here, as a session sees them: which go where, with footers or without, and whether the machine is
 * still what it was when one could not be loaded.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "engine/vm.h"
#include "godwit/godwit.h"
#include "wire/numbers.h"

static int nothing(void *opaque, struct gw_error *err)
{
    return 0;
}

static bool never(void *opaque)
{
    return false;
}

struct device {
    uint32_t a;
};

static const struct gw_field fields[] = {GW_FIELD(struct device, a), GW_END};
static const struct gw_state late = {.name = "late", .version = 1, .oldest = 1, .size = 4, .fields = fields},
                             early = {.name = "early", .version = 1, .oldest = 1, .size = 4, .fields = fields, .early = true};
static const struct gw_vm_ops ops = {GW_SIZED(struct gw_vm_ops), .stop = nothing, .start = nothing, .running = never};
static struct gw_vm *vm;
static struct device l, e;

static int up(void **state)
{
    const struct gw_vm_config config = {.machine = "m", .page_bytes = 4096, .ops = &ops};

    l.a = 1;
    e.a = 2;
    if (gw_vm_new(&config, &vm, NULL) < 0)
        return -1;
    return gw_registry_add(gw_vm_registry(vm), &late, "late", 0, &l, NULL) < 0 ||
           gw_registry_add(gw_vm_registry(vm), &early, "early", 0, &e, NULL) < 0;
}

static int down(void **state)
{
    vm = gw_vm_free(vm);
    return 0;
}

/* The bytes of one place; malloc'ed. */
static uint8_t *put(enum gw_devices_place place, size_t *ret_bytes)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_vmdesc *desc = NULL;
    struct gw_writer w;
    uint8_t *data;

    assert_int_equal(gw_vmdesc_new(4096, &desc, &err), 0);
    assert_int_equal(gw_writer_init_memory(&w, &err), 0);
    if (vm->devices->put(vm, place, &w, desc, &err) < 0)
        fail_msg("%s", err.text);
    data = gw_writer_take(&w, ret_bytes);
    gw_writer_close(&w);
    gw_vmdesc_free(desc);
    return data;
}

static void test_places(void **state)
{
    assert_ptr_equal(vm->devices, &gw_devices_registry);
    for (int place = GW_DEVICES_FIRST; place <= GW_DEVICES_LATE; place++) {
        size_t bytes = 0;
        uint8_t *data = put((enum gw_devices_place)place, &bytes);

        assert_int_equal(bytes && memmem(data, bytes, "\5early", 6), place == GW_DEVICES_EARLY);
        assert_int_equal(bytes && memmem(data, bytes, "\4late", 5), place == GW_DEVICES_LATE);
        assert_int_equal(bytes && memmem(data, bytes, "\x0bglobalstate", 12), place == GW_DEVICES_LATE);
        free(data);
    }
}

static void test_footers(void **state)
{
    size_t with, without;
    uint8_t *data = put(GW_DEVICES_EARLY, &with);

    assert_int_equal(data[with - 5], GW_ELEMENT_FOOTER);
    free(data);
    vm->without = GW_STREAM_FOOTERS;
    data = put(GW_DEVICES_EARLY, &without);
    assert_int_equal(with - without, 5);
    free(data);
}

static void test_description(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_vmdesc *desc = NULL;
    const char *text = NULL;
    size_t bytes = 7;

    assert_int_equal(gw_vmdesc_new(4096, &desc, &err), 0);
    assert_int_equal(vm->devices->describe(vm, desc, &text, &bytes, &err), 0);
    assert_true(bytes > 2 && text[0] == '{');
    vm->without = GW_STREAM_DESCRIPTION;
    assert_int_equal(vm->devices->describe(vm, desc, &text, &bytes, &err), 0);
    assert_int_equal(bytes, 0);
    gw_vmdesc_free(desc);
}

static int bound;

static int bind(void *opaque, const struct gw_section_head *head, uint64_t at, struct gw_error *err)
{
    assert_ptr_equal(opaque, &bound);
    assert_int_equal(at, 40);
    return bound++ ? gw_fail(err, -EPROTO, GW_BLAME_PEER, "this number is taken") : 0;
}

static int get(const uint8_t *data, size_t bytes, struct gw_devices_get *g, struct gw_error *err)
{
    uint8_t *copy = malloc(bytes + !bytes);
    struct gw_reader r;
    int result;

    memcpy(copy, data, bytes);
    *err = (struct gw_error)GW_ERROR_INIT;
    gw_reader_init_memory(&r, copy, bytes, 40);
    *g = (struct gw_devices_get){.reader = &r, .bind = bind, .opaque = &bound};
    result = vm->devices->begin(vm, NULL, err);
    if (result >= 0)
        result = vm->devices->get(vm, g, err);
    gw_reader_close(&r);
    free(copy);
    return result;
}

static void test_got(void **state)
{
    struct gw_devices_get g;
    struct gw_error err;
    size_t bytes;
    uint8_t *data = put(GW_DEVICES_EARLY, &bytes);

    e.a = 9;
    bound = 0;
    if (get(data, bytes, &g, &err) < 0)
        fail_msg("%s", err.text);
    assert_int_equal(e.a, 2);
    assert_true(g.touched);
    assert_false(g.ended);
    /* The number is taken: nothing was loaded. */
    e.a = 9;
    assert_int_equal(get(data, bytes, &g, &err), -EPROTO);
    assert_string_equal(err.text, "this number is taken");
    assert_int_equal(e.a, 9);
    assert_false(g.touched);
    free(data);
}

/* Cut before its footer nothing was changed, and that is known. */
static void test_cut(void **state)
{
    struct gw_devices_get g;
    struct gw_error err;
    size_t bytes;
    uint8_t *data = put(GW_DEVICES_EARLY, &bytes);

    for (size_t n = 1; n < bytes; n++) {
        e.a = 9;
        bound = 0;
        assert_int_equal(get(data, n, &g, &err), -ENODATA);
        assert_int_equal(e.a, n < bytes - 5 ? 9 : 2);
        assert_int_equal(g.touched, n >= bytes - 5);
        assert_non_null(strstr(err.text, "at byte 40"));
    }
    /* Another section's footer. */
    bound = 0;
    data[bytes - 1] ^= 1;
    assert_int_equal(get(data, bytes, &g, &err), -EPROTO);
    assert_int_equal(err.blame, GW_BLAME_PEER);
    assert_true(g.touched);
    /* No such device, no such version. */
    data[bytes - 1] ^= 1;
    bound = 0;
    data[6] = 'E';
    assert_int_equal(get(data, bytes, &g, &err), -EPROTO);
    assert_string_equal(err.text, "section Early/0 at byte 40 (FULL): this machine has no such device");
    assert_false(g.touched);
    data[6] = 'e';
    bound = 0;
    data[18] = 2;
    e.a = 9;
    assert_true(get(data, bytes, &g, &err) < 0);
    assert_non_null(strstr(err.text, "section early/0 at byte 40"));
    assert_false(g.touched);
    assert_int_equal(e.a, 9);
    free(data);
}

#define devices_test(f) cmocka_unit_test_setup_teardown(f, up, down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        devices_test(test_places), devices_test(test_footers), devices_test(test_description),
        devices_test(test_got),    devices_test(test_cut),
    };

    return cmocka_run_group_tests_name("devices_registry", tests, NULL, NULL);
}
