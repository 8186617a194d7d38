/* SPDX-License-Identifier: MIT
 *
 * salvage: the two halves of a machine whose postcopy migration broke off, as one image.
 *
 * The half that arrived is used as it is (devices, received pages); its missing pages are read from the other half.
 * Nothing is copied: each page is read from the half that has it when it is requested.
 *
 * The other half must be the machine as it was at the switchover. This is checked: pages and devices that both halves
 * have must be equal.
 */
#include "base/bitmap.h"
#include "base/sized.h"
#include "image/image.h"
#include "image/pull.h"
#include "ram/page/zero.h"

struct halves {
    struct gw_image first; /* a copy of the image's earlier fields, with its format's data */
    struct gw_image *rest;
    uint64_t **received; /* bitmaps of the first */
    unsigned *of_block;  /* for each block: its number in the rest */
};

/* ---- one image ------------------------------------------------------------------------------------------------------ */

static struct halves *of(const struct gw_image *image)
{
    return image->own;
}

/* Which half has the pages from `page` on, and where that run of pages ends; `block` becomes the block's number in that
 * half. */
static struct gw_image *half(struct gw_image *image, unsigned *block, uint64_t page, uint64_t end, uint64_t *ret_end)
{
    struct halves *h = of(image);
    const uint64_t *map = h->received[*block]; /* every block has one since the image was made */
    bool first = gw_bitmap_test(map, page);

    *ret_end = first ? gw_bitmap_next_clear(map, end, page) : gw_bitmap_next_set(map, end, page);
    *block = first ? *block : h->of_block[*block];
    return first ? &h->first : h->rest;
}

static int map(struct gw_image *image, unsigned block, uint64_t first, uint64_t count, uint8_t *kinds, struct gw_error *err)
{
    int r = 0;

    for (uint64_t at = first, end; r >= 0 && at < first + count; at = end) {
        unsigned number = block;
        struct gw_image *from = half(image, &number, at, first + count, &end);

        r = from->ops->map(from, number, at, end - at, kinds + (at - first), err);
    }
    return r;
}

static int read_pages(struct gw_image *image, unsigned block, uint64_t first, uint64_t count, uint8_t *dst, struct gw_error *err)
{
    int r = 0;

    for (uint64_t at = first, end; r >= 0 && at < first + count; at = end) {
        unsigned number = block;
        struct gw_image *from = half(image, &number, at, first + count, &end);

        r = from->ops->read(from, number, at, end - at, dst + ((at - first) << image->page_bits), err);
    }
    return r;
}

static bool empty(const struct gw_image *image, unsigned block, uint64_t group)
{
    const struct halves *h = of(image);

    return gw_image_empty(&h->first, block, group) && gw_image_empty(h->rest, h->of_block[block], group);
}

static void free_halves(struct halves *h, unsigned blocks)
{
    for (unsigned i = 0; h->received && i < blocks; i++)
        free(h->received[i]);
    free(h->received);
    free(h->of_block);
    free(h);
}

static void close_halves(struct gw_image *image)
{
    struct halves *h = of(image);

    if (h->first.ops->close)
        h->first.ops->close(&h->first);
    free_halves(h, image->block_count);
}

static int check_halves(struct gw_image *image, struct gw_error *err)
{
    struct halves *h = of(image);
    int r = h->first.ops->check ? h->first.ops->check(&h->first, err) : 0;

    return r >= 0 && h->rest->ops->check ? h->rest->ops->check(h->rest, err) : r;
}

/* One half is a parked file or memory, whose header records its end; the other may be a stream. */
static int behind_halves(struct gw_image *image, struct gw_behind *ret, struct gw_error *err)
{
    struct halves *h = of(image);

    *ret = (struct gw_behind){0};
    return h->rest->ops->behind ? h->rest->ops->behind(h->rest, ret, err) : 0;
}

static const struct gw_image_ops ops = {
    .map = map, .read = read_pages, .close = close_halves, .check = check_halves, .behind = behind_halves, .empty = empty};

