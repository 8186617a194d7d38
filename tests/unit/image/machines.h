/* SPDX-License-Identifier: MIT
 *
 * machines: images in memory made of the captures, and pages that fail.
 */
#ifndef TEST_MACHINES_H
#define TEST_MACHINES_H

#include "image/image.h"
#include "examine/inspect.h"
#include "scan/scan.h"
#include "streams.h"

#include <cmocka.h>

struct filler {
    struct gw_image *image;
    const uint8_t *stream;
    uint8_t *host[64];
    bool ram;
};

static inline int fill_head(void *opaque, const struct gw_wire_head *head)
{
    struct filler *f = opaque;

    gw_strcopy(f->image->machine, sizeof f->image->machine, head->machine);
    f->image->page_bytes = gw_head_page_bytes(head);
    f->image->page_bits = gw_head_page_bits(head);
    f->image->has_uuid = head->has_uuid;
    memcpy(f->image->uuid, head->uuid, 16);
    return 0;
}

static inline int fill_block(void *opaque, const struct gw_scan_block *block)
{
    struct filler *f = opaque;

    return gw_memory_add_block(f->image, block->name, block->used_bytes, &f->host[block->index], NULL);
}

static inline int fill_page(void *opaque, const struct gw_scan_page *page)
{
    struct filler *f = opaque;

    if (page->data)
        memcpy(f->host[page->block->index] + page->offset, page->data, f->image->page_bytes);
    return 0;
}

static inline int fill_section(void *opaque, const struct gw_scan_section *s)
{
    struct filler *f = opaque;
    uint8_t **blob = s->early ? &f->image->early : &f->image->devices;
    size_t *bytes = s->early ? &f->image->early_bytes : &f->image->devices_bytes;

    if (s->element != GW_ELEMENT_FULL) {
        f->ram = true;
        return 0;
    }
    *blob = realloc(*blob, *bytes + s->bytes);
    memcpy(*blob + *bytes, f->stream + s->at, s->bytes);
    *bytes += s->bytes;
    if (s->early && !f->ram)
        f->image->early_before = *bytes;
    return 0;
}

static inline int fill_description(void *opaque, const struct gw_vmdesc_tree *tree, uint64_t at, uint64_t bytes)
{
    struct filler *f = opaque;

    f->image->description = malloc(bytes - 5);
    f->image->description_bytes = bytes - 5;
    memcpy(f->image->description, f->stream + at + 5, bytes - 5);
    return 0;
}

/* The machine of a capture. */
static inline struct gw_image *machine_of(const char *name)
{
    static const struct gw_scan_visitor visitor = {.head = fill_head,
                                                   .block = fill_block,
                                                   .page = fill_page,
                                                   .section = fill_section,
                                                   .description = fill_description};
    struct bytes b = stream_load(name);
    struct gw_error err = GW_ERROR_INIT;
    struct filler f = {.stream = b.data};
    struct gw_reader reader;
    struct gw_scan scan;

    assert_int_equal(gw_image_new(NULL, &f.image, &err), 0);
    f.image->footers = true;
    gw_reader_init_memory(&reader, b.data, b.bytes, 0);
    gw_scan_init(&scan, &reader, &visitor, &f);
    if (gw_scan_run(&scan, &err) < 0)
        fail_msg("%s: %s", name, err.text);
    gw_scan_close(&scan);
    gw_reader_close(&reader);
    free(b.data);
    return f.image;
}

static inline unsigned block_of(const struct gw_image *image, const char *name)
{
    for (unsigned i = 0; i < image->block_count; i++)
        if (!strcmp(image->blocks[i].name, name))
            return i;
    fail_msg("no block %s", name);
    return 0;
}

/* Reading pages [first, first + count) of the block fails with this code. */
static struct {
    const struct gw_image_ops *inner;
    struct gw_image_ops ops;
    unsigned block;
    uint64_t first, count;
    int code;
    bool map;
} broken;

static inline int broken_read(struct gw_image *image, unsigned block, uint64_t first, uint64_t count, uint8_t *dst,
                              struct gw_error *err)
{
    if (!broken.map && block == broken.block && first < broken.first + broken.count && broken.first < first + count)
        return gw_fail(err, broken.code, GW_BLAME_PEER, "checksum at byte 4711");
    return broken.inner->read(image, block, first, count, dst, err);
}

static inline int broken_map(struct gw_image *image, unsigned block, uint64_t first, uint64_t count, uint8_t *kinds,
                             struct gw_error *err)
{
    if (broken.map && block == broken.block)
        return gw_fail(err, broken.code, GW_BLAME_PEER, "the index is broken at byte 4711");
    return broken.inner->map(image, block, first, count, kinds, err);
}

static inline void break_machine(struct gw_image *image, unsigned block, uint64_t first, uint64_t count, int code)
{
    if (image->ops != &broken.ops)
        broken.inner = image->ops;
    broken.ops = (struct gw_image_ops){broken_map, broken_read, broken.inner->close};
    broken.block = block;
    broken.first = first;
    broken.count = count;
    broken.code = code;
    broken.map = false;
    image->ops = &broken.ops;
}

#endif
