/* SPDX-License-Identifier: MIT
 *
 * Opens a migration stream: the visitor of one scan records where everything is.
 */
#include <fcntl.h>

#include "base/endian.h"
#include "image/stream/file.h"
#include "ram/codec/xbzrle_delta.h"
#include "ram/codec/zpage.h"
#include "ram/page/zero.h"
#include "scan/parts.h"

struct walk {
    struct gw_image *image;
    struct gw_stream_file *file;
    const struct gw_zero *zero;
    struct gw_zunpack *unpack; /* NULL until needed */
    uint8_t *page;      /* the page being decoded */
    const struct gw_scan *scan;
    struct gw_image_progress seen;
    bool ignore_shared;
    uint64_t contents; /* number of records with contents */
    uint64_t devices_at, eof_at, description_at, description_bytes;
    uint64_t early_end; /* end of the last set-up element kept; 0: none yet, on this side of the RAM's START */
    uint32_t *early_ids;
    size_t early_count;
    struct gw_error why; /* the visitor's own error */
};

#define REFUSE(w, ...) gw_fail(&(w)->why, -EPROTO, GW_BLAME_PEER, __VA_ARGS__)

static int on_head(void *opaque, const struct gw_wire_head *head)
{
    struct walk *w = opaque;
    struct gw_image *image = w->image;

    for (unsigned i = 0; i < head->capability_count; i++) {
        const char *name = head->capabilities[i];

        w->ignore_shared |= !strcmp(name, "x-ignore-shared");
        if (strcmp(name, "x-ignore-shared") != 0 && strcmp(name, "mapped-ram") != 0)
            return REFUSE(w, "its source had the capability %s on, which is not known here", name);
    }
    return gw_image_keep_head(image, head, &w->why);
}

static int on_page_size(void *opaque, uint32_t page_bytes)
{
    struct walk *w = opaque;

    w->image->page_bits = (unsigned)__builtin_ctz(page_bytes);
    w->image->page_bytes = w->file->page_bytes = page_bytes;
    w->page = malloc(page_bytes);
    return w->page ? 0 : gw_nomem(&w->why, "page");
}

static int on_command(void *opaque, const struct gw_scan_command *c)
{
    struct walk *w = opaque;

    switch (c->number) {
    case GW_COMMAND_POSTCOPY_LISTEN:
    case GW_COMMAND_POSTCOPY_RUN:
    case GW_COMMAND_POSTCOPY_RAM_DISCARD:
    case GW_COMMAND_PACKAGED:
        return REFUSE(w,
                      "byte %" PRIu64 ": the migration switched to postcopy: the guest continued elsewhere before the "
                                      "stream was complete",
                      c->at);
    case GW_COMMAND_POSTCOPY_RESUME:
    case GW_COMMAND_RECV_BITMAP:
        return REFUSE(w, "byte %" PRIu64 ": the rest of a postcopy migration that was interrupted", c->at);
    case GW_COMMAND_ENABLE_COLO:
        return REFUSE(w, "byte %" PRIu64 ": a stream of COLO checkpoints, not of one machine", c->at);
    default:
        if (w->devices_at || (w->early_count && !w->seen.listed))
            return REFUSE(w, "byte %" PRIu64 ": a command among the devices", c->at);
        return 0;
    }
}

/* Keeps a device of the set-up, or an unknown live section. */
static int keep(struct walk *w, const struct gw_scan_section *s)
{
    struct gw_out out;
    const uint8_t *data;
    size_t bytes;
    int r;

    if (s->element == GW_ELEMENT_FULL && w->early_end && w->early_end != s->at)
        return REFUSE(w, "byte %" PRIu64 ": unexpected data between the devices of the set-up", w->early_end);
    w->early_end = s->at + s->bytes;
    gw_out_memory(&out);
    gw_scan_put_section(w->scan, s, &out);
    data = gw_out_data(&out, &bytes);
    r = gw_out_error(&out, &w->why);
    if (r >= 0)
        r = s->element == GW_ELEMENT_FULL
                ? gw_image_add_early(w->image, w->seen.listed, data, bytes, &w->why)
                : gw_image_add_other(w->image, gw_image_place(&w->seen, s->element), data, bytes, &w->why);
    gw_out_free(&out);
    return r;
}

