/* SPDX-License-Identifier: MIT
 *
 * Any bytes as a parked file: as they are, and with their checksums made right, without which hardly any get past them.
 * What opens is read: the first pages of each block, its last, and all that the map says.
 */
#include <stdio.h>
#include <sys/mman.h>

#include "image/image.h"
#include "parked/repair.h"
#include "verdict.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define PAGES 64u

/* Whether all that was looked at is whole. */
static bool look(struct gw_image *image)
{
    bool whole = true;
    uint8_t *got = malloc((size_t)PAGES * image->page_bytes), kinds[PAGES];

    if (!got)
        abort();
    for (unsigned i = 0; i < image->block_count; i++) {
        uint64_t pages = image->blocks[i].pages, n = GW_MIN(pages, PAGES);
        struct gw_error err = GW_ERROR_INIT;

        if (gw_image_map(image, i, 0, n, kinds, &err) >= 0 && gw_image_pages(image, i, 0, n, got, &err) >= 0)
            for (uint64_t k = 0; k < n; k++)
                for (size_t b = 0; b < image->page_bytes && !kinds[k]; b++)
                    if (got[k * image->page_bytes + b])
                        abort(); /* known to be zeros */
        if (err.code && err.code != -EPROTO)
            abort();
        whole &= !err.code;
        if (pages && gw_image_pages(image, i, pages - 1, 1, got, &err) < 0 && err.code != -EPROTO)
            abort();
    }
    free(got);
    return whole;
}

static bool try(const uint8_t *data, size_t size)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_image *image = NULL;
    int fd = memfd_create("parked", MFD_CLOEXEC);
    bool whole = false;
    char path[64];

    if (fd < 0 || write(fd, data, size) != (ssize_t)size)
        abort();
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    if (gw_image_open(path, &image, &err) < 0) {
        if (err.code != -EPROTO && (gw_pack_known() || err.code != -ENOTSUP))
            abort();
    } else {
        whole = look(image);
    }
    gw_image_free(image);
    close(fd);
    return whole;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *copy;
    bool whole;

    if (size < 8 || memcmp(data, GW_PARKED_MAGIC, 8))
        return 0; /* another target's */
    whole = try(data, size);
    FUZZ_VERDICT(whole);
    copy = malloc(size);
    if (!copy)
        abort();
    memcpy(copy, data, size);
    repair(copy, size);
    try(copy, size);
    free(copy);
    return 0;
}
