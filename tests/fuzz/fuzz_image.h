/* SPDX-License-Identifier: MIT
 *
 * fuzz_image: bytes as a file of one format.
 */
#ifndef FUZZ_IMAGE_H
#define FUZZ_IMAGE_H

#include <sys/mman.h>

#include "image/image.h"
#include "verdict.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FUZZ_PAGES_MAX 4096u /* of each block that are looked at: a block costs nothing until it is read */

static inline void fuzz_read(struct gw_image *image)
{
    uint8_t *page = malloc(image->page_bytes), kind;

    for (unsigned b = 0; b < image->block_count; b++)
        for (uint64_t p = 0; p < GW_MIN(image->blocks[b].pages, FUZZ_PAGES_MAX); p++) {
            if (gw_image_map(image, b, p, 1, &kind, NULL) < 0 || gw_image_pages(image, b, p, 1, page, NULL) < 0)
                abort();
            if (!kind && (page[0] || memcmp(page, page + 1, image->page_bytes - 1) != 0))
                abort();
        }
    free(page);
}

static inline int fuzz_image(const uint8_t *data, size_t size,
                             int (*open_file)(int, const char *, struct gw_image *, struct gw_error *))
{
    struct gw_image *image = calloc(1, sizeof *image);
    int r, fd = memfd_create("fuzz", MFD_CLOEXEC);
    struct gw_error err = GW_ERROR_INIT;

    if (!image || fd < 0 || pwrite(fd, data, size, 0) != (ssize_t)size)
        abort();
    r = open_file(fd, "fuzz", image, &err);
    FUZZ_VERDICT(r >= 0);
    if (r < 0 ? r != err.code || !err.text[0] : 0)
        abort();
    if (r >= 0)
        fuzz_read(image);
    gw_image_free(image);
    return 0;
}

#endif
