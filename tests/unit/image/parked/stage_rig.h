/* SPDX-License-Identifier: MIT
 *
 * A machine that changes while it is parked, on top of rig.h: what an ordinary reader makes of the file is
 * compared with what the machine had in the end.
 */
#ifndef STAGE_RIG_H
#define STAGE_RIG_H

#include "rig.h"

static void rig_same(struct rig *rig, const char *path, uint64_t *ret_file_bytes)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_image *image;
    struct stat st;
    size_t page = rig->image.page_bytes;
    uint8_t *got = malloc(300 * page), kinds[300];

    if (gw_image_open(path, &image, &err) < 0)
        fail_msg("%s", err.text);
    assert_int_equal(image->format, GW_IMAGE_PARKED);
    if (image->ops->check && image->ops->check(image, &err) < 0)
        fail_msg("%s", err.text);
    assert_int_equal(image->block_count, rig->image.block_count);
    assert_int_equal(image->page_bytes, page);
    assert_string_equal(image->machine, rig->image.machine);
    assert_int_equal(image->devices_bytes, rig->image.devices_bytes);
    assert_int_equal(image->description_bytes, rig->image.description_bytes);
    if (image->devices_bytes)
        assert_memory_equal(image->devices, rig->image.devices, image->devices_bytes);
    for (unsigned i = 0; i < image->block_count; i++) {
        assert_string_equal(image->blocks[i].name, rig->image.blocks[i].name);
        for (uint64_t at = 0, n; at < image->blocks[i].pages; at += n) {
            n = GW_MIN(image->blocks[i].pages - at, 300u);
            if (gw_image_pages(image, i, at, n, got, &err) < 0)
                fail_msg("%s", err.text);
            assert_memory_equal(got, rig->ram[i] + at * page, n * page);
            assert_int_equal(gw_image_map(image, i, at, n, kinds, &err), 0);
            for (uint64_t k = 0; k < n; k++)
                assert_int_equal(kinds[k], !rig_is_zero(got + k * page, page));
        }
    }
    gw_image_free(image);
    free(got);
    if (ret_file_bytes) {
        assert_int_equal(stat(path, &st), 0);
        *ret_file_bytes = (uint64_t)st.st_size;
    }
}

/* Other contents, one time in six zeros. */
static GW_UNUSED void rig_change(struct rig *rig, unsigned block, uint64_t page, uint64_t *seed)
{
    size_t bytes = rig->image.page_bytes;
    uint8_t *p = rig->ram[block] + page * bytes;

    memset(p, 0, bytes);
    if (rig_random(seed) % 6)
        memcpy(p + rig_random(seed) % (bytes / 8) * 8, &(uint64_t){rig_random(seed) | 1}, 8);
}

#endif
