/* SPDX-License-Identifier: MIT */
#include "examine/physical/peek.h"

int gw_peek(struct gw_image *image, unsigned block, uint64_t offset, void *dst, uint64_t bytes, struct gw_error *err)
{
    uint64_t page = image->page_bytes, used = image->blocks[block].used_bytes, first = offset / page, count;
    GW_AUTOFREE uint8_t *pages = NULL;
    int r;

    if (!bytes || offset > used || bytes > used - offset)
        return 0;
    count = gw_div_up(offset + bytes, page) - first;
    pages = malloc((size_t)(count * page));
    if (!pages)
        return gw_nomem(err, "tables of the firmware");
    r = gw_image_pages(image, block, first, count, pages, err);
    if (r < 0)
        return r;
    memcpy(dst, pages + (offset - first * page), (size_t)bytes);
    return 1;
}

int gw_peek_block(const struct gw_image *image, const char *name)
{
    for (unsigned i = 0; i < image->block_count; i++)
        if (!strcmp(image->blocks[i].name, name))
            return (int)i;
    return -1;
}
