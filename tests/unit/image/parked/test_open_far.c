/* SPDX-License-Identifier: MIT
 *
 * How many accesses, one after the other, a parked file on a server takes until its machine can go: each costs a round
 * trip.
 */
#include "rig.h"

#include "../shelf.h"
#include "image/near.h"

#define EXPORT (16u << 20)

static struct shelf shelf;
static struct rig rig;

static int up(void **state)
{
    static const uint64_t pages[RIG_BLOCKS] = {5000, 700, 0, 1};

    shelf_open(&shelf, EXPORT, 0);
    rig_open(&rig, 1024, pages, true, 7);
    return 0;
}

static int down(void **state)
{
    rig_close(&rig);
    shelf_close(&shelf);
    return 0;
}

/* Parts that are larger than what is read of the end at once. */
static void grow_devices(void)
{
    uint64_t seed = 1;

    rig.image.devices_bytes = 3u << 20;
    rig.image.devices = realloc(rig.image.devices, rig.image.devices_bytes);
    for (size_t i = 0; i < rig.image.devices_bytes; i++)
        rig.image.devices[i] = (uint8_t)rig_random(&seed);
}

static void open_it(unsigned accesses)
{
    struct gw_image *image = calloc(1, sizeof *image);
    struct gw_error err = GW_ERROR_INIT;
    struct gw_bytes *near = NULL;
    uint8_t head[16];

    shelf.accesses = 0;
    assert_int_equal(gw_near_new(&shelf.bytes, &near, &err), 0);
    assert_int_equal(gw_bytes_read(near, head, sizeof head, 0, &err), 0); /* what it is */
    if (gw_parked_open_bytes(near, "far", image, &err) < 0)
        fail_msg("%s", err.text);
    assert_int_equal(image->devices_bytes, rig.image.devices_bytes);
    assert_memory_equal(image->devices, rig.image.devices, rig.image.devices_bytes);
    if (shelf.accesses > accesses)
        fail_msg("%u accesses, not %u", shelf.accesses, accesses);
    gw_image_free(image);
}

/* As a file was written on a disk: it ends where the export does. */
static void copied(unsigned accesses)
{
    struct gw_error err = GW_ERROR_INIT;
    uint8_t *file = NULL;
    size_t bytes = 0;

    assert_int_equal(rig_park(&rig, "none", 1, &file, &bytes, &err), 0);
    assert_true(bytes < EXPORT && bytes > GW_NEAR_TAIL_BYTES + GW_NEAR_BLOCK);
    memcpy(shelf.data, file, bytes);
    free(file);
    shelf.bytes.size = bytes;
    open_it(accesses);
    memset(shelf.data + bytes, 0, 4096); /* in whole blocks */
    shelf.bytes.size = bytes + 4096;
    open_it(accesses);
}

/* As it is written to a server. */
static void written(unsigned accesses)
{
    const struct gw_image_write_options o = {.format = GW_IMAGE_PARKED, .compress = "none"};
    struct gw_error err = GW_ERROR_INIT;

    memset(shelf.data, 0xee, EXPORT);
    shelf.bytes.align = 1;
    assert_int_equal(gw_parked_write_bytes(&rig.image, &o, &shelf.bytes, &err), 0);
    open_it(accesses);
}

static void test_small_index(void **state)
{
    written(2);
    copied(1);
}

static void test_large_index(void **state)
{
    grow_devices();
    written(2);
    copied(2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_small_index, up, down),
        cmocka_unit_test_setup_teardown(test_large_index, up, down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
