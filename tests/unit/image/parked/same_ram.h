/* SPDX-License-Identifier: MIT
 *
 * What a parked file has in it is compared with the memory of the machine that was parked.
 */
#ifndef SAME_RAM_H
#define SAME_RAM_H

#include "rig.h"

#define NONE UINT64_MAX /* no such block */

/* Reads ranges of every size, so that every page is read in several ways. */
static inline void same_ram(struct rig *rig, struct gw_image *image, uint64_t seed)
{
    struct gw_error err = GW_ERROR_INIT;

    for (unsigned i = 0; i < image->block_count; i++) {
        uint64_t pages = image->blocks[i].pages, n;
        size_t page = image->page_bytes;
        uint8_t *got = malloc(700 * page), kinds[700];

        for (uint64_t at = 0; at < pages; at += n) {
            n = 1 + rig_random(&seed) % (rig_random(&seed) % 4 ? 40 : 700);
            n = GW_MIN(n, pages - at);
            memset(got, 0xee, n * page);
            assert_int_equal(gw_image_pages(image, i, at, n, got, &err), 0);
            assert_memory_equal(got, rig->ram[i] + at * page, n * page);
            assert_int_equal(gw_image_map(image, i, at, n, kinds, &err), 0);
            for (uint64_t k = 0; k < n; k++)
                assert_int_equal(kinds[k], !rig_is_zero(got + k * page, page));
        }
        free(got);
    }
}

static const char *usual(void)
{
    return gw_pack_known() ? "zstd" : "none";
}

#endif
