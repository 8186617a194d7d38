/* SPDX-License-Identifier: MIT
 *
 * An image as a stream: what an unmodified QEMU loads with -incoming file: or exec:cat.
 */
#include <fcntl.h>
#include <limits.h>

#include "image/pull.h"
#include "image/stream/put.h"
#include "image/unpack.h"
#include "wire/ram_list.h"
#include "wire/ram_record.h"

#define PART_BYTES (64 * GW_MIB)

struct stream {
    struct gw_image *image;
    const struct gw_image_write_options *options;
    struct gw_writer w;
    unsigned block; /* of the record before; UINT_MAX: none in this section */
    bool open;      /* a PART is */
    uint64_t part_at;
    uint64_t done, total; /* RAM */
};

static void put_page(struct stream *s, const struct gw_pull_chunk *c, unsigned i)
{
    uint64_t offset = (c->first + i) * s->image->page_bytes;
    bool named = s->block != c->block;

    gw_ram_record_put(&s->w.out, offset, c->filled[i] ? GW_RAMF_PAGE : GW_RAMF_ZERO,
                      named ? s->image->blocks[c->block].name : NULL);
    s->block = c->block;
    if (c->filled[i])
        gw_put_ref(&s->w, c->data + (size_t)i * s->image->page_bytes, s->image->page_bytes);
    else
        gw_ram_put_zero(&s->w.out);
}

static void end_part(struct stream *s)
{
    if (s->open)
        gw_stream_put_part_end(s->image, &s->w);
    s->open = false;
}

static int put_chunk(struct stream *s, const struct gw_pull_chunk *c, struct gw_error *err)
{
    if (s->open && gw_writer_offset(&s->w) - s->part_at > PART_BYTES)
        end_part(s);
    if (!s->open) {
        s->part_at = gw_writer_offset(&s->w);
        gw_stream_put_part(s->image, &s->w);
        s->block = UINT_MAX;
        s->open = true;
    }
    for (unsigned i = 0; i < c->count; i++)
        put_page(s, c, i);
    return gw_writer_flush(&s->w, err); /* the chunk's memory is read into again */
}

static int put_ram(struct stream *s, struct gw_error *err)
{
    const struct gw_image_write_options *o = s->options;
    const struct gw_pull_chunk *c = NULL;
    struct gw_pull *pull = NULL;
    int r = gw_pull_new(s->image, o->threads, &pull, err);

    while (r >= 0 && (r = gw_pull_next(pull, &c, err)) > 0) {
        r = put_chunk(s, c, err);
        s->done += (uint64_t)c->count * s->image->page_bytes;
        if (r >= 0 && o->progress && o->progress(o->opaque, s->done, s->total))
            r = gw_fail(err, -ECANCELED, GW_BLAME_CALLER, "cancelled");
    }
    gw_pull_free(pull);
    end_part(s);
    return r;
}

static int put_all(struct stream *s, struct gw_error *err)
{
    int r;

    for (unsigned i = 0; i < s->image->block_count; i++)
        s->total += s->image->blocks[i].used_bytes;
    gw_stream_put_begin(s->image, false, &s->w);
    for (unsigned i = 0; i < s->image->block_count; i++)
        gw_ram_list_put(&s->w.out, s->image->blocks[i].name, s->image->blocks[i].used_bytes, NULL);
    gw_stream_put_listed(s->image, &s->w);
    r = put_ram(s, err);
    if (r < 0)
        return r;
    gw_stream_put_end(s->image, &s->w);
    return gw_writer_flush(&s->w, err);
}

/* Takes fd. */
static int write_plain(struct gw_image *image, const struct gw_image_write_options *options, int fd,
                       struct gw_error *err)
{
    struct stream s = {.image = image, .options = options};
    struct gw_channel *channel = NULL;
    int r = gw_channel_from_fd(fd, "output", &channel, err);

    if (r < 0)
        return r;
    r = gw_writer_init(&s.w, channel, err);
    if (r >= 0)
        r = put_all(&s, err);
    gw_writer_close(&s.w);
    if (r >= 0)
        r = gw_channel_close(channel, err);
    gw_channel_free(channel);
    return r;
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

int gw_stream_write(struct gw_image *image, const struct gw_image_write_options *options, int fd, struct gw_error *err)
{
    const char *program = options->compress;
    struct gw_filter filter;
    int r, to;

    if (is_plain(options)) {
        to = fcntl(fd, F_DUPFD_CLOEXEC, 3);
        return to < 0 ? gw_fail(err, -errno, GW_BLAME_LOCAL, "output: %s", strerror(errno))
                      : write_plain(image, options, to, err);
    }
    r = check_program(program, err);
    if (r < 0)
        return r;
    r = gw_filter_compress(&filter, program, options->level, fd, err);
    if (r < 0)
        return r;
    to = filter.pipe;
    filter.pipe = -1;
    return gw_filter_end(&filter, write_plain(image, options, to, err), err);
}
