/* SPDX-License-Identifier: MIT
 *
 * Devices that nobody here knows: kept as the bytes that they are, and sent so.
 */
#include "rig.h"

#include "channel/reader.h"
#include "engine/image_vm.h"
#include "image/image.h"
#include "wire/head.h"
#include "wire/numbers.h"
#include "wire/section.h"

static struct gw_image *image;
static struct gw_vm *vm;
static struct gw_out out;
static struct gw_error err;

static int up(void **state)
{
    err = (struct gw_error)GW_ERROR_INIT;
    gw_out_memory(&out);
    return gw_image_new(NULL, &image, NULL) || gw_image_vm(image, NULL, NULL, &vm, NULL);
}

static int down(void **state)
{
    gw_out_free(&out);
    gw_image_free(image);
    return 0;
}

static int begin(void)
{
    struct gw_wire_head head = {.configured = true, .machine = "pc-1", .page_bits = 14, .has_uuid = true, .uuid = {3}};
    int r = vm->devices->begin(vm, &head, &err);

    image->footers = true; /* as the first section shows */
    return r;
}

static void section(uint32_t id, const char *name)
{
    struct gw_section_head head = {.id = id, .version = 1};

    gw_strcopy(head.name, sizeof head.name, name);
    gw_section_put_head(&out, GW_ELEMENT_FULL, &head);
    gw_put_u64(&out, id);
    gw_section_put_footer(&out, id);
}

static int get(struct gw_devices_get *g, bool early)
{
    struct gw_reader r;
    const uint8_t *data;
    size_t n;
    int e;

    data = gw_out_data(&out, &n);
    gw_reader_init_memory(&r, data, n, 0);
    *g = (struct gw_devices_get){.reader = &r, .early = early, .description_wait_ns = 1};
    e = vm->devices->get(vm, g, &err);
    gw_reader_close(&r);
    return e;
}

/* It becomes the machine that comes. */
static void test_begin(void **state)
{
    assert_int_equal(begin(), 0);
    assert_string_equal(vm->machine, "pc-1");
    assert_int_equal(vm->uuid[0], 3);
    assert_int_equal(vm->ram.page_bytes, 16384);
    image->devices = calloc(1, 1);
    rig_fails(begin(), -EBUSY, &err, "the image has a machine already");
}

#define TEXT                                                                                                           \
    "{\"page_size\": 4096, \"devices\": [{\"name\": \"d\", \"instance_id\": 0, \"vmsd_name\": \"d\", \"version\": 1, \"fields\": "       \
    "[{\"name\": \"a\", \"type\": \"uint64\", \"size\": 8}]}]}"

/* All up to the end of the stream, byte for byte, and the description apart. */
static void test_late(void **state)
{
    struct gw_devices_get g;
    struct gw_writer w;
    const char *text;
    size_t n, bytes;

    begin();
    section(9, "d");
    gw_out_data(&out, &n);
    gw_put_u8(&out, GW_ELEMENT_EOF);
    gw_wire_put_vmdesc(&out, TEXT, strlen(TEXT));
    if (get(&g, false) < 0)
        fail_msg("%s", err.text);
    assert_true(g.ended && g.touched);
    assert_int_equal(image->devices_bytes, n);
    assert_memory_equal(image->devices, gw_out_data(&out, &bytes), n);
    assert_int_equal(image->description_bytes, strlen(TEXT));
    assert_memory_equal(image->description, TEXT, strlen(TEXT));
    /* And so they go out again. */
    assert_int_equal(gw_writer_init_memory(&w, NULL), 0);
    assert_int_equal(vm->devices->put(vm, GW_DEVICES_LATE, &w, NULL, NULL), 0);
    assert_int_equal(gw_writer_flush(&w, NULL), 0);
    assert_memory_equal(gw_writer_data(&w, &bytes), image->devices, n);
    assert_int_equal(bytes, n);
    gw_writer_close(&w);
    assert_int_equal(vm->devices->describe(vm, NULL, &text, &bytes, NULL), 0);
    assert_int_equal(bytes, strlen(TEXT));
}

static void test_cut(void **state)
{
    struct gw_devices_get g;

    begin();
    section(9, "d");
    assert_int_equal(get(&g, false), -ENODATA);
    assert_int_equal(strncmp(err.text, "device sections from byte 0 on: ", 32), 0);
    assert_false(g.touched || g.ended);
    assert_null(image->devices);
}

static int unknown(uint8_t element, const char *name)
{
    struct gw_section_head head = {.id = 50, .version = 1};
    struct gw_image_progress seen = {0};
    struct gw_devices_get g = {0};
    struct gw_reader r;

    gw_strcopy(head.name, sizeof head.name, name);
    gw_reader_init_memory(&r, "", 0, 0);
    g.reader = &r;
    return vm->devices->unknown(vm, &g, element, &head, &seen, &err);
}

/* Live sections that mean something to everybody cannot be kept as bytes. */
static void test_known_section(void **state)
{
    begin();
    rig_fails(unknown(GW_ELEMENT_START, "block"), -EPROTO, &err, "live section block cannot be kept in a file");
    image->guest->other_count = GW_ARRAY_LEN(image->guest->other);
    rig_fails(unknown(GW_ELEMENT_START, "fork"), -EPROTO, &err, "live section fork: at most 15 that are not known can be kept");
}

/* Another source may have a try. */
static void test_forget(void **state)
{
    begin();
    vm->guest->adopt(vm, "a", 16384, NULL);
    image->guest->early_devices = 2;
    image->guest->other_count = 1;
    vm->devices->forget(vm);
    assert_int_equal(vm->ram.count, 0);
    assert_int_equal(image->block_count, 0);
    assert_int_equal(image->guest->early_devices + image->guest->other_count, 0);
    assert_int_equal(begin(), 0);
}

#define T(f) cmocka_unit_test_setup_teardown(f, up, down)

int main(void)
{
    const struct CMUnitTest tests[] = {T(test_begin), T(test_late), T(test_cut), T(test_known_section), T(test_forget)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
