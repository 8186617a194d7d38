/* SPDX-License-Identifier: MIT */
#include "image/stream/file.h"

#include <fcntl.h>
#include <sys/uio.h>

#include "base/bitmap.h"
#include "channel/iov.h"
#include "image/unpack.h"

#define VECTORS   512 /* vectors of one read */
#define MAP_CHUNK 65536u
#define GAP_BYTES                                                                                                      \
    4096 /* largest gap between two pages that one read covers: record heads, a page that was sent again */

int gw_stream_file_new(int fd, struct gw_stream_file **ret_file, struct gw_error *err)
{
    struct gw_stream_file *f = calloc(1, sizeof *f);

    if (!f) {
        gw_close_fd(&fd);
        return gw_nomem(err, "image");
    }
    f->fd = fd;
    f->decoded = -1;
    *ret_file = f;
    return 0;
}

void gw_stream_file_free(struct gw_stream_file *f)
{
    if (!f)
        return;
    for (unsigned i = 0; i < f->block_count; i++) {
        gw_bitmap_free(f->blocks[i].where, f->blocks[i].pages * 64);
        gw_bitmap_free(f->blocks[i].filled, gw_div_up(f->blocks[i].pages, GW_IMAGE_GROUP));
        free(f->blocks[i].map);
    }
    free(f->blocks);
    gw_close_fd(&f->decoded);
    gw_close_fd(&f->fd);
    free(f);
}

/* Copies the map so that its zero parts take no memory. */
static uint8_t *copy_map(const uint8_t *map, size_t bytes)
{
    uint8_t *copy = calloc(1, bytes);

    for (size_t at = 0, n; copy && at < bytes; at += n) {
        n = GW_MIN(bytes - at, (size_t)MAP_CHUNK);
        if (map[at] || memcmp(map + at, map + at + 1, n - 1) != 0)
            memcpy(copy + at, map + at, n);
    }
    return copy;
}

int gw_stream_file_add(struct gw_stream_file *f, uint64_t pages, const uint8_t *map, uint64_t map_bytes,
                       uint64_t pages_at, struct gw_error *err)
{
    struct gw_stream_block *grown, b = {.pages = pages, .first = f->pages, .pages_at = pages_at};

    if (pages > GW_STREAM_RAM_MAX / f->page_bytes - f->pages)
        return gw_fail(err, -EPROTO, GW_BLAME_PEER, "more than %llu TiB of RAM", GW_STREAM_RAM_MAX >> 40);
    grown = realloc(f->blocks, (f->block_count + 1) * sizeof *grown);
    if (!grown)
        return gw_nomem(err, "RAM blocks");
    f->blocks = grown;
    if (map) {
        b.map = copy_map(map, (size_t)map_bytes);
    } else {
        b.where = gw_bitmap_new(pages * 64);
        b.filled = gw_bitmap_new(gw_div_up(pages, GW_IMAGE_GROUP));
    }
    f->blocks[f->block_count++] = b;
    if (!b.map && (!b.where || !b.filled))
        return gw_nomem(err, "places of pages");
    f->pages += pages;
    return 0;
}

void gw_stream_file_set(struct gw_stream_file *f, unsigned block, uint64_t page, uint64_t where)
{
    struct gw_stream_block *b = &f->blocks[block];

    b->came += b->where[page] == GW_STREAM_NEVER;
    b->where[page] = where;
    if (where != GW_STREAM_ZERO)
        gw_bitmap_set(b->filled, page / GW_IMAGE_GROUP);
}

static uint64_t decoded_at(const struct gw_stream_file *f, const struct gw_stream_block *b, uint64_t page)
{
    return (b->first + page) * f->page_bytes;
}

int gw_stream_file_keep(struct gw_stream_file *f, unsigned block, uint64_t page, const uint8_t *data,
                        const char *temporary_folder, struct gw_error *err)
{
    struct gw_stream_block *b = &f->blocks[block];
    int r = 0;

    if (f->decoded < 0)
        r = gw_temporary(temporary_folder, &f->decoded, err);
    if (r >= 0)
        r = gw_pwrite_all(f->decoded, data, f->page_bytes, decoded_at(f, b, page), err);
    if (r >= 0)
        gw_stream_file_set(f, block, page, GW_STREAM_DECODED);
    return r;
}

/* ---- reading ----------------------------------------------------------------------------------------------------- */

/* Where a page's contents are; false: it is zeros. */
static bool place(const struct gw_stream_file *f, const struct gw_stream_block *b, uint64_t page, int *ret_fd,
                  uint64_t *ret_at)
{
    uint64_t w;

    *ret_fd = f->fd;
    if (b->map) {
        *ret_at = b->pages_at + page * f->page_bytes;
        return b->map[page / 8] >> (page % 8) & 1;
    }
    w = b->where[page];
    if (w == GW_STREAM_NEVER || w == GW_STREAM_ZERO)
        return false;
    if (w == GW_STREAM_DECODED) {
        *ret_fd = f->decoded;
        w = decoded_at(f, b, page);
    }
    *ret_at = w;
    return true;
}

