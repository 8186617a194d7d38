/* SPDX-License-Identifier: MIT
 *
 * Writing a parked file, front to back. The calling thread reads the image in order, finds zero pages and duplicates,
 * and fills frames; other threads compress them; the calling thread writes them in the order of their numbers, so that
 * the same image always gives the same file.
 */
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "image/parked/append.h"
#include "image/parked/dedup.h"
#include "image/parked/dictionary.h"
#include "image/parked/pack.h"
#include "image/parked/tail.h"
#include "image/parked/write.h"
#include "image/unpack.h"
#include "ram/page/zero.h"

#define LEVEL       4 /* docs/formats/parked.md has the measurements */
#define LEVEL_MAX   22
#define LEVEL_WITH_DICTIONARY 3
#define BATCH_BYTES (1u << 20) /* bytes of RAM read at once */
#define TELL_BYTES  (4u << 20) /* bytes between calls of progress */
#define PIECES      16u        /* pieces of BATCH_BYTES for a server */

struct writer {
    struct gw_image *image;
    const struct gw_image_write_options *options;
    int fd;
    struct gw_bytes *to; /* NULL: fd is the file */
    bool returns;        /* the header is written again at the end */
    struct gw_spool *spool;
    struct gw_append append;
    struct gw_parked_style style;
    struct gw_parked_tail tail;
    uint64_t done_bytes, told_bytes, total_bytes;

    uint8_t *common; /* the dictionary's bytes; NULL: none */
    struct gw_dictionary *dictionary;
    const struct gw_zero *zero;
    struct gw_dedup *dedup;
    struct gw_pack *pack;
    struct gw_parked_runs runs;
    uint8_t *batch, *kinds;
    uint32_t batch_pages;
    uint8_t *frame;      /* the frame being filled, or NULL */
    uint32_t frame_fill; /* pages */
};

static int put_bytes(void *opaque, const void *src, size_t bytes, struct gw_error *err)
{
    struct writer *w = opaque;
    const uint8_t *from = src;
    uint64_t at = w->tail.at;

    if (w->to)
        return gw_append_put(&w->append, src, bytes, err);
    while (bytes) {
        ssize_t n = write(w->fd, from, bytes);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return gw_fail(err, -errno, GW_BLAME_LOCAL, "writing at byte %" PRIu64 ": %s", at, strerror(errno));
        from += n;
        bytes -= (size_t)n;
        at += (uint64_t)n;
    }
    return 0;
}

/* ---- frames -------------------------------------------------------------------------------------------------------
 */

/* Writes the oldest pending frame; 0: none is pending. */
static int write_frame(struct writer *w, struct gw_error *err)
{
    struct gw_packed f;
    int r;

    if (!gw_pack_take(w->pack, &f))
        return 0;
    r = gw_parked_tail_frame(&w->tail, f.bytes, f.crc, err);
    if (r >= 0)
        r = gw_parked_tail_put(&w->tail, f.data, f.bytes, err);
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
    if (++w->frame_fill == w->tail.trailer.frame_pages)
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

/* Reports `count` more pages as done. */
static int tell(struct writer *w, uint32_t count, struct gw_error *err)
{
    w->done_bytes += (uint64_t)count * w->image->page_bytes;
    if (!w->options->progress || (w->done_bytes - w->told_bytes < TELL_BYTES && w->done_bytes != w->total_bytes))
        return 0;
    w->told_bytes = w->done_bytes;
    return w->options->progress(w->options->opaque, w->done_bytes, w->total_bytes)
               ? gw_fail(err, -ECANCELED, GW_BLAME_CALLER, "cancelled after %" PRIu64 " bytes of RAM", w->done_bytes)
               : 0;
}

/* Adds pages [first, first + count) of a block, at most batch_pages. */
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
    return r < 0 ? r : tell(w, count, err);
}

