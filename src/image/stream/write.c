/* SPDX-License-Identifier: MIT
 *
 * Writes an image as a stream, which an unmodified QEMU loads with -incoming file: or exec:cat, or as a mapped-ram
 * file, which QEMU from 9.0 on loads with that capability. They differ in the layout object, which is the same as for a
 * live migration.
 */
#include <fcntl.h>

#include "image/asking.h"
#include "image/pull.h"
#include "image/stream/outline.h"
#include "image/stream/put.h"
#include "image/unpack.h"
#include "ram/layout/mapped.h"
#include "ram/layout/stream.h"
#include "wire/ram_list.h"

struct stream {
    struct gw_image *image;
    struct gw_writer w;
    struct gw_layout *layout;
    struct gw_ram_block *blocks; /* the image's blocks, as the layout needs them */
    struct gw_batch batch;
    bool mapped;
    bool open; /* whether a PART is open */
    uint64_t part_at;
};

static void begin_part(struct stream *s)
{
    if (s->open)
        return;
    s->part_at = gw_writer_offset(&s->w);
    gw_stream_put_part(s->image, &s->w);
    s->open = true;
}

static void end_part(struct stream *s)
{
    if (s->open)
        gw_stream_put_part_end(s->image, &s->w);
    s->open = false;
}

static int put_chunk(void *opaque, const struct gw_pull_chunk *c, struct gw_error *err)
{
    struct stream *s = opaque;
    struct gw_batch *b = &s->batch;
    uint32_t bytes = s->image->page_bytes;
    bool any = false;

    if (s->open && gw_writer_offset(&s->w) - s->part_at > GW_STREAM_PART_BYTES)
        end_part(s);
    begin_part(s);
    b->block = &s->blocks[c->block];
    b->count = c->count;
    for (unsigned i = 0; i < c->count; i++) {
        b->page[i] = c->first + i;
        any = any || c->filled[i];
        b->form[i] = c->filled[i] ? GW_FORM_PLAIN : GW_FORM_ZERO;
        b->body[i] = (struct gw_body){c->data + (size_t)i * bytes, bytes};
    }
    s->layout->put(s->layout, b, &s->w);
    /* The chunk's memory is reused for the next read, so page bodies are flushed now. Zeros have no body and are
     * collected. */
    return any || s->w.out.error.code ? gw_writer_flush(&s->w, err) : 0;
}

/* options NULL: an outline. */
static int put_all(struct stream *s, const struct gw_image_write_options *options, struct gw_error *err)
{
    struct gw_image *image = s->image;
    uint64_t pages = 0;
    int r = 0;

    gw_stream_put_begin(image, s->mapped, &s->w);
    for (unsigned i = 0; i < image->block_count; i++) {
        struct gw_ram_block *b = &s->blocks[i];

        memcpy(b->name, image->blocks[i].name, sizeof b->name);
        b->index = i;
        b->used_bytes = image->blocks[i].used_bytes;
        b->pages = image->blocks[i].pages;
        pages += b->pages;
        gw_ram_list_put(&s->w.out, b->name, b->used_bytes, NULL);
        r = s->layout->list ? s->layout->list(s->layout, b, &s->w, err) : 0;
        if (r < 0)
            return r;
    }
    gw_stream_put_listed(image, &s->w);
    if (options)
        r = gw_pull_all(image, s->mapped, options, put_chunk, s, err);
    else if (pages)
        begin_part(s);
    if (r < 0)
        return r;
    end_part(s);
    if (s->layout->barrier)
        s->layout->barrier(s->layout, GW_BARRIER_END, &s->w);
    gw_stream_put_end(image, &s->w);
    return gw_writer_flush(&s->w, err);
}

static int new_layout(struct stream *s, const struct gw_ram *ram, struct gw_error *err)
{
    struct gw_mapped *m = NULL;
    int r = s->mapped ? gw_mapped_new(ram, &m, err) : gw_layout_stream_new(ram, &s->layout, err);

    if (r >= 0 && s->mapped)
        r = gw_layout_mapped_new(m, &s->layout, err);
    gw_mapped_unref(m);
    return r;
}

/* Takes fd. at: where a mapped-ram file begins; a stream is written at fd's position. asking: lets progress cancel long
 * waits; or NULL. */
