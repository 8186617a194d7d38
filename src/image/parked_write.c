/* SPDX-License-Identifier: MIT
 *
 * Writing a parked file, front to back. The calling thread reads the image in order, finds out which pages are zeros or
 * were there before, and fills frames; others compress; the calling thread writes them in the order of their numbers,
 * so that the same image always gives the same file.
 */
#include <stdio.h>

#include "image/dedup.h"
#include "image/parked_pack.h"
#include "ram/page/zero.h"

#define LEVEL       4
#define LEVEL_MAX   22
#define FRAME_BYTES (32u << 10)
#define BATCH_BYTES (1u << 20) /* of RAM that is read at once */
#define TELL_BYTES  (4u << 20) /* progress is told this often */

struct buffer {
    uint8_t *data;
    size_t bytes, room;
};

struct writer {
    struct gw_image *image;
    const struct gw_image_write_options *options;
    int fd, level;
    bool plain;
    struct gw_parked_trailer trailer;
    uint64_t at, done_bytes, told_bytes, total_bytes;

    const struct gw_zero *zero;
    struct gw_dedup *dedup;
    struct gw_pack *pack;
    struct gw_parked_runs runs;
    struct buffer pages, page_directory, frames;
    uint8_t *batch, *kinds;
    uint32_t batch_pages;
    uint8_t *frame;      /* being filled, or NULL */
    uint32_t frame_fill; /* pages */
};

static int reserve(struct buffer *b, size_t more, struct gw_error *err)
{
    size_t room = GW_MAX(b->room * 2, 4096u);
    uint8_t *grown;

    if (more <= b->room - b->bytes)
        return 0;
    while (room - b->bytes < more)
        room *= 2;
    grown = realloc(b->data, room);
    if (!grown)
        return gw_nomem(err, "index of a parked file");
    b->data = grown;
    b->room = room;
    return 0;
}

/* What was reserved. */
static uint8_t *extend(struct buffer *b, size_t bytes)
{
    uint8_t *p = b->data + b->bytes;

    b->bytes += bytes;
    return p;
}

static int write_bytes(struct writer *w, const void *src, size_t bytes, struct gw_error *err)
{
    const uint8_t *from = src;

    while (bytes) {
        ssize_t n = write(w->fd, from, bytes);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return gw_fail(err, -errno, GW_BLAME_LOCAL, "writing at byte %" PRIu64 ": %s", w->at, strerror(errno));
        from += n;
        bytes -= (size_t)n;
        w->at += (uint64_t)n;
    }
    return 0;
}

/* ---- frames -------------------------------------------------------------------------------------------------------
 */

/* Writes the oldest frame that is on its way; 0: there is none. */
static int write_frame(struct writer *w, struct gw_error *err)
{
    struct gw_packed f;
    uint8_t *entry;
    int r;

    if (!gw_pack_take(w->pack, &f))
        return 0;
    r = reserve(&w->frames, GW_PARKED_FRAME_ENTRY, err);
    if (r < 0)
        return r;
    entry = extend(&w->frames, GW_PARKED_FRAME_ENTRY);
    gw_store_be32(entry, f.bytes);
    gw_store_be32(entry + 4, f.crc);
    r = write_bytes(w, f.data, f.bytes, err);
    return r < 0 ? r : 1;
}

static void put_frame(struct writer *w)
{
    gw_pack_put(w->pack, w->frame_fill * w->image->page_bytes);
    w->frame = NULL;
    w->frame_fill = 0;
}

static int put_page(struct writer *w, const uint8_t *page, struct gw_error *err)
{
    uint32_t page_bytes = w->image->page_bytes;

    while (!w->frame && !(w->frame = gw_pack_room(w->pack))) {
        int r = write_frame(w, err);

        if (r < 0)
            return r;
    }
    memcpy(w->frame + (size_t)w->frame_fill * page_bytes, page, page_bytes);
    if (++w->frame_fill == w->trailer.frame_pages)
        put_frame(w);
    return 0;
}

/* ---- pages --------------------------------------------------------------------------------------------------------
 */

static int add_page(struct writer *w, const uint8_t *page, struct gw_error *err)
{
    uint32_t fresh = w->runs.next, number;
    int r;

    if (gw_zero_page(w->zero, page, w->image->page_bytes)) {
        gw_parked_runs_zero(&w->runs, 1);
        return 0;
    }
    if (fresh >= GW_PARKED_NUMBERS_MAX)
        return gw_fail(err, -EFBIG, GW_BLAME_CALLER, "more than %llu different pages", GW_PARKED_NUMBERS_MAX);
    r = gw_dedup_find(w->dedup, gw_dedup_digest(w->dedup, page), fresh, &number, err);
    if (r < 0)
        return r;
    gw_parked_runs_page(&w->runs, number);
    return number == fresh ? put_page(w, page, err) : 0;
}