/* Adds an ID that the RAM's section must not use. */
static int add_id(struct walk *w, const struct gw_scan_section *s)
{
    uint32_t *grown = w->seen.listed ? w->early_ids : realloc(w->early_ids, (w->early_count + 1) * sizeof *grown);

    if (w->seen.listed)
        return 0;
    if (!grown)
        return gw_nomem(&w->why, "device sections");
    w->early_ids = grown;
    grown[w->early_count++] = s->id;
    return 0;
}

static int on_device(struct walk *w, const struct gw_scan_section *s)
{
    int r;

    if (w->seen.listed && s->id == w->image->ram_id)
        return REFUSE(w, "byte %" PRIu64 ": device %s has the number of the RAM's section, %u", s->at, s->name, s->id);
    if (!w->seen.listed || s->early) {
        r = add_id(w, s);
        return r < 0 ? r : keep(w, s);
    }
    if (!w->devices_at)
        w->devices_at = s->at;
    return 0;
}

static int on_ram(struct walk *w, const struct gw_scan_section *s)
{
    if (s->element == GW_ELEMENT_START) {
        w->seen.listed = true;
        w->early_end = 0;
        w->image->ram_id = s->id;
        for (size_t i = 0; i < w->early_count; i++)
            if (w->early_ids[i] == s->id)
                return REFUSE(w, "byte %" PRIu64 ": the RAM's section has the number of a device before it, %u", s->at,
                              s->id);
    }
    w->seen.begun |= s->element != GW_ELEMENT_START;
    w->seen.ended |= s->element == GW_ELEMENT_END;
    return 0;
}

static int on_section(void *opaque, const struct gw_scan_section *s)
{
    struct walk *w = opaque;

    if (s->element == GW_ELEMENT_FULL)
        return on_device(w, s);
    if (!strcmp(s->name, "ram"))
        return on_ram(w, s);
    if (gw_scan_is_known(s->name))
        return REFUSE(w, "byte %" PRIu64 ": it carries %s as well, which no file of one machine can hold", s->at,
                      !strcmp(s->name, "block") ? "disks (block migration)" : "dirty bitmaps of disks");
    return keep(w, s);
}

static int on_block(void *opaque, const struct gw_scan_block *b)
{
    struct walk *w = opaque;
    struct gw_image_block *block = NULL;
    int r = gw_image_add_block(w->image, b->name, b->used_bytes, &block, &w->why);

    if (r < 0)
        return r;
    block->host_page_bytes = b->host_page_bytes;
    block->has_gpa = b->has_gpa;
    block->gpa = b->gpa;
    return b->mapped ? 0 : gw_stream_file_add(w->file, block->pages, NULL, 0, 0, &w->why);
}

static int on_map(void *opaque, const struct gw_scan_block *b, const uint8_t *map)
{
    struct walk *w = opaque;

    return gw_stream_file_add(w->file, b->used_bytes / w->file->page_bytes, map, b->bitmap_bytes, b->pages_at, &w->why);
}