/* ---- do they belong together? --------------------------------------------------------------------------------------- */

static int match_head(const struct gw_image *a, const struct gw_image *b, struct gw_error *err)
{
    if (a->machine[0] && b->machine[0] && strcmp(a->machine, b->machine))
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "another machine: its type is %s, not %s", b->machine, a->machine);
    if (a->has_uuid && b->has_uuid && memcmp(a->uuid, b->uuid, sizeof a->uuid))
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "another machine: its UUID differs");
    if (a->page_bytes != b->page_bytes)
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "another machine: its pages have %u bytes, not %u", b->page_bytes, a->page_bytes);
    return 0;
}

static int match_blocks(const struct gw_image *a, const struct gw_image *b, unsigned *of_block, struct gw_error *err)
{
    uint64_t total = 0;

    for (unsigned i = 0; i < b->block_count; i++)
        total += b->blocks[i].used_bytes;
    for (unsigned i = 0, k; i < a->block_count; i++) {
        const struct gw_image_block *block = &a->blocks[i];

        of_block[i] = 0;
        if (!block->used_bytes) /* nothing of it is used */
            continue;
        for (k = 0; k < b->block_count && strcmp(b->blocks[k].name, block->name); k++)
            ;
        if (k == b->block_count)
            return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "another machine: it has no RAM block %s", block->name);
        if (b->blocks[k].used_bytes != block->used_bytes)
            return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "another machine: RAM block %s has 0x%" PRIx64 " bytes, not 0x%" PRIx64, block->name,
                           b->blocks[k].used_bytes, block->used_bytes);
        of_block[i] = k;
        total -= block->used_bytes;
    }
    return total ? gw_fail(err, -EINVAL, GW_BLAME_CALLER, "another machine: it has more RAM blocks") : 0;
}

/* Whether the guest runs by itself may have been changed during the migration, so it is not compared. */
static int match_devices(struct gw_image *a, struct gw_image *b, struct gw_error *err)
{
    bool same = a->devices_bytes == b->devices_bytes && a->early_bytes == b->early_bytes;
    GW_AUTOFREE uint8_t *devices = same && b->devices_bytes ? malloc(b->devices_bytes) : NULL;
    struct gw_image copy = *b;

    if (same && b->devices_bytes && !devices)
        return gw_nomem(err, "devices");
    if (devices) {
        memcpy(devices, b->devices, b->devices_bytes);
        copy.devices = devices;
        gw_image_take_runs(&copy, a);
        same = !memcmp(devices, a->devices, a->devices_bytes);
    }
    if (same && a->early_bytes)
        same = !memcmp(a->early, b->early, a->early_bytes);
    return same ? 0
                : gw_fail(err, -EINVAL, GW_BLAME_CALLER,
                          "the machine at another moment: the state of its devices is not the one that arrived. The "
                          "missing pages must come from the machine as it was sent");
}

/* ---- what both have ------------------------------------------------------------------------------------------------- */

struct compare {
    const struct gw_image *a;
    struct gw_image *b;
    const struct gw_zero *zero;
    unsigned of_block;
    const uint64_t *has_a, *has_b; /* has_b NULL: all pages */
    uint8_t *data, *filled;
    uint64_t done_bytes, total_bytes;
};

static int compare_chunk(struct compare *c, const struct gw_pull_chunk *chunk, struct gw_error *err)
{
    uint32_t bytes = c->a->page_bytes;
    int r = gw_image_fetch(c->b, c->of_block, chunk->first, chunk->count, c->filled, c->data, err);

    for (unsigned i = 0; r >= 0 && i < chunk->count; i++) {
        uint64_t page = chunk->first + i;
        uint8_t *p = c->data + (size_t)i * bytes;
        bool filled = c->filled[i] && !gw_zero_page(c->zero, p, bytes);

        if (!gw_bitmap_test(c->has_a, page) || (c->has_b && !gw_bitmap_test(c->has_b, page)))
            continue;
        if (filled != (bool)chunk->filled[i] || (filled && memcmp(p, chunk->data + (size_t)i * bytes, bytes)))
            return gw_fail(err, -EINVAL, GW_BLAME_CALLER,
                           "the machine at another moment: the page at 0x%" PRIx64 " of RAM block %s is not the one "
                               "that arrived. The missing pages must come from the machine as it was sent",
                           page * bytes, c->a->blocks[chunk->block].name);
    }
    return r;
}

