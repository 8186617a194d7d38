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

static void raw_close(void *disk)
{
    struct raw *raw = disk;

    close(raw->fd);
    free(raw);
}

static const struct gw_machine_disk_ops raw_ops = {
    .read = raw_read, .write = raw_write, .flush = raw_flush, .close = raw_close,
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