/* Decodes a page that came as a difference or compressed. */
static int decode(struct walk *w, const struct gw_scan_page *p, uint64_t page)
{
    uint32_t n = w->file->page_bytes;
    int r;

    if (p->kind == GW_SCAN_XBZRLE) {
        r = gw_stream_file_read(w->file, p->block->index, page, 1, w->page, &w->why);
        if (r >= 0)
            r = gw_xbzrle_decode(p->coded, p->coded_bytes, w->page, n, &w->why);
    } else {
        r = w->unpack ? 0 : gw_zunpack_new(&w->unpack, &w->why);
        if (r >= 0)
            r = gw_zunpack(w->unpack, p->coded, p->coded_bytes, w->page, n, &w->why);
    }
    if (r < 0) {
        gw_context(&w->why, "byte %" PRIu64 ": page at 0x%" PRIx64 " of RAM block %s", p->at, p->offset,
                   p->block->name);
        return r;
    }
    if (w->zero->all(w->page, n)) {
        gw_stream_file_set(w->file, p->block->index, page, GW_STREAM_ZERO);
        return 0;
    }
    return gw_stream_file_keep(w->file, p->block->index, page, w->page, w->image->temporary_folder, &w->why);
}

static int on_page(void *opaque, const struct gw_scan_page *p)
{
    struct walk *w = opaque;
    uint64_t page = p->offset >> w->image->page_bits, where = GW_STREAM_ZERO;

    w->contents += p->kind != GW_SCAN_ZERO;
    if (p->kind == GW_SCAN_XBZRLE || p->kind == GW_SCAN_COMPRESSED)
        return decode(w, p, page);
    if (p->kind == GW_SCAN_PLAIN && !w->zero->all(p->data, w->file->page_bytes))
        where = p->at;
    gw_stream_file_set(w->file, p->block->index, page, where);
    return 0;
}

static int on_flush(void *opaque)
{
    struct walk *w = opaque;

    return REFUSE(w, "the main stream of a multifd migration: its pages went over other channels");
}

static int on_description(void *opaque, const struct gw_vmdesc_tree *tree, uint64_t at, uint64_t bytes)
{
    struct walk *w = opaque;

    w->description_at = at + 5;
    w->description_bytes = bytes - 5;
    return 0;
}

static int on_eof(void *opaque, uint64_t at)
{
    ((struct walk *)opaque)->eof_at = at;
    return 0;
}

static int on_trailing(void *opaque, uint64_t at, uint64_t bytes)
{
    struct walk *w = opaque;

    w->file->end = w->file->end ? w->file->end : at;
    return 0;
}

static const struct gw_scan_visitor visitor = {
    .head = on_head,
    .page_size = on_page_size,
    .command = on_command,
    .section = on_section,
    .block = on_block,
    .page = on_page,
    .map = on_map,
    .flush = on_flush,
    .description = on_description,
    .eof = on_eof,
    .trailing = on_trailing,
};

/* Checks that every page came, except those that the guest had declared free. */
static int judge_blocks(struct walk *w)
{
    uint64_t missing = 0, all = 0;

    for (unsigned i = 0; i < w->file->block_count; i++) {
        const struct gw_stream_block *b = &w->file->blocks[i];

        if (b->map && !w->seen.ended)
            return REFUSE(w, "the map of RAM block %s was never written: the RAM has no end", w->image->blocks[i].name);
        if (b->map)
            continue;
        all += b->pages;
        missing += b->pages - b->came;
        if (w->ignore_shared && b->pages && !b->came)
            return REFUSE(w,
                          "RAM block %s is not in it: it stayed in shared memory of the source's host "
                          "(x-ignore-shared)",
                          w->image->blocks[i].name);
    }
    if (!missing)
        return 0;
    if (!w->seen.ended)
        return REFUSE(w, "%" PRIu64 " of %" PRIu64 " pages never came, and the RAM has no end", missing, all);
    if (!w->contents)
        return REFUSE(w,
                      "%" PRIu64 " of %" PRIu64 " pages never came, and none with contents did: the main stream of a "
                      "multifd migration, whose pages went over other channels",
                      missing, all);
    return 0;
}

/* Allocates a NUL after the bytes. */
static void *blob(size_t bytes, struct gw_error *err)
{
    uint8_t *all = malloc(bytes + 1);

    if (all)
        all[bytes] = 0;
    else
        gw_nomem(err, "device state");
    return all;
}