static int compare_block(struct compare *c, unsigned block, const struct gw_salvage_options *options, struct gw_error *err)
{
    struct gw_pull_range range = {block, 0, c->a->blocks[block].pages};
    struct gw_pull_config config = {.ranges = &range, .range_count = 1, .threads = options->threads, .without_empty = true,
                                    .beside = c->b, .beside_block = c->of_block};
    struct gw_pull_chunk *chunk;
    struct gw_pull *pull;
    int r = gw_pull_new((struct gw_image *)c->a, &config, &pull, err);

    if (r < 0)
        return r;
    while ((r = gw_pull_next(pull, &chunk, err)) > 0) {
        r = compare_chunk(c, chunk, err);
        if (r < 0)
            break;
        c->done_bytes += (uint64_t)chunk->count * c->a->page_bytes;
        if (options->progress && options->progress(options->opaque, c->done_bytes, c->total_bytes)) {
            r = gw_fail(err, -ECANCELED, GW_BLAME_CALLER, "interrupted");
            break;
        }
    }
    gw_pull_free(pull);
    return r;
}

static int compare(struct gw_image *a, struct gw_image *b, const unsigned *of_block, const struct gw_salvage_options *options,
                   struct gw_error *err)
{
    GW_AUTOFREE uint8_t *data = aligned_alloc(4096, (size_t)GW_PULL_PAGES * a->page_bytes), *filled = malloc(GW_PULL_PAGES);
    struct compare c = {.a = a, .b = b, .data = data, .filled = filled, .zero = gw_zero_pick()};
    int r = data && filled ? 0 : gw_nomem(err, "pages");

    for (unsigned i = 0; i < a->block_count; i++)
        c.total_bytes += a->blocks[i].used_bytes;
    for (unsigned i = 0; r >= 0 && i < a->block_count; i++) {
        c.of_block = of_block[i];
        c.has_a = a->received[i];
        c.has_b = b->received ? b->received[of_block[i]] : NULL;
        if (!c.has_a || (b->received && !c.has_b))
            continue;
        r = compare_block(&c, i, options, err);
    }
    return r;
}

static int belong_together(struct gw_image *a, struct gw_image *b, unsigned *of_block, const struct gw_salvage_options *options,
                           struct gw_error *err)
{
    int r = match_head(a, b, err);

    if (r >= 0)
        r = match_blocks(a, b, of_block, err);
    if (r >= 0)
        r = match_devices(a, b, err);
    return r < 0 ? r : compare(a, b, of_block, options, err);
}

/* ---- joining -------------------------------------------------------------------------------------------------------- */