/* Pages [first, first + count) of a block, at most batch_pages. */
static int add_batch(struct writer *w, unsigned block, uint64_t first, uint32_t count, struct gw_error *err)
{
    uint32_t page_bytes = w->image->page_bytes;
    int r = gw_image_map(w->image, block, first, count, w->kinds, err);

    for (uint32_t i = 0, n; i < count && r >= 0; i += n) {
        n = 1;
        while (i + n < count && w->kinds[i + n] == w->kinds[i])
            n++;
        if (!w->kinds[i]) {
            gw_parked_runs_zero(&w->runs, n);
            continue;
        }
        r = gw_image_pages(w->image, block, first + i, n, w->batch, err);
        for (uint32_t k = 0; k < n && r >= 0; k++)
            r = add_page(w, w->batch + (size_t)k * page_bytes, err);
    }
    w->done_bytes += (uint64_t)count * page_bytes;
    if (r >= 0 && w->options->progress &&
        (w->done_bytes - w->told_bytes >= TELL_BYTES || w->done_bytes == w->total_bytes)) {
        w->told_bytes = w->done_bytes;
        if (w->options->progress(w->options->opaque, w->done_bytes, w->total_bytes))
            r = gw_fail(err, -ECANCELED, GW_BLAME_CALLER, "cancelled after %" PRIu64 " bytes of RAM", w->done_bytes);
    }
    return r;
}

static int add_group(struct writer *w, unsigned block, uint64_t first, uint32_t pages, struct gw_error *err)
{
    uint32_t base = w->runs.next;
    uint8_t *entry;
    int r = 0;

    gw_parked_runs_begin(&w->runs, base);
    for (uint32_t done = 0, n; done < pages && r >= 0; done += n) {
        n = GW_MIN(pages - done, w->batch_pages);
        r = add_batch(w, block, first + done, n, err);
    }
    gw_parked_runs_end(&w->runs);
    if (r >= 0)
        r = reserve(&w->pages, w->runs.bytes, err);
    if (r >= 0)
        r = reserve(&w->page_directory, GW_PARKED_PAGE_ENTRY, err);
    if (r < 0)
        return r;
    if (w->runs.bytes)
        memcpy(extend(&w->pages, w->runs.bytes), w->runs.out, w->runs.bytes);
    entry = extend(&w->page_directory, GW_PARKED_PAGE_ENTRY);
    gw_store_be32(entry, w->runs.bytes);
    gw_store_be32(entry + 4, gw_crc32c(0, w->runs.out, w->runs.bytes));
    gw_store_be32(entry + 8, base);
    return 0;
}

static int add_ram(struct writer *w, struct gw_error *err)
{
    int r = 0;

    for (unsigned i = 0; i < w->image->block_count && r >= 0; i++) {
        const struct gw_image_block *b = &w->image->blocks[i];

        for (uint64_t at = 0; at < b->pages && r >= 0; at += GW_PARKED_GROUP_PAGES)
            r = add_group(w, i, at, (uint32_t)GW_MIN(b->pages - at, GW_PARKED_GROUP_PAGES), err);
    }
    if (r >= 0 && w->frame_fill)
        put_frame(w);
    if (r >= 0)
        while ((r = write_frame(w, err)) > 0)
            ;
    w->trailer.frames_end = w->at;
    w->trailer.numbers = w->runs.next;
    return r;
}

/* ---- parts --------------------------------------------------------------------------------------------------------
 */

/* packer: NULL: as it is. */
static int write_part(struct writer *w, uint32_t kind, const void *data, size_t bytes, struct gw_packer *packer,
                      struct gw_error *err)
{
    struct gw_parked_part *part = &w->trailer.parts[w->trailer.part_count++];
    GW_AUTOFREE uint8_t *packed = NULL;
    size_t n = 0;
    int r;

    if (packer && bytes && bytes <= GW_PARKED_UNPACKED_MAX) {
        packed = malloc(bytes);
        if (!packed)
            return gw_nomem(err, gw_parked_part_name(kind));
        n = gw_packer_pack(packer, data, bytes, packed, bytes - 1);
    }
    *part = (struct gw_parked_part){.kind = kind, .at = w->at, .bytes = n ? n : bytes, .raw_bytes = bytes};
    part->flags = n ? GW_PARKED_PART_ZSTD : 0;
    part->crc = gw_crc32c(0, n ? packed : data, part->bytes);
    r = write_bytes(w, n ? packed : data, part->bytes, err);
    if (r < 0)
        gw_context(err, "%s", gw_parked_part_name(kind));
    return r;
}