static int read_at(int fd, uint64_t at, void *dst, size_t bytes, struct gw_error *err)
{
    uint8_t *p = dst;
    ssize_t n = 1;

    for (size_t left = bytes; left && n > 0; left -= (size_t)n, at += (uint64_t)n, p += n)
        do
            n = pread(fd, p, left, (off_t)at);
        while (n < 0 && errno == EINTR);
    if (n > 0)
        return 0;
    return gw_fail(err, -EIO, GW_BLAME_LOCAL, "reading at byte %" PRIu64 ": %s", at,
                   n ? strerror(errno) : "it was cut since it was opened");
}

/* Keeps bytes that the walk has seen; at most GW_SCAN_TAIL_MAX. */
static int take_blobs(struct walk *w)
{
    struct gw_image *image = w->image;
    int fd = w->file->fd, r = 0;

    image->devices_bytes = w->devices_at ? (size_t)(w->eof_at - w->devices_at) : 0;
    image->description_bytes = (size_t)w->description_bytes;
    if (image->devices_bytes) {
        image->devices = blob(image->devices_bytes, &w->why);
        r = image->devices ? read_at(fd, w->devices_at, image->devices, image->devices_bytes, &w->why) : -ENOMEM;
    }
    if (r >= 0 && image->description_bytes) {
        image->description = blob(image->description_bytes, &w->why);
        r = image->description
                ? read_at(fd, w->description_at, image->description, image->description_bytes, &w->why)
                : -ENOMEM;
    }
    return r;
}

static int walk(struct walk *w, uint64_t base, const char *name, struct gw_error *err)
{
    int r, fd = fcntl(w->file->fd, F_DUPFD_CLOEXEC, 3);
    struct gw_channel *channel = NULL;
    struct gw_reader reader;
    struct gw_scan scan;

    if (fd < 0 || lseek(fd, (off_t)base, SEEK_SET) < 0) {
        r = gw_fail(err, -errno, GW_BLAME_LOCAL, "%s", strerror(errno));
        gw_close_fd(&fd);
        return r;
    }
    r = gw_channel_from_fd(fd, name, &channel, err);
    if (r < 0)
        return r;
    r = gw_reader_init(&reader, channel, err);
    if (r >= 0) {
        reader.in.base = base;
        w->scan = &scan;
        gw_scan_init(&scan, &reader, &visitor, w);
        scan.stops = true;
        r = gw_scan_run(&scan, err);
        if (w->why.code && err)
            *err = w->why;
        w->image->footers = scan.footers != 0;
        w->image->format = scan.mapped ? GW_IMAGE_MAPPED_RAM : GW_IMAGE_STREAM;
        gw_scan_close(&scan);
        gw_reader_close(&reader);
    }
    gw_channel_free(channel);
    return r;
}

int gw_stream_open_at(int fd, const char *name, uint64_t base, struct gw_image *image, struct gw_error *err)
{
    struct walk w = {.image = image, .zero = gw_zero_pick(), .why = GW_ERROR_INIT};
    int r = gw_stream_file_new(fd, &w.file, err);

    if (r < 0)
        return r;
    image->own = w.file;
    image->ops = &gw_stream_ops;
    r = walk(&w, base, name, err);
    if (r >= 0) {
        if (!w.seen.listed)
            r = REFUSE(&w, "it has no RAM, only devices");
        if (r >= 0)
            r = judge_blocks(&w);
        if (r >= 0)
            r = take_blobs(&w);
        if (r < 0 && err)
            *err = w.why;
    }
    gw_zunpack_free(w.unpack);
    free(w.early_ids);
    free(w.page);
    if (r == -ENODATA) { /* in a file no more data will follow */
        r = -EPROTO;
        if (err)
            err->code = r;
    }
    if (r < 0)
        gw_context(err, "%s", name);
    return r;
}

int gw_stream_open(int fd, const char *name, struct gw_image *image, struct gw_error *err)
{
    return gw_stream_open_at(fd, name, 0, image, err);
}