static int add_group(struct writer *w, unsigned block, uint64_t first, uint32_t pages, struct gw_error *err)
{
    bool empty = gw_image_empty(w->image, block, first / GW_IMAGE_GROUP);
    uint32_t base = w->runs.next;
    int r = empty ? tell(w, pages, err) : 0;

    gw_parked_runs_begin(&w->runs, base);
    if (empty)
        gw_parked_runs_zero(&w->runs, pages);
    for (uint32_t done = 0, n; !empty && done < pages && r >= 0; done += n) {
        n = GW_MIN(pages - done, w->batch_pages);
        r = add_batch(w, block, first + done, n, err);
    }
    gw_parked_runs_end(&w->runs);
    return r < 0 ? r : gw_parked_tail_group(&w->tail, &w->runs, base, err);
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
    w->tail.trailer.numbers = w->runs.next;
    return r;
}

/* ---- the file -----------------------------------------------------------------------------------------------------
 */

int gw_parked_style(const struct gw_image_write_options *o, struct gw_parked_style *ret, struct gw_error *err)
{
    const char *compress = o->compress ? o->compress : gw_pack_known() ? "zstd" : "none";
    bool plain = !strcmp(compress, "none");

    if (!plain && strcmp(compress, "zstd"))
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "a parked file is compressed by zstd or none, not by %s",
                       compress);
    if (!plain && !gw_pack_known())
        return gw_fail(err, -ENOTSUP, GW_BLAME_LOCAL, "compressing: godwit was built without zstd");
    if (o->level < 0 || o->level > LEVEL_MAX)
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "the level of zstd is 1 to %u, not %d", LEVEL_MAX, o->level);
    *ret = (struct gw_parked_style){plain, o->level ? o->level : LEVEL};
    return 0;
}

int gw_parked_check_options(const struct gw_image_write_options *options, struct gw_error *err)
{
    struct gw_parked_style style;

    return gw_parked_style(options, &style, err);
}

static int check(const struct gw_image *image, const struct gw_image_write_options *o, struct writer *w,
                 struct gw_error *err)
{
    int r = gw_parked_style(o, &w->style, err);

    if (r < 0)
        return r;
    if (!gw_is_pow2(image->page_bytes) || image->page_bytes < 1u << GW_PARKED_PAGE_BITS_MIN ||
        image->page_bytes > 1u << GW_PARKED_PAGE_BITS_MAX)
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "pages of %u bytes cannot be parked", image->page_bytes);
    for (unsigned i = 0; i < image->block_count; i++)
        w->total_bytes += image->blocks[i].used_bytes;
    return 0;
}

/* A dictionary is used only if it saves enough: packing with one takes a third longer. */
static int prepare_dictionary(struct writer *w, struct gw_error *err)
{
    int level = w->options->level ? w->options->level : LEVEL_WITH_DICTIONARY;
    bool pays = false;
    size_t bytes = 0;
    int r = gw_parked_dictionary(w->image, &w->common, &bytes, err);

    if (r >= 0 && w->common)
        r = gw_dictionary_new(w->common, bytes, level, &w->dictionary, err);
    if (r >= 0 && w->dictionary)
        r = gw_parked_dictionary_pays(w->image, w->tail.trailer.frame_pages, w->dictionary, w->style.level, &pays, err);
    if (r < 0 || pays) {
        w->tail.dictionary = w->common;
        w->tail.dictionary_bytes = bytes;
        w->tail.trailer.needs |= GW_PARKED_NEEDS_DICTIONARY;
        return r;
    }
    gw_dictionary_free(w->dictionary);
    w->dictionary = NULL;
    return 0;
}

