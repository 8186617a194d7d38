/* SPDX-License-Identifier: MIT */
#include "examine/inspect_parked.h"

#include <fcntl.h>
#include <pthread.h>

#include "base/bitmap.h"
#include "base/thread.h"
#include "examine/sweep.h"
#include "image/once.h"
#include "image/pull.h"
#include "image/stream/outline.h"

/* ---- the pages --------------------------------------------------------------------------------------------------- */

struct counting {
    struct gw_inspect *in;
    struct gw_image *image, *once;
    uint64_t *blank;             /* stored pages that are zeros, which a stream has as zero records; NULL: none */
    uint64_t filled, read, zero; /* places with a number; stored pages that were read, and the zero ones among them */
    unsigned end_block;          /* the block of the first unreadable page; if all can be read, after the last block */
    uint64_t end_page;
};

static int look_at_chunk(struct counting *c, const struct gw_pull_chunk *chunk, struct gw_error *err)
{
    uint32_t numbers[GW_PULL_PAGES], bytes = c->image->page_bytes;
    int r = 0;

    for (unsigned i = 0; i < chunk->count && r >= 0; i++) {
        const uint8_t *page = chunk->data + (size_t)i * bytes;

        if (!chunk->filled[i])
            continue;
        c->read++;
        if (!gw_all_zero(page, bytes)) {
            gw_pages_add(&c->in->pages, page, bytes);
            continue;
        }
        c->zero++;
        if (!c->blank && !(c->blank = gw_bitmap_new(c->image->stored_pages)))
            return gw_nomem(err, "pages of an image");
        r = c->image->ops->numbers(c->image, chunk->block, chunk->first + i, 1, numbers, err);
        if (r >= 0 && numbers[0] != GW_IMAGE_ZEROS)
            gw_bitmap_set(c->blank, numbers[0]);
    }
    return r;
}

/* Reads each stored page once. */
static int read_all(struct counting *c, struct gw_error *err)
{
    const struct gw_pull_config config = {.zeros_as_told = true, .without_empty = true};
    struct gw_inspect *in = c->in;
    struct gw_pull_chunk *chunk = NULL;
    struct gw_pull *pull = NULL;
    uint64_t done = 0;
    int r = gw_pull_new(c->once, &config, &pull, err);

    while (r >= 0 && (r = gw_pull_next(pull, &chunk, err)) > 0) {
        r = look_at_chunk(c, chunk, err);
        done += (uint64_t)chunk->count * c->image->page_bytes;
        if (r >= 0 && in->progress && in->progress(in->progress_opaque, done, 0))
            r = gw_fail(err, -ECANCELED, GW_BLAME_CALLER, "cancelled");
    }
    if (r < 0 && chunk) {
        c->end_block = chunk->block;
        c->end_page = chunk->first;
    }
    gw_pull_free(pull);
    return r;
}

static int count_chunk(struct counting *c, struct gw_stream_outline *o, unsigned block, uint64_t first, unsigned count,
                       struct gw_error *err)
{
    struct gw_inspect_block *b = &c->in->blocks[block];
    uint32_t numbers[GW_PULL_PAGES];
    bool empty = gw_image_empty(c->image, block, first / GW_IMAGE_GROUP);
    unsigned plain = 0;
    int r = empty ? 0 : c->image->ops->numbers(c->image, block, first, count, numbers, err);

    if (r < 0)
        return r;
    for (unsigned i = 0; !empty && i < count; i++)
        plain += numbers[i] != GW_IMAGE_ZEROS && !(c->blank && gw_bitmap_test(c->blank, numbers[i]));
    b->pages[GW_SCAN_PLAIN] += plain;
    b->pages[GW_SCAN_ZERO] += count - plain;
    gw_stream_outline_chunk(o, c->image, block, count - plain, plain);
    return 0;
}

