/* SPDX-License-Identifier: MIT
 *
 * A parked file costs what it should: nothing for holes and for copies of a page, and no more than itself for noise.
 */
#include "same_ram.h"

static int all_holes(struct gw_image *image, unsigned block, uint64_t first, uint64_t count, uint8_t *kinds,
                     struct gw_error *err)
{
    memset(kinds, 0, count);
    return 0;
}

static int no_read(struct gw_image *image, unsigned block, uint64_t first, uint64_t count, uint8_t *dst,
                   struct gw_error *err)
{
    return gw_fail(err, -EIO, GW_BLAME_LOCAL, "a hole was read");
}

static void holes_are_free(void **state)
{
    static const struct gw_image_ops ops = {.map = all_holes, .read = no_read};
    static const uint64_t none[RIG_BLOCKS] = {NONE};
    struct gw_error err = GW_ERROR_INIT;
    uint8_t *file, page[4096], zero[4096] = {0};
    struct gw_image *image;
    struct rig rig;
    size_t bytes;

    rig_open(&rig, 4096, none, false, 1);
    rig.image.ops = &ops;
    assert_int_equal(gw_image_add_block(&rig.image, "huge", 64ull << 30, NULL, &err), 0);
    assert_int_equal(rig_park(&rig, "none", 1, &file, &bytes, &err), 0);
    /* 12 bytes for 16 MiB. */
    assert_true(bytes < (64ull << 30) / (16 << 20) * 12 + 5000);
    assert_int_equal(rig_open_bytes(file, bytes, &image, &err), 0);
    assert_int_equal(gw_image_pages(image, 0, (64ull << 30) / 4096 - 1, 1, page, &err), 0);
    assert_memory_equal(page, zero, 4096);
    gw_image_free(image);
    free(file);
    rig_close(&rig);
}

static void fill_noise(struct rig *rig, size_t bytes, uint64_t seed)
{
    for (size_t i = 0; i < bytes; i += 8)
        memcpy(rig->ram[0] + i, &(uint64_t){rig_random(&seed)}, 8);
}

/* Parks it in fewer bytes than that, and opens the file again. plain: its pages stand in the file so. Closes the rig. */
static void parks_below(struct rig *rig, size_t most, size_t plain)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_image *image;
    uint8_t *file;
    size_t bytes;

    assert_int_equal(rig_park(rig, usual(), 2, &file, &bytes, &err), 0);
    assert_true(bytes < most);
    if (plain)
        assert_memory_equal(file + GW_PARKED_HEADER_BYTES, rig->ram[0], plain);
    assert_int_equal(rig_open_bytes(file, bytes, &image, &err), 0);
    same_ram(rig, image, 1);
    gw_image_free(image);
    free(file);
    rig_close(rig);
}

static void copies_are_free(void **state)
{
    static const uint64_t pages[RIG_BLOCKS] = {3000, NONE};
    struct rig rig;

    rig_open(&rig, 4096, pages, false, 2);
    /* 32 different pages of noise, a hundred times in order, backwards, and one of them many times. */
    fill_noise(&rig, 32 * 4096, 3);
    for (size_t i = 32; i < 3000; i++)
        memcpy(rig.ram[0] + i * 4096, rig.ram[0] + (i < 1000 ? i % 32 : i < 2000 ? 31 - i % 32 : 7) * 4096, 4096);
    parks_below(&rig, 32 * 4096 + 4096 + 64 + 4000, 0);
}

static void noise_is_stored_plain(void **state)
{
    static const uint64_t pages[RIG_BLOCKS] = {1000, NONE};
    struct rig rig;

    rig_open(&rig, 4096, pages, false, 2);
    fill_noise(&rig, 1000 * 4096, 4);
    parks_below(&rig, 1000 * 4096 + 4096 + 64 + 2000, 1000 * 4096);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(holes_are_free),
        cmocka_unit_test(copies_are_free),
        cmocka_unit_test(noise_is_stored_plain),
    };

    return cmocka_run_group_tests_name("parked costs", tests, NULL, NULL);
}