static int prepare(struct writer *w, struct gw_error *err)
{
    uint32_t page_bytes = w->image->page_bytes;
    int r;

    w->tail.put = put_bytes;
    w->tail.opaque = w;
    w->tail.trailer.needs = (w->style.plain ? 0 : GW_PARKED_NEEDS_ZSTD) | gw_parked_needs(&w->image->others) |
                              (w->image->received ? GW_PARKED_NEEDS_RECEIVED : 0) | (w->returns ? GW_PARKED_NEEDS_END : 0);
    w->tail.trailer.page_bytes = page_bytes;
    w->tail.trailer.frame_pages = gw_parked_frame_pages(page_bytes);
    w->batch_pages = BATCH_BYTES / page_bytes;
    w->zero = gw_zero_pick();
    if (w->to && (r = gw_spool_new_far(w->to, BATCH_BYTES, PIECES, &w->spool, err)) < 0)
        return r;
    if (w->to)
        gw_append_begin(&w->append, w->spool, BATCH_BYTES, NULL, 0, 0);
    w->batch = aligned_alloc(64, BATCH_BYTES);
    w->kinds = malloc(w->batch_pages);
    if (!w->batch || !w->kinds)
        return gw_nomem(err, "pages");
    r = gw_dedup_new(page_bytes, &w->dedup, err);
    if (r >= 0 && !w->style.plain)
        r = prepare_dictionary(w, err);
    if (r >= 0)
        r = gw_pack_new(w->options->threads, w->style.plain ? 0 : w->style.level, w->dictionary, page_bytes,
                        w->tail.trailer.frame_pages, &w->pack, err);
    return r;
}

static int write_all(struct writer *w, struct gw_error *err)
{
    uint8_t header[GW_PARKED_HEADER_BYTES] = {0};
    struct gw_packer *packer = NULL;
    int r;

    gw_parked_put_header(header, &w->tail.trailer);
    r = gw_parked_tail_put(&w->tail, header, sizeof header, err);
    if (r >= 0)
        r = add_ram(w, err);
    if (r >= 0 && !w->style.plain)
        r = gw_packer_new(w->style.level, NULL, &packer, err);
    if (r >= 0)
        r = gw_parked_tail_write(&w->tail, w->image, w->options->libvirt_xml, packer, err);
    gw_packer_free(packer);
    if (r >= 0 && w->to)
        r = gw_append_end(&w->append, err);
    if (r < 0 || !w->returns)
        return r;
    gw_parked_put_header(header, &w->tail.trailer); /* the header's copy of the end is known now */
    return w->to ? gw_spool_patch(w->spool, header, sizeof header, 0, err) : gw_pwrite_all(w->fd, header, sizeof header, 0, err);
}

/* Not a pipe, nor a file that is appended to. */
static bool is_rewritable(int fd)
{
    struct stat st;
    int flags = fcntl(fd, F_GETFL);

    return fstat(fd, &st) >= 0 && S_ISREG(st.st_mode) && flags >= 0 && !(flags & O_APPEND) && lseek(fd, 0, SEEK_CUR) == 0;
}

/* Writes to the file or the server, whichever is set. */
static int write_to(struct gw_image *image, const struct gw_image_write_options *options, int fd, struct gw_bytes *to, struct gw_error *err)
{
    struct writer *w = calloc(1, sizeof *w); /* too large for a stack */
    int r;

    if (!w)
        return gw_nomem(err, "parked file");
    w->image = image;
    w->options = options;
    w->fd = fd;
    w->to = to;
    w->returns = to || is_rewritable(fd);
    r = check(image, options, w, err);
    if (r >= 0)
        r = prepare(w, err);
    if (r >= 0)
        r = write_all(w, err);
    gw_spool_free(w->spool);
    gw_pack_free(w->pack);
    gw_dictionary_free(w->dictionary);
    free(w->common);
    gw_dedup_free(w->dedup);
    gw_parked_tail_close(&w->tail);
    free(w->batch);
    free(w->kinds);
    free(w);
    return r;
}

int gw_parked_write(struct gw_image *image, const struct gw_image_write_options *options, int fd, struct gw_error *err)
{
    return write_to(image, options, fd, NULL, err);
}

int gw_parked_write_bytes(struct gw_image *image, const struct gw_image_write_options *options, struct gw_bytes *to, struct gw_error *err)
{
    return write_to(image, options, -1, to, err);
}
