/* SPDX-License-Identifier: MIT */
#include "machine/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct raw {
    int fd;
};

static int raw_read(void *disk, uint64_t offset, void *buf, size_t bytes, struct gw_error *err)
{
    struct raw *raw = disk;
    char *to = buf;

    while (bytes) {
        ssize_t n = pread(raw->fd, to, bytes, (off_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return gw_fail(err, n ? -errno : -EIO, GW_BLAME_LOCAL, "disk: reading at %" PRIu64 ": %s", offset,
                           n ? strerror(errno) : "the file has become shorter");
        to += n;
        offset += (uint64_t)n;
        bytes -= (size_t)n;
    }
    return 0;
}

static int raw_write(void *disk, uint64_t offset, const void *buf, size_t bytes, struct gw_error *err)
{
    struct raw *raw = disk;
    const char *from = buf;

    while (bytes) {
        ssize_t n = pwrite(raw->fd, from, bytes, (off_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return gw_fail(err, -errno, GW_BLAME_LOCAL, "disk: writing at %" PRIu64 ": %s", offset, strerror(errno));
        from += n;
        offset += (uint64_t)n;
        bytes -= (size_t)n;
    }
    return 0;
}

static int raw_flush(void *disk, struct gw_error *err)
{
    struct raw *raw = disk;

    if (fdatasync(raw->fd) && errno != EINVAL && errno != EROFS) /* not everything can be synced, nor has to be */
        return gw_fail(err, -errno, GW_BLAME_LOCAL, "disk: flush: %s", strerror(errno));
    return 0;
}

static int raw_zero(void *disk, uint64_t offset, uint64_t bytes, bool unmap, struct gw_error *err)
{
    static const char zeros[65536];
    const struct raw *raw = disk;
    int r = 0;

    if (!fallocate(raw->fd, (unmap ? FALLOC_FL_PUNCH_HOLE : FALLOC_FL_ZERO_RANGE) | FALLOC_FL_KEEP_SIZE, (off_t)offset,
                   (off_t)bytes))
        return 0;
    if (errno != EOPNOTSUPP)
        return gw_fail(err, -errno, GW_BLAME_LOCAL, "disk: zeros at %" PRIu64 ": %s", offset, strerror(errno));
    for (uint64_t done = 0; done < bytes && r >= 0; done += sizeof zeros)
        r = raw_write(disk, offset + done, zeros, bytes - done < sizeof zeros ? bytes - done : sizeof zeros, err);
    return r;
}

/* Holes read as zeros. What a file system cannot tell counts as data. */
static int raw_find(void *disk, uint64_t offset, uint64_t bytes, struct gw_disk_run *ret, struct gw_error *err)
{
    const struct raw *raw = disk;
    off_t at = (off_t)offset, end = at + (off_t)bytes, data = lseek(raw->fd, at, SEEK_DATA), hole;

    if (data < 0 && errno == ENXIO)
        data = end;
    hole = data == at ? lseek(raw->fd, at, SEEK_HOLE) : at;
    if (data < 0 || hole < 0)
        *ret = (struct gw_disk_run){GW_DISK_DATA, bytes};
    else if (data > at)
        *ret = (struct gw_disk_run){GW_DISK_ZERO, (uint64_t)((data < end ? data : end) - at)};
    else
        *ret = (struct gw_disk_run){GW_DISK_DATA, (uint64_t)((hole < end && hole > at ? hole : end) - at)};
    return 0;
}

static void raw_close(void *disk)
{
    struct raw *raw = disk;

    close(raw->fd);
    free(raw);
}

static const struct gw_machine_disk_ops raw_ops = {
    .read = raw_read, .write = raw_write, .flush = raw_flush, .close = raw_close, .zero = raw_zero, .find = raw_find,
};

int gw_disk_raw_open(const char *path, bool readonly, struct gw_machine_disk *ret_disk, struct gw_error *err)
{
    struct raw *raw = malloc(sizeof(*raw));
    off_t end;

    if (!raw)
        return gw_fail(err, -ENOMEM, GW_BLAME_LOCAL, "out of memory (disk)");
    raw->fd = open(path, (readonly ? O_RDONLY : O_RDWR) | O_CLOEXEC);
    end = raw->fd < 0 ? -1 : lseek(raw->fd, 0, SEEK_END);
    if (end < 0) {
        int code = -errno;
        if (raw->fd >= 0)
            close(raw->fd);
        free(raw);
        return gw_fail(err, code, GW_BLAME_LOCAL, "disk %s: %s", path, strerror(-code));
    }
    *ret_disk = (struct gw_machine_disk){
        .ops = &raw_ops, .opaque = raw, .bytes = (uint64_t)end / 512 * 512, .readonly = readonly};
    return 0;
}
