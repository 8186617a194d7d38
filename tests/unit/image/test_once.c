/* SPDX-License-Identifier: MIT */
#include "parked/rig.h"

#include "image/once.h"

#define PAGES 9000u

static struct gw_image *parked(struct rig *rig, uint32_t page_bytes, uint64_t seed)
{
    const uint64_t pages[RIG_BLOCKS] = {PAGES / RIG_LESS, 700, UINT64_MAX};
    struct gw_error err = GW_ERROR_INIT;
    struct gw_image *image = NULL;
    uint8_t *file = NULL;
    size_t bytes = 0;

    rig_open(rig, page_bytes, pages, false, seed);
    if (rig_park(rig, "none", 1, &file, &bytes, &err) < 0 || rig_open_bytes(file, bytes, &image, &err) < 0)
        fail_msg("%s", err.text);
    free(file);
    return image;
}

static bool same(const struct rig *rig, unsigned block, uint64_t page, const uint8_t *data)
{
    return !memcmp(data, rig->ram[block] + page * rig->image.page_bytes, rig->image.page_bytes);
}

/* Stored pages are in it once each, and as they were. */
static void test_each_once(void **state)
{
    for (uint64_t seed = 1; seed < 5; seed++) {
        struct rig rig;
        struct gw_image *image = parked(&rig, seed < 3 ? 4096 : 1024, seed), *once = NULL;
        uint8_t *data = malloc(600 * 4096), kinds[600];
        struct gw_error err = GW_ERROR_INIT;
        uint64_t filled = 0, all = 0, here = 0, random = seed, most;

        assert_int_equal(gw_once_new(image, &once, &filled, &err), 0);
        for (unsigned b = 0; b < image->block_count; b++)
            for (uint64_t at = 0, n; at < image->blocks[b].pages; at += n) {
                most = 1 + rig_random(&random) % 600;
                n = GW_MIN(most, image->blocks[b].pages - at);
                assert_int_equal(gw_image_map(image, b, at, n, kinds, &err), 0);
                for (uint64_t i = 0; i < n; i++)
                    all += kinds[i];
                assert_int_equal(gw_image_fetch(once, b, at, n, kinds, data, &err), 0);
                for (uint64_t i = 0; i < n; i++) {
                    here += kinds[i];
                    assert_false(kinds[i] && !same(&rig, b, at + i, data + i * image->page_bytes));
                    assert_false(kinds[i] && gw_image_empty(once, b, (at + i) / GW_IMAGE_GROUP));
                }
            }
        assert_int_equal(filled, all);
        assert_int_equal(here, image->stored_pages);
        assert_true(here < all && here > 100);
        gw_once_free(once);
        gw_image_free(image);
        rig_close(&rig);
        free(data);
    }
    gw_once_free(NULL);
}

static int broken_numbers(struct gw_image *image, unsigned block, uint64_t first, uint64_t count, uint32_t *numbers,
                          struct gw_error *err)
{
    if (first)
        return gw_fail(err, -EPROTO, GW_BLAME_PEER, "broken");
    memset(numbers, 0xff, count * sizeof *numbers); /* zeros */
    return 0;
}

/* Where the numbers cannot be told, each place is read, which says why. */
static void test_numbers_broken(void **state)
{
    struct rig rig;
    struct gw_image *image = parked(&rig, 1024, 1), *once = NULL;
    const struct gw_image_ops *ops = image->ops;
    struct gw_image_ops broken = *ops;
    struct gw_error err = GW_ERROR_INIT;
    uint64_t filled, last = image->blocks[0].pages - 1;
    uint8_t kind = 0;

    if (last < GW_IMAGE_GROUP) { /* a smaller machine under TSan */
        gw_image_free(image);
        rig_close(&rig);
        return;
    }
    broken.numbers = broken_numbers;
    image->ops = &broken;
    assert_int_equal(gw_once_new(image, &once, &filled, &err), 0);
    assert_false(gw_image_empty(once, 0, 1));
    for (uint64_t i = GW_IMAGE_GROUP; i <= last; i++) {
        assert_int_equal(gw_image_map(once, 0, i, 1, &kind, &err), 0);
        assert_int_equal(kind, 1);
    }
    gw_once_free(once);
    image->ops = ops;
    gw_image_free(image);
    rig_close(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_once),
        cmocka_unit_test(test_numbers_broken),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
