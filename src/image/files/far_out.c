/* SPDX-License-Identifier: MIT */
#include "image/files/far_out.h"

#include <sys/stat.h>
#include <unistd.h>

#include "image/parked/spool.h"
#include "image/unpack.h"

#define PIECE_BYTES (1u << 20)
#define PIECES      16u

static bool is_compressed(const struct gw_image_write_options *o)
{
    return o->compress && strcmp(o->compress, "raw") && strcmp(o->compress, "sparse");
}

/* Decompression programs need the end of the file to be the end of their data; and mapped-ram files are as large as the
 * RAM. */
static int check(const struct gw_image *image, const struct gw_image_format_ops *format,
                 const struct gw_image_write_options *o, const struct gw_bytes *to, struct gw_error *err)
{
    bool mapped = o->format == GW_IMAGE_MAPPED_RAM || (o->compress && !strcmp(o->compress, "sparse"));
    uint64_t ram = 0;

    if (is_compressed(o))
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER,
                       "a file of the format %s that is compressed with %s does not tell where it ends, and a server "
                       "has room behind it: "
                       "write it uncompressed, or parked",
                       format->name, o->compress);
    for (unsigned i = 0; i < image->block_count; i++)
        ram += image->blocks[i].used_bytes;
    return mapped && ram > to->size
               ? gw_fail(err, -ENOSPC, GW_BLAME_CALLER,
                         "it has %" PRIu64 " bytes, and the file would have %" PRIu64 " of RAM alone", to->size, ram)
               : 0;
}

/* The number of bytes from `at` on that are holes or lie after the end of the file; whole pieces, and at the end of
 * `size` the rest. */
static uint64_t hole(int fd, uint64_t at, uint64_t size)
{
    off_t data = lseek(fd, (off_t)at, SEEK_DATA);
    uint64_t end = data < 0 ? errno == ENXIO ? size : at : (uint64_t)data;

    return end >= size ? size - at : end - at - (end - at) % PIECE_BYTES;
}

static int push_piece(int fd, uint64_t at, uint64_t file_bytes, uint64_t room, struct gw_spool *spool,
                      struct gw_error *err)
{
    size_t bytes = (size_t)GW_MIN(PIECE_BYTES, room - at), have = at < file_bytes ? (size_t)GW_MIN(bytes, file_bytes - at) : 0;
    uint8_t *piece = gw_spool_room(spool);
    int r;

    if (!piece)
        return gw_spool_flush(spool, err);
    r = gw_pread_all(fd, piece, have, at, "the file to be copied", err);
    if (r < 0)
        return r;
    bytes = (bytes + GW_SPOOL_ALIGN - 1) & ~(size_t)(GW_SPOOL_ALIGN - 1);
    memset(piece + have, 0, bytes - have);
    gw_spool_put(spool, at, bytes);
    return 0;
}

/* Writes the whole export: the file, then zeros. */
static int push(int fd, struct gw_bytes *to, struct gw_error *err)
{
    struct gw_spool *spool = NULL;
    struct stat st;
    int r;

    if (fstat(fd, &st) < 0)
        return gw_fail(err, -errno, GW_BLAME_LOCAL, "%s", strerror(errno));
    if ((uint64_t)st.st_size > to->size)
        return gw_fail(err, -ENOSPC, GW_BLAME_CALLER, "it has %" PRIu64 " bytes, too few for a file of %" PRIu64,
                       to->size, (uint64_t)st.st_size);
    r = gw_spool_new_far(to, PIECE_BYTES, PIECES, &spool, err);
    for (uint64_t at = 0, n; at < to->size && r >= 0; at += n) {
        n = hole(fd, at, to->size);
        if (n) {
            r = to->ops->zero(to, at, n, err);
            continue;
        }
        n = GW_MIN(PIECE_BYTES, to->size - at);
        r = push_piece(fd, at, (uint64_t)st.st_size, to->size, spool, err);
    }
    if (r >= 0)
        r = gw_spool_flush(spool, err);
    gw_spool_free(spool);
    return r;
}

int gw_far_write(struct gw_image *image, const struct gw_image_format_ops *format,
                 const struct gw_image_write_options *options, struct gw_bytes *to, struct gw_error *err)
{
    GW_AUTOFD int fd = -1;
    int r = 0;

    if (format->write_bytes)
        return format->write_bytes(image, options, to, err);
    r = check(image, format, options, to, err);
    if (r >= 0)
        r = gw_temporary(image->temporary_folder, &fd, err);
    if (r >= 0)
        r = format->write(image, options, fd, err);
    return r < 0 ? r : push(fd, to, err);
}