/* Counts all places up to the first unreadable page. */
static int count_all(struct counting *c, struct gw_stream_outline *o, struct gw_error *err)
{
    int r = 0;

    for (unsigned i = 0; i < c->image->block_count && i <= c->end_block && r >= 0; i++) {
        uint64_t pages = i == c->end_block ? c->end_page : c->image->blocks[i].pages;

        for (uint64_t at = 0; at < pages && r >= 0; at += GW_PULL_PAGES)
            r = count_chunk(c, o, i, at, (unsigned)GW_MIN(pages - at, GW_PULL_PAGES), err);
    }
    return r;
}

static void add_up(const struct counting *c, const struct gw_stream_outline *o, const struct gw_scan_section *part)
{
    struct gw_inspect *in = c->in;
    struct gw_inspect_run *run = &in->runs[in->run_count - 1];
    uint64_t plain = 0, more = o->parts - 1;

    for (unsigned i = 0; i < in->block_count; i++)
        plain += in->blocks[i].pages[GW_SCAN_PLAIN];
    in->pages.duplicate += plain - in->pages.pages;
    in->pages.pages = plain;
    in->cause[GW_SPENT_ZERO] += o->zero_bytes;
    in->cause[GW_SPENT_PAGE_HEADS] += o->plain_heads;
    in->cause[GW_SPENT_PLAIN] += plain * c->image->page_bytes;
    in->cause[GW_SPENT_RAM_MARKS] += more * 8;
    in->cause[GW_SPENT_FRAMES] += more * (o->frame_bytes - 8);
    in->reader.in.base += o->bytes - part->bytes; /* offset of the elements that follow */
    if (run->at != part->at) /* not listed */
        return;
    run->bytes = o->bytes;
    run->count = o->parts;
}

int gw_inspect_parked_pages(struct gw_inspect *in, const struct gw_scan_section *part)
{
    struct counting c = {.in = in, .image = in->parked, .end_block = in->parked->block_count};
    struct gw_stream_outline o = {0};
    int r = gw_once_new(c.image, &c.once, &c.filled, &in->error), e;

    if (r < 0)
        return r;
    r = read_all(&c, &in->error);
    e = count_all(&c, &o, r < 0 ? NULL : &in->error);
    if (o.parts)
        add_up(&c, &o, part);
    gw_once_free(c.once);
    gw_bitmap_free(c.blank, c.image->stored_pages);
    return r < 0 ? r : e;
}

/* ---- the rest ---------------------------------------------------------------------------------------------------- */

struct writing {
    struct gw_image *image;
    int fd;
    struct gw_error err;
    int r;
};

static void *write_outline(void *opaque)
{
    struct writing *w = opaque;

    w->r = gw_stream_write_outline(w->image, w->fd, &w->err);
    close(w->fd);
    return NULL;
}

int gw_inspect_parked(struct gw_inspect *in, const char *name, struct gw_image *image, struct gw_error *err)
{
    struct writing w = {.image = image, .err = GW_ERROR_INIT};
    struct gw_channel *channel = NULL;
    pthread_t thread;
    int ends[2], r;

    if (pipe2(ends, O_CLOEXEC) < 0)
        return gw_fail(err, -errno, GW_BLAME_LOCAL, "pipe: %s", strerror(errno));
    w.fd = ends[1];
    r = gw_thread_start(&thread, write_outline, &w, err);
    if (r < 0) {
        close(ends[0]);
        close(ends[1]);
        return r;
    }
    in->parked = image;
    r = gw_channel_from_fd(ends[0], name, &channel, err);
    if (r >= 0)
        r = gw_inspect_walk(in, channel, NULL, 0, 0, err);
    gw_channel_free(channel);
    pthread_join(thread, NULL);
    in->parked = NULL;
    /* If the image could not be written as a stream, that error is why the walk ended early. */
    if (w.r < 0 && w.r != -EPIPE) {
        r = w.r;
        if (err)
            *err = w.err;
    }
    return r;
}
