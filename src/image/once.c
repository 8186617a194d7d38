/* SPDX-License-Identifier: MIT */
#include "image/once.h"

#include "base/bitmap.h"

#define WORTH 4u /* one page of this many */

struct once {
    struct gw_image image;
    struct gw_image *of;
    uint64_t **first; /* for each block: pages whose contents appear here first */
    uint64_t **again; /* groups that have other pages that are not zeros */
};

static uint64_t groups(const struct gw_image_block *b)
{
    return gw_div_up(b->pages, GW_IMAGE_GROUP);
}

static int once_map(struct gw_image *image, unsigned block, uint64_t first, uint64_t count, uint8_t *kinds,
                    struct gw_error *err)
{
    const struct once *o = image->own;

    for (uint64_t i = 0; i < count; i++)
        kinds[i] = gw_bitmap_test(o->first[block], first + i);
    return 0;
}

static int once_fetch(struct gw_image *image, unsigned block, uint64_t first, uint64_t count, uint8_t *kinds, uint8_t *dst,
                      struct gw_error *err)
{
    const struct once *o = image->own;
    const uint64_t *map = o->first[block], *again = o->again[block];
    uint64_t end = first + count, groups_end = (end - 1) / GW_IMAGE_GROUP + 1, to;
    int r = 0;

    /* One read is quicker, if it is not much larger than the wanted pages. */
    if (gw_bitmap_next_set(again, groups_end, first / GW_IMAGE_GROUP) == groups_end ||
        gw_bitmap_count_range(map, first, count) >= count / WORTH) {
        r = gw_image_fetch(o->of, block, first, count, kinds, dst, err);
        return r < 0 ? r : once_map(image, block, first, count, kinds, err);
    }
    for (uint64_t at = first; r >= 0 && (at = gw_bitmap_next_set(map, end, at)) < end; at = to) {
        to = gw_bitmap_next_clear(map, end, at);
        r = gw_image_pages(o->of, block, at, to - at, dst + ((at - first) << image->page_bits), err);
    }
    return r < 0 ? r : once_map(image, block, first, count, kinds, err);
}

static bool once_empty(const struct gw_image *image, unsigned block, uint64_t group)
{
    const struct once *o = image->own;
    uint64_t end = GW_MIN((group + 1) * GW_IMAGE_GROUP, image->blocks[block].pages);

    return gw_bitmap_next_set(o->first[block], end, group * GW_IMAGE_GROUP) == end;
}

static const struct gw_image_ops once_ops = {.map = once_map, .fetch = once_fetch, .empty = once_empty};

static int sort(struct once *o, unsigned block, uint64_t group, uint64_t *seen, uint64_t *filled)
{
    uint64_t from = group * GW_IMAGE_GROUP, count = GW_MIN(o->of->blocks[block].pages - from, GW_IMAGE_GROUP);
    uint32_t numbers[GW_IMAGE_GROUP];
    int r;

    if (gw_image_empty(o->of, block, group))
        return 0;
    r = o->of->ops->numbers(o->of, block, from, count, numbers, NULL);
    if (r < 0) {
        gw_bitmap_set_range(o->first[block], from, count);
        return r == -ENOMEM ? r : 0;
    }
    for (uint64_t i = 0; i < count; i++) {
        if (numbers[i] == GW_IMAGE_ZEROS)
            continue;
        ++*filled;
        if (gw_bitmap_test(seen, numbers[i])) {
            gw_bitmap_set(o->again[block], group);
        } else {
            gw_bitmap_set(seen, numbers[i]);
            gw_bitmap_set(o->first[block], from + i);
        }
    }
    return 0;
}

int gw_once_new(struct gw_image *image, struct gw_image **ret_once, uint64_t *ret_filled, struct gw_error *err)
{
    unsigned blocks = GW_MAX(image->block_count, 1u);
    uint64_t *seen = gw_bitmap_new(image->stored_pages), filled = 0;
    struct once *o = calloc(1, sizeof *o);
    bool made = o && seen;

    if (o)
        *o = (struct once){.image = {.ops = &once_ops, .own = o, .page_bytes = image->page_bytes, .page_bits = image->page_bits,
                                     .blocks = image->blocks, .block_count = image->block_count},
                           .of = image,
                           .first = calloc(blocks, sizeof *o->first),
                           .again = calloc(blocks, sizeof *o->again)};
    made = made && o->first && o->again;
    for (unsigned i = 0; made && i < image->block_count; i++) {
        o->first[i] = gw_bitmap_new(image->blocks[i].pages);
        o->again[i] = gw_bitmap_new(groups(&image->blocks[i]));
        made = o->first[i] && o->again[i];
        for (uint64_t g = 0; made && g < groups(&image->blocks[i]); g++)
            made = sort(o, i, g, seen, &filled) >= 0;
    }
    gw_bitmap_free(seen, image->stored_pages);
    if (!made) {
        gw_once_free(o ? &o->image : NULL);
        return gw_nomem(err, "pages of an image");
    }
    *ret_once = &o->image;
    *ret_filled = filled;
    return 0;
}

void gw_once_free(struct gw_image *once)
{
    struct once *o = once ? once->own : NULL;

    if (!o)
        return;
    for (unsigned i = 0; o->first && o->again && i < once->block_count; i++) {
        gw_bitmap_free(o->first[i], once->blocks[i].pages);
        gw_bitmap_free(o->again[i], groups(&once->blocks[i]));
    }
    free(o->first);
    free(o->again);
    free(o);
}