static int write_plain(struct gw_image *image, const struct gw_image_write_options *options, int fd, const uint64_t *at,
                       struct gw_asking *asking, struct gw_error *err)
{
    const struct gw_ram ram = {.page_bytes = image->page_bytes, .page_bits = image->page_bits};
    struct stream *s = calloc(1, sizeof *s);
    struct gw_channel *channel = NULL;
    int r = gw_channel_from_fd(fd, "output", &channel, err);

    if (r >= 0 && asking && (r = gw_asking_channel(asking, channel, &channel, err)) < 0)
        channel = NULL;
    if (s)
        *s = (struct stream){.image = image, .mapped = at, .blocks = calloc(GW_MAX(image->block_count, 1u), sizeof *s->blocks)};
    if (r >= 0)
        r = s && s->blocks ? new_layout(s, &ram, err) : gw_nomem(err, "pages of an image");
    if (r >= 0)
        r = gw_writer_init(&s->w, channel, err);
    if (r >= 0 && at)
        r = gw_writer_seek(&s->w, *at, err);
    if (r >= 0)
        r = put_all(s, options, err);
    if (s) {
        gw_writer_close(&s->w);
        if (s->layout)
            s->layout->free(s->layout);
        free(s->blocks);
    }
    free(s);
    if (r >= 0)
        r = gw_channel_close(channel, err);
    gw_channel_free(channel);
    return r;
}

static int write_beside(struct gw_image *image, const struct gw_image_write_options *options, int fd, const uint64_t *at,
                        struct gw_error *err)
{
    int to = fcntl(fd, F_DUPFD_CLOEXEC, 3);

    return to < 0 ? gw_fail(err, -errno, GW_BLAME_LOCAL, "output: %s", strerror(errno))
                  : write_plain(image, options, to, at, NULL, err);
}

static bool is_plain(const struct gw_image_write_options *options)
{
    return !options->compress || !strcmp(options->compress, "raw");
}

static int check_program(const char *program, struct gw_error *err)
{
    return gw_compression_known(program)
               ? 0
               : gw_fail(err, -EINVAL, GW_BLAME_CALLER,
                         "a stream cannot be compressed with %s, but with gzip, bzip2, xz, lzop or zstd", program);
}

int gw_stream_check_options(const struct gw_image_write_options *options, struct gw_error *err)
{
    int r;

    if (is_plain(options))
        return 0;
    r = check_program(options->compress, err);
    return r < 0 ? r : gw_filter_try(options->compress, options->level, err);
}

int gw_stream_write_outline(struct gw_image *image, int fd, struct gw_error *err)
{
    return write_beside(image, NULL, fd, NULL, err);
}

int gw_stream_write(struct gw_image *image, const struct gw_image_write_options *options, int fd, struct gw_error *err)
{
    struct gw_asking asking = {.progress = options->progress, .opaque = options->opaque};
    struct gw_image_write_options inner = *options;
    const char *program = options->compress;
    struct gw_filter filter;
    int r, to;

    if (is_plain(options))
        return write_beside(image, options, fd, NULL, err);
    r = check_program(program, err);
    if (r < 0)
        return r;
    r = gw_filter_compress(&filter, program, options->level, fd, err);
    if (r < 0)
        return r;
    to = filter.pipe;
    filter.pipe = -1;
    filter.stop = gw_asking_again;
    inner.progress = gw_asking_step;
    filter.opaque = inner.opaque = &asking;
    return gw_filter_end(&filter, write_plain(image, &inner, to, NULL, &asking, err), err);
}

/* ---- mapped-ram --------------------------------------------------------------------------------------------------- */

int gw_mapped_check_options(const struct gw_image_write_options *options, struct gw_error *err)
{
    return is_plain(options) ? 0 : gw_fail(err, -EINVAL, GW_BLAME_CALLER, "a mapped-ram file cannot be compressed");
}

int gw_mapped_write_at(struct gw_image *image, const struct gw_image_write_options *options, int fd, uint64_t base,
                       struct gw_error *err)
{
    int r = gw_mapped_check_options(options, err);

    if (r < 0)
        return r;
    if (!*image->machine)
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER,
                       "a mapped-ram file needs a machine type's name, and there is none");
    return write_beside(image, options, fd, &base, err);
}

int gw_mapped_write(struct gw_image *image, const struct gw_image_write_options *options, int fd, struct gw_error *err)
{
    return gw_mapped_write_at(image, options, fd, 0, err);
}