static void put_text(struct buffer *b, const char *text)
{
    size_t n = strlen(text);

    gw_store_be16(extend(b, 2), (uint16_t)n);
    memcpy(extend(b, n), text, n);
}

static int put_head(const struct gw_image *image, struct buffer *b, struct gw_error *err)
{
    int r = reserve(b, 1 + 4 + 16 + 2 + sizeof image->machine, err);

    if (r < 0)
        return r;
    *extend(b, 1) = (uint8_t)(image->has_uuid | image->footers << 1);
    gw_store_be32(extend(b, 4), image->ram_id);
    memcpy(extend(b, 16), image->uuid, 16);
    put_text(b, image->machine);
    return 0;
}

static int put_blocks(const struct gw_image *image, struct buffer *b, struct gw_error *err)
{
    int r = reserve(b, 4, err);

    if (r >= 0)
        gw_store_be32(extend(b, 4), image->block_count);
    for (unsigned i = 0; i < image->block_count && r >= 0; i++) {
        const struct gw_image_block *block = &image->blocks[i];

        r = reserve(b, 2 + sizeof block->name + 1 + 3 * 8, err);
        if (r < 0)
            break;
        put_text(b, block->name);
        *extend(b, 1) = block->has_gpa;
        gw_store_be64(extend(b, 8), block->used_bytes);
        gw_store_be64(extend(b, 8), block->host_page_bytes);
        gw_store_be64(extend(b, 8), block->gpa);
    }
    return r;
}

static int put_frame_directory(struct writer *w, struct buffer *b, struct gw_error *err)
{
    const size_t step = (size_t)GW_PARKED_GROUP_FRAMES * GW_PARKED_FRAME_ENTRY;
    uint64_t at = GW_PARKED_HEADER_BYTES;

    for (size_t i = 0; i < w->frames.bytes; i += step) {
        size_t n = GW_MIN(step, w->frames.bytes - i);
        int r = reserve(b, GW_PARKED_FRAMES_ENTRY, err);

        if (r < 0)
            return r;
        gw_store_be64(extend(b, 8), at);
        gw_store_be32(extend(b, 4), gw_crc32c(0, w->frames.data + i, n));
        for (size_t k = 0; k < n; k += GW_PARKED_FRAME_ENTRY)
            at += gw_load_be32(w->frames.data + i + k);
    }
    return 0;
}

/* The cookie belongs to the image's own XML. */
static int put_libvirt_state(const struct gw_image *image, const char *xml, struct buffer *b, struct gw_error *err)
{
    const char *cookie = xml == image->libvirt_xml && image->libvirt_cookie ? image->libvirt_cookie : "";
    size_t n = strlen(cookie);
    int r = image->libvirt_saved ? reserve(b, 1 + n, err) : 0;

    if (r < 0 || !image->libvirt_saved)
        return r;
    *extend(b, 1) = image->libvirt_was_running;
    memcpy(extend(b, n), cookie, n);
    return 0;
}

static int write_parts(struct writer *w, struct gw_packer *packer, struct gw_error *err)
{
    struct gw_image *image = w->image;
    const char *xml = w->options->libvirt_xml ? w->options->libvirt_xml : image->libvirt_xml;
    struct buffer head = {0}, blocks = {0}, directory = {0}, state = {0};
    uint8_t split[8];
    const struct {
        uint32_t kind;
        const void *data;
        size_t bytes;
    } blobs[] = {
        {GW_PARKED_EARLY, image->early, image->early_bytes},
        {GW_PARKED_DEVICES, image->devices, image->devices_bytes},
        {GW_PARKED_DESCRIPTION, image->description, image->description_bytes},
        {GW_PARKED_LIBVIRT_XML, xml, xml ? strlen(xml) : 0},
        {GW_PARKED_EARLY_SPLIT, split, image->early_before < image->early_bytes ? sizeof split : 0},
    };
    int r = put_head(image, &head, err);

    gw_store_be64(split, image->early_before);
    if (r >= 0)
        r = put_libvirt_state(image, xml, &state, err);
    if (r >= 0)
        r = put_blocks(image, &blocks, err);
    if (r >= 0)
        r = put_frame_directory(w, &directory, err);
    if (r >= 0)
        r = write_part(w, GW_PARKED_HEAD, head.data, head.bytes, NULL, err);
    if (r >= 0)
        r = write_part(w, GW_PARKED_BLOCKS, blocks.data, blocks.bytes, packer, err);
    if (r >= 0)
        r = write_part(w, GW_PARKED_PAGE_DIRECTORY, w->page_directory.data, w->page_directory.bytes, packer, err);
    if (r >= 0)
        r = write_part(w, GW_PARKED_PAGES, w->pages.data, w->pages.bytes, NULL, err);
    if (r >= 0)
        r = write_part(w, GW_PARKED_FRAME_DIRECTORY, directory.data, directory.bytes, packer, err);
    if (r >= 0)
        r = write_part(w, GW_PARKED_FRAMES, w->frames.data, w->frames.bytes, NULL, err);
    for (size_t i = 0; i < GW_ARRAY_LEN(blobs) && r >= 0; i++)
        if (blobs[i].bytes)
            r = write_part(w, blobs[i].kind, blobs[i].data, blobs[i].bytes, packer, err);
    if (r >= 0 && state.bytes)
        r = write_part(w, GW_PARKED_LIBVIRT_STATE, state.data, state.bytes, packer, err);
    free(state.data);
    free(head.data);
    free(blocks.data);
    free(directory.data);
    return r;
}