int gw_image_join(struct gw_image *image, struct gw_image *rest, struct gw_error *err)
{
    unsigned blocks = image->block_count;
    struct halves *h = calloc(1, sizeof *h);
    uint64_t **both = rest->received ? calloc(GW_MAX(blocks, 1u), sizeof *both) : NULL;
    int r = h && (both || !rest->received) ? 0 : -ENOMEM;

    if (h && !(h->of_block = calloc(GW_MAX(blocks, 1u), sizeof *h->of_block)))
        r = -ENOMEM;
    r = r < 0 ? gw_nomem(err, "halves of a machine") : match_blocks(image, rest, h->of_block, err);
    for (unsigned i = 0; r >= 0 && both && i < blocks; i++) {
        const uint64_t *other = rest->received[h->of_block[i]];
        size_t words = gw_bitmap_words(image->blocks[i].pages);

        both[i] = calloc(GW_MAX(words, 1u), sizeof *both[i]);
        if (!both[i])
            r = gw_nomem(err, "map of received pages");
        for (size_t w = 0; r >= 0 && w < words; w++)
            both[i][w] = image->received[i][w] | (other ? other[w] : 0);
    }
    if (r < 0) {
        for (unsigned i = 0; both && i < blocks; i++)
            free(both[i]);
        free(both);
        if (h)
            free_halves(h, blocks);
        return r;
    }
    h->first = *image;
    h->rest = rest;
    h->received = image->received;
    image->ops = &ops;
    image->own = h;
    image->stored_pages = 0;
    image->received = both;
    if (!gw_image_lacking(image))
        gw_image_lacks_nothing(image);
    return 0;
}

int gw_image_salvage_sized(struct gw_image *image, struct gw_image *rest, const struct gw_salvage_options *options, size_t options_bytes,
                           struct gw_error *err)
{
    GW_AUTOFREE unsigned *of_block = calloc(GW_MAX(image->block_count, 1u), sizeof *of_block);
    struct gw_salvage_options own;
    uint8_t *description = NULL;
    int r = of_block ? 0 : gw_nomem(err, "RAM blocks");

    if (r >= 0)
        r = gw_sized_in(&own, sizeof own, options, options_bytes, 0, "struct gw_salvage_options", err);
    if (r >= 0 && !image->received)
        r = gw_fail(err, -EALREADY, GW_BLAME_CALLER, "the machine's memory is complete: there is nothing to salvage");
    if (r >= 0 && !rest->awaits)
        r = belong_together(image, rest, of_block, &own, err);
    /* A machine that arrived by postcopy has no description of the source's own. */
    if (r >= 0 && rest->description_bytes && !(description = malloc(rest->description_bytes + 1)))
        r = gw_nomem(err, "description");
    if (r >= 0)
        r = gw_image_join(image, rest, err);
    if (r < 0) {
        free(description);
        return r;
    }
    if (description) {
        memcpy(description, rest->description, rest->description_bytes);
        description[rest->description_bytes] = 0;
        free(image->description);
        image->description = (char *)description;
        image->description_bytes = rest->description_bytes;
    }
    return 0;
}

int gw_image_await(struct gw_image *rest, const struct gw_image *half, struct gw_error *err)
{
    int r = 0;

    if (rest->format != GW_IMAGE_MEMORY || rest->block_count || rest->guest)
        return gw_fail(err, -EBUSY, GW_BLAME_CALLER, "the image has a machine already");
    if (!half->received)
        return gw_fail(err, -EALREADY, GW_BLAME_CALLER, "the machine's memory is complete: there is nothing to salvage");
    gw_strcopy(rest->machine, sizeof rest->machine, half->machine);
    rest->has_uuid = half->has_uuid;
    memcpy(rest->uuid, half->uuid, sizeof rest->uuid);
    rest->page_bytes = half->page_bytes;
    rest->page_bits = half->page_bits;
    rest->footers = half->footers;
    for (unsigned i = 0; r >= 0 && i < half->block_count; i++)
        if (half->blocks[i].used_bytes)
            r = gw_memory_add_block(rest, half->blocks[i].name, half->blocks[i].used_bytes, &(uint8_t *){NULL}, err);
    for (unsigned i = 0, k = 0; r >= 0 && i < half->block_count; i++) {
        size_t bytes = gw_bitmap_words(half->blocks[i].pages) * 8;
        uint64_t *map;

        if (!half->blocks[i].used_bytes)
            continue;
        map = malloc(bytes);
        if (map)
            memcpy(map, half->received[i], bytes);
        r = map ? gw_image_lacks(rest, k++, map, err) : gw_nomem(err, "map of received pages");
    }
    if (r < 0)
        gw_memory_forget(rest);
    rest->awaits = r >= 0;
    return r;
}
