/* SPDX-License-Identifier: MIT */
#include "image/bytes.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "channel/iov.h"
#include "image/behind.h"
#include "image/unpack.h"
#include "ram/page/zero.h"

#define COPY_BYTES  (16u << 20) /* bytes copied at a time, requested together from a server */
#define AHEAD_BYTES (1u << 20) /* bytes of a file that are read ahead at a time */

/* Reads all of it into one buffer, then copies it to the vectors. */
static int read_together(struct gw_bytes *b, const struct iovec *iov, unsigned count, uint64_t at, size_t bytes, struct gw_error *err)
{
    GW_AUTOFREE uint8_t *room = count > 1 ? malloc(bytes) : NULL;
    size_t done = 0;
    int r;

    if (count > 1 && !room)
        return gw_nomem(err, "bytes of a server");
    r = b->ops->read(b, room ? room : iov->iov_base, bytes, at, err);
    for (unsigned i = 0; r >= 0 && room && i < count; done += iov[i++].iov_len)
        memcpy(iov[i].iov_base, room + done, iov[i].iov_len);
    return r;
}

static int check_range(const struct gw_bytes *b, uint64_t at, uint64_t bytes, struct gw_error *err)
{
    uint64_t end;

    return gw_add_overflows(at, bytes, &end) || end > b->size
               ? gw_fail(err, -EPROTO, GW_BLAME_PEER, "the file ends before byte %" PRIu64, at + bytes)
               : 0;
}

int gw_bytes_readv(struct gw_bytes *b, struct iovec *iov, unsigned count, uint64_t at, struct gw_error *err)
{
    uint64_t bytes = 0;
    int r;

    for (unsigned i = 0; i < count; i++)
        bytes += iov[i].iov_len;
    r = check_range(b, at, bytes, err);
    if (r < 0 || !bytes)
        return r;
    return b->ops->readv ? b->ops->readv(b, iov, count, at, err) : read_together(b, iov, count, at, (size_t)bytes, err);
}

int gw_bytes_read(struct gw_bytes *b, void *dst, size_t bytes, uint64_t at, struct gw_error *err)
{
    struct iovec iov = {dst, bytes};

    return gw_bytes_readv(b, &iov, 1, at, err);
}

int gw_bytes_read_all(struct gw_bytes *b, const struct gw_bytes_range *range, unsigned count, struct gw_error *err)
{
    int r = 0;

    for (unsigned i = 0; i < count && r >= 0; i++)
        r = b->ops->read_all ? check_range(b, range[i].at, range[i].bytes, err)
                             : gw_bytes_read(b, range[i].dst, range[i].bytes, range[i].at, err);
    return r >= 0 && b->ops->read_all ? b->ops->read_all(b, range, count, err) : r;
}

void gw_bytes_ahead(struct gw_bytes *b, uint64_t at, uint64_t bytes)
{
    if (b->ops->ahead)
        b->ops->ahead(b, at, bytes);
}

struct gw_bytes *gw_bytes_free(struct gw_bytes *b)
{
    if (b)
        b->ops->free(b);
    return NULL;
}

/* ---- copies ------------------------------------------------------------------------------------------------------ */

static int copy(struct gw_bytes *b, int fd, struct gw_error *err)
{
    const struct gw_zero *zero = gw_zero_pick();
    GW_AUTOFREE uint8_t *room = malloc(COPY_BYTES);
    int r = 0;

    if (!room)
        return gw_nomem(err, "copy of a file");
    for (uint64_t at = 0; r >= 0 && at < b->size; at += COPY_BYTES) {
        size_t n = (size_t)GW_MIN(b->size - at, COPY_BYTES);

        r = gw_bytes_read(b, room, n, at, err);
        if (r >= 0)
            r = gw_pwrite_sparse(fd, room, n, at, zero, err);
    }
    if (r >= 0 && ftruncate(fd, (off_t)b->size) < 0)
        r = gw_fail(err, -errno, GW_BLAME_LOCAL, "copy of a file: %s", strerror(errno));
    return r;
}

int gw_bytes_unpack(struct gw_bytes *take, const char *temporary_folder, int *ret_fd, struct gw_error *err)
{
    int fd = -1, r = gw_temporary(temporary_folder, &fd, err);

    if (r >= 0)
        r = copy(take, fd, err);
    gw_bytes_free(take);
    if (r < 0)
        gw_close_fd(&fd);
    *ret_fd = fd;
    return r;
}

/* ---- files ------------------------------------------------------------------------------------------------------- */

static int file_readv(struct gw_bytes *b, struct iovec *iov, unsigned count, uint64_t at, struct gw_error *err)
{
    for (int i = 0; i < (int)count;) {
        ssize_t n = preadv(b->fd, iov + i, GW_MIN((int)count - i, GW_IOV_MAX), (off_t)at);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return gw_fail(err, -EIO, GW_BLAME_LOCAL, "reading at byte %" PRIu64 ": %s", at, strerror(errno));
        if (!n)
            return gw_fail(err, -EPROTO, GW_BLAME_PEER, "the file ends before byte %" PRIu64, at + 1);
        at += (uint64_t)n;
        i = gw_iov_advance(iov, (int)count, i, (size_t)n);
    }
    return 0;
}

static void file_ahead(struct gw_bytes *b, uint64_t at, uint64_t bytes)
{
    posix_fadvise(b->fd, (off_t)at, (off_t)GW_MIN(bytes, AHEAD_BYTES), POSIX_FADV_WILLNEED);
}

static void file_free(struct gw_bytes *b)
{
    gw_close_fd(&b->fd);
    free(b);
}

static const struct gw_bytes_ops file_ops = {.readv = file_readv, .ahead = file_ahead, .free = file_free};

int gw_bytes_file_new(int take_fd, struct gw_bytes **ret, struct gw_error *err)
{
    struct gw_bytes *b = calloc(1, sizeof *b);
    uint64_t size = gw_file_bytes(take_fd);
    int r = 0;

    if (!b)
        r = gw_nomem(err, "file");
    else if (size == UINT64_MAX)
        r = gw_fail(err, -ESPIPE, GW_BLAME_LOCAL, "neither a regular file nor a block device");
    if (r < 0) {
        free(b);
        close(take_fd);
        return r;
    }
    *b = (struct gw_bytes){.ops = &file_ops, .size = size, .fd = take_fd};
    *ret = b;
    return 0;
}