static int read_vectors(int fd, struct iovec *iov, int n, uint64_t at, struct gw_error *err)
{
    for (int i = 0; i < n;) {
        ssize_t got = preadv(fd, iov + i, n - i, (off_t)at);

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return gw_fail(err, -EIO, GW_BLAME_LOCAL, "reading at byte %" PRIu64 ": %s", at, strerror(errno));
        if (!got)
            return gw_fail(err, -EPROTO, GW_BLAME_PEER,
                           "the file ends at byte %" PRIu64 ": it was cut since it was opened", at);
        at += (uint64_t)got;
        i = gw_iov_advance(iov, n, i, (size_t)got);
    }
    return 0;
}

/* Reads pages that follow each other in the file, with small gaps, in one call. Returns how many. */
static int read_run(const struct gw_stream_file *f, const struct gw_stream_block *b, uint64_t first, uint64_t count,
                    uint8_t *dst, struct gw_error *err)
{
    struct iovec iov[VECTORS];
    uint8_t between[GAP_BYTES];
    uint64_t at, next, begin;
    int n = 1, fd, same, pages = 1, r;

    if (!place(f, b, first, &fd, &at)) {
        memset(dst, 0, f->page_bytes);
        return 1;
    }
    begin = at;
    iov[0] = (struct iovec){dst, f->page_bytes};
    while ((uint64_t)pages < count && n + 2 <= VECTORS && place(f, b, first + (uint64_t)pages, &same, &next) &&
           same == fd && next >= at + f->page_bytes && next - at - f->page_bytes <= GAP_BYTES) {
        uint64_t gap = next - at - f->page_bytes;

        if (gap)
            iov[n++] = (struct iovec){between, (size_t)gap};
        if (gap)
            iov[n++] = (struct iovec){dst + (size_t)pages * f->page_bytes, f->page_bytes};
        else
            iov[n - 1].iov_len += f->page_bytes;
        pages++;
        at = next;
    }
    r = read_vectors(fd, iov, n, begin, err);
    return r < 0 ? r : pages;
}

int gw_stream_file_read(const struct gw_stream_file *f, unsigned block, uint64_t first, uint64_t count, uint8_t *dst,
                        struct gw_error *err)
{
    while (count) {
        int n = read_run(f, &f->blocks[block], first, GW_MIN(count, INT32_MAX), dst, err);

        if (n < 0)
            return n;
        first += (uint64_t)n;
        count -= (uint64_t)n;
        dst += (size_t)n * f->page_bytes;
    }
    return 0;
}

/* ---- as an image ------------------------------------------------------------------------------------------------- */

static int image_map(struct gw_image *image, unsigned block, uint64_t first, uint64_t count, uint8_t *kinds,
                     struct gw_error *err)
{
    const struct gw_stream_file *f = image->own;
    uint64_t at;
    int fd;

    for (uint64_t i = 0; i < count; i++)
        kinds[i] = place(f, &f->blocks[block], first + i, &fd, &at);
    return 0;
}

static int image_read(struct gw_image *image, unsigned block, uint64_t first, uint64_t count, uint8_t *dst,
                      struct gw_error *err)
{
    int r = gw_stream_file_read(image->own, block, first, count, dst, err);

    if (r < 0)
        gw_context(err, "RAM block %s", image->blocks[block].name);
    return r;
}

static bool image_empty(const struct gw_image *image, unsigned block, uint64_t group)
{
    const struct gw_stream_file *f = image->own;
    const struct gw_stream_block *b = &f->blocks[block];
    uint64_t first = group * GW_IMAGE_GROUP, end = GW_MIN(first + GW_IMAGE_GROUP, b->pages);

    if (!b->map)
        return !gw_bitmap_test(b->filled, group);
    for (uint64_t byte = first / 8; byte < gw_div_up(end, 8); byte++)
        if (b->map[byte])
            return false;
    return true;
}

static int image_places(struct gw_image *image, unsigned block, uint64_t first, uint64_t count, uint64_t *at, struct gw_error *err)
{
    const struct gw_stream_file *f = image->own;
    int fd;

    for (uint64_t i = 0; i < count; i++)
        if (!place(f, &f->blocks[block], first + i, &fd, &at[i]) || fd != f->fd)
            at[i] = GW_IMAGE_NOWHERE;
    return 0;
}

static void image_close(struct gw_image *image)
{
    gw_stream_file_free(image->own);
}

static int image_behind(struct gw_image *image, struct gw_behind *ret, struct gw_error *err)
{
    const struct gw_stream_file *f = image->own;

    *ret = (struct gw_behind){0};
    return f->end && !image->origin.part ? gw_behind_look(f->fd, f->end, ret, err) : 0;
}

const struct gw_image_ops gw_stream_ops = {
    .map = image_map, .read = image_read, .close = image_close, .behind = image_behind, .empty = image_empty,
    .places = image_places};
