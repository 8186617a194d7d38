/* SPDX-License-Identifier: MIT
 *
 * An image as a mapped-ram file (docs/wire-format.md 9): what QEMU from 9.0 on loads with that capability.
 */
#include <assert.h>

#include "image/pull.h"
#include "image/stream/put.h"
#include "image/unpack.h"
#include "wire/ram_list.h"

#define MAPPED_VERSION 1u
#define PAGES_ALIGN    GW_MIB

struct mapped_block {
    uint8_t *map; /* bit p % 8 of byte p / 8: the page has contents */
    uint64_t map_bytes, map_at, pages_at;
};

struct mapped {
    struct gw_image *image;
    int fd;
    struct mapped_block *blocks;
    uint64_t at; /* where the stream goes on */
};

/* What was put goes to where the stream is. */
static int flush(struct mapped *m, struct gw_writer *w, struct gw_error *err)
{
    size_t n;
    const uint8_t *data = gw_writer_data(w, &n);
    int r = gw_writer_flush(w, err);

    if (r >= 0)
        r = gw_pwrite_all(m->fd, data, n, m->at, err);
    m->at += n;
    gw_writer_close(w);
    return r;
}

static int put_block(struct mapped *m, unsigned i, struct gw_writer *w, struct gw_error *err)
{
    const struct gw_image_block *block = &m->image->blocks[i];
    struct mapped_block *b = &m->blocks[i];
    size_t n;
    int r;

    gw_ram_list_put(&w->out, block->name, block->used_bytes, NULL);
    gw_writer_data(w, &n);
    b->map_bytes = gw_div_up(block->pages, 64) * 8;
    b->map_at = m->at + n + 28;
    b->pages_at = gw_div_up(b->map_at + b->map_bytes, PAGES_ALIGN) * PAGES_ALIGN;
    gw_put_u32(w, MAPPED_VERSION);
    gw_put_u64(w, m->image->page_bytes);
    gw_put_u64(w, b->map_at);
    gw_put_u64(w, b->pages_at);
    r = flush(m, w, err);
    if (r < 0)
        return r;
    b->map = calloc(1, GW_MAX((size_t)b->map_bytes, 1));
    if (!b->map)
        return gw_nomem(err, "maps of pages");
    if (gw_add_overflows(b->pages_at, block->used_bytes, &m->at) || m->at > INT64_MAX)
        return gw_fail(err, -EFBIG, GW_BLAME_LOCAL, "RAM block %s: no file is so large", block->name);
    return 0;
}

static int put_chunk(void *opaque, const struct gw_pull_chunk *c, struct gw_error *err)
{
    struct mapped *m = opaque;
    struct mapped_block *b = &m->blocks[c->block];
    size_t page_bytes = m->image->page_bytes;
    int r = 0;

    assert(b->map); /* made with the list of blocks, which comes first */
    for (unsigned i = 0, end; r >= 0 && i < c->count; i = end) {
        for (end = i; end < c->count && c->filled[end]; end++)
            b->map[(c->first + end) / 8] |= (uint8_t)(1u << ((c->first + end) % 8));
        if (end > i)
            r = gw_pwrite_all(m->fd, c->data + i * page_bytes, (end - i) * page_bytes,
                              b->pages_at + (c->first + i) * page_bytes, err);
        end += end < c->count && !c->filled[end];
    }
    return r;
}

static int put_all(struct mapped *m, const struct gw_image_write_options *options, struct gw_writer *w,
                   struct gw_error *err)
{
    int r = gw_writer_init_memory(w, err);

    gw_stream_put_begin(m->image, true, w);
    for (unsigned i = 0; i < m->image->block_count && r >= 0; i++) {
        r = put_block(m, i, w, err);
        if (r >= 0)
            r = gw_writer_init_memory(w, err);
    }
    if (r < 0)
        return r;
    gw_stream_put_listed(m->image, w);
    gw_stream_put_part(m->image, w); /* as a source does, which writes the pages then */
    gw_stream_put_part_end(m->image, w);
    gw_stream_put_end(m->image, w);
    r = flush(m, w, err);
    if (r >= 0)
        r = gw_pull_all(m->image, true, options, put_chunk, m, err);
    for (unsigned i = 0; i < m->image->block_count && r >= 0; i++)
        r = gw_pwrite_all(m->fd, m->blocks[i].map, (size_t)m->blocks[i].map_bytes, m->blocks[i].map_at, err);
    return r;
}

int gw_mapped_check_options(const struct gw_image_write_options *options, struct gw_error *err)
{
    return options->compress && strcmp(options->compress, "raw")
               ? gw_fail(err, -EINVAL, GW_BLAME_CALLER, "a mapped-ram file cannot be compressed")
               : 0;
}

int gw_mapped_write(struct gw_image *image, const struct gw_image_write_options *options, int fd, struct gw_error *err)
{
    return gw_mapped_write_at(image, options, fd, 0, err);
}

int gw_mapped_write_at(struct gw_image *image, const struct gw_image_write_options *options, int fd, uint64_t base,
                       struct gw_error *err)
{
    struct mapped m = {.image = image, .fd = fd, .at = base};
    struct gw_writer w = {0};
    int r = gw_mapped_check_options(options, err);

    if (r < 0)
        return r;
    if (!*image->machine)
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER,
                       "a mapped-ram file needs a machine type's name, and there is none");
    m.blocks = calloc(GW_MAX(image->block_count, 1u), sizeof *m.blocks);
    if (!m.blocks)
        return gw_nomem(err, "RAM blocks");
    r = put_all(&m, options, &w, err);
    gw_writer_close(&w);
    for (unsigned i = 0; i < image->block_count; i++)
        free(m.blocks[i].map);
    free(m.blocks);
    return r;
}