/* ---- the file -----------------------------------------------------------------------------------------------------
 */

static int check(const struct gw_image *image, const struct gw_image_write_options *o, struct writer *w,
                 struct gw_error *err)
{
    const char *compress = o->compress ? o->compress : gw_pack_known() ? "zstd" : "none";

    w->plain = !strcmp(compress, "none");
    if (!w->plain && strcmp(compress, "zstd"))
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "a parked file is compressed by zstd or none, not by %s",
                       compress);
    if (!w->plain && !gw_pack_known())
        return gw_fail(err, -ENOTSUP, GW_BLAME_LOCAL, "compressing: godwit was built without zstd");
    if (o->level < 0 || o->level > LEVEL_MAX)
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "the level of zstd is 1 to %u, not %d", LEVEL_MAX, o->level);
    w->level = o->level ? o->level : LEVEL;
    if (!gw_is_pow2(image->page_bytes) || image->page_bytes < 1u << GW_PARKED_PAGE_BITS_MIN ||
        image->page_bytes > 1u << GW_PARKED_PAGE_BITS_MAX)
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "parking pages of %u bytes", image->page_bytes);
    for (unsigned i = 0; i < image->block_count; i++)
        w->total_bytes += image->blocks[i].used_bytes;
    return 0;
}

static int prepare(struct writer *w, struct gw_error *err)
{
    uint32_t page_bytes = w->image->page_bytes;
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    unsigned threads = w->options->threads ? w->options->threads : (unsigned)GW_MAX(processors, 1);
    int r;

    w->trailer.needs = w->plain ? 0 : GW_PARKED_NEEDS_ZSTD;
    w->trailer.page_bytes = page_bytes;
    w->trailer.frame_pages = GW_MAX(FRAME_BYTES / page_bytes, 1u);
    w->batch_pages = BATCH_BYTES / page_bytes;
    w->zero = gw_zero_pick();
    w->batch = aligned_alloc(64, BATCH_BYTES);
    w->kinds = malloc(w->batch_pages);
    if (!w->batch || !w->kinds)
        return gw_nomem(err, "pages");
    r = gw_dedup_new(page_bytes, &w->dedup, err);
    if (r >= 0)
        r = gw_pack_new(threads, w->plain, w->level, w->trailer.frame_pages * page_bytes, &w->pack, err);
    return r;
}

static int write_all(struct writer *w, struct gw_error *err)
{
    uint8_t bytes[GW_PARKED_TRAILER_BYTES];
    struct gw_packer *packer = NULL;
    int r;

    gw_parked_put_header(bytes, &w->trailer);
    r = write_bytes(w, bytes, GW_PARKED_HEADER_BYTES, err);
    if (r >= 0)
        r = add_ram(w, err);
    if (r >= 0 && !w->plain)
        r = gw_packer_new(w->level, &packer, err);
    if (r >= 0)
        r = write_parts(w, packer, err);
    gw_packer_free(packer);
    if (r < 0)
        return r;
    w->trailer.file_bytes = w->at + sizeof bytes;
    gw_parked_put_trailer(bytes, &w->trailer);
    return write_bytes(w, bytes, sizeof bytes, err);
}

int gw_parked_write(struct gw_image *image, const struct gw_image_write_options *options, int fd, struct gw_error *err)
{
    struct writer *w = calloc(1, sizeof *w); /* too large for a stack */
    int r;

    if (!w)
        return gw_nomem(err, "parked file");
    w->image = image;
    w->options = options;
    w->fd = fd;
    r = check(image, options, w, err);
    if (r >= 0)
        r = prepare(w, err);
    if (r >= 0)
        r = write_all(w, err);
    gw_pack_free(w->pack);
    gw_dedup_free(w->dedup);
    free(w->pages.data);
    free(w->page_directory.data);
    free(w->frames.data);
    free(w->batch);
    free(w->kinds);
    free(w);
    return r;
}
