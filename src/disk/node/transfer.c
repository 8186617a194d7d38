/* SPDX-License-Identifier: MIT */
#include "disk/node/transfer.h"

#define BOUNCE_BYTES (256 * GW_KIB)

static int failed(const struct gw_transfer *t, const char *doing, int code, uint64_t bytes, uint64_t offset,
                  struct gw_error *err)
{
    return gw_fail(err, -code, GW_BLAME_LOCAL, "%.200s: cannot %s %" PRIu64 " bytes at offset %" PRIu64 ": %s%s",
                   t->name, doing, bytes, offset, strerror(code),
                   code == ENOSPC || code == EDQUOT ? ". Make room, then try again" : "");
}

static int read_all(const struct gw_transfer *t, char *to, uint64_t bytes, uint64_t offset, struct gw_error *err)
{
    while (bytes) {
        ssize_t n = pread(t->fd, to, bytes, (off_t)offset);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return failed(t, "read", errno, bytes, offset, err);
        if (!n)
            return gw_fail(err, -EIO, GW_BLAME_LOCAL,
                           "%.200s: cannot read %" PRIu64 " bytes at offset %" PRIu64
                           ": the file has become shorter since it was opened",
                           t->name, bytes, offset);
        to += n;
        offset += (uint64_t)n;
        bytes -= (uint64_t)n;
    }
    return 0;
}

static int write_all(const struct gw_transfer *t, const char *from, uint64_t bytes, uint64_t offset,
                     struct gw_error *err)
{
    while (bytes) {
        ssize_t n = pwrite(t->fd, from, bytes, (off_t)offset);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return failed(t, "write", n ? errno : EIO, bytes, offset, err);
        from += n;
        offset += (uint64_t)n;
        bytes -= (uint64_t)n;
    }
    return 0;
}

static bool fits(const struct gw_transfer *t, const void *memory)
{
    return !((uintptr_t)memory & (t->align - 1));
}

/* Memory that is aligned; *ret_bytes: how much. */
static int bounce_new(const struct gw_transfer *t, uint64_t bytes, void **ret, uint64_t *ret_bytes,
                      struct gw_error *err)
{
    *ret_bytes = GW_MIN(bytes, BOUNCE_BYTES);
    return posix_memalign(ret, GW_MAX(t->align, 4096u), *ret_bytes) ? gw_nomem(err, "request to a disk") : 0;
}

int gw_transfer_read(const struct gw_transfer *t, void *to, uint64_t bytes, uint64_t offset, struct gw_error *err)
{
    GW_AUTOFREE void *room = NULL;
    uint64_t size;
    int r;

    if (fits(t, to))
        return read_all(t, to, bytes, offset, err);
    r = bounce_new(t, bytes, &room, &size, err);
    for (uint64_t done = 0, part; done < bytes && r >= 0; done += part) {
        part = GW_MIN(size, bytes - done);
        r = read_all(t, room, part, offset + done, err);
        if (r >= 0)
            memcpy((char *)to + done, room, part);
    }
    return r;
}

int gw_transfer_write(const struct gw_transfer *t, const void *from, uint64_t bytes, uint64_t offset,
                      struct gw_error *err)
{
    GW_AUTOFREE void *room = NULL;
    uint64_t size;
    int r;

    if (fits(t, from))
        return write_all(t, from, bytes, offset, err);
    r = bounce_new(t, bytes, &room, &size, err);
    for (uint64_t done = 0, part; done < bytes && r >= 0; done += part) {
        part = GW_MIN(size, bytes - done);
        memcpy(room, (const char *)from + done, part);
        r = write_all(t, room, part, offset + done, err);
    }
    return r;
}

int gw_transfer_zeros(const struct gw_transfer *t, uint64_t bytes, uint64_t offset, struct gw_error *err)
{
    GW_AUTOFREE void *room = NULL;
    uint64_t size;
    int r = bounce_new(t, bytes, &room, &size, err);

    if (r < 0)
        return r;
    memset(room, 0, size);
    for (uint64_t done = 0, part; done < bytes && r >= 0; done += part) {
        part = GW_MIN(size, bytes - done);
        r = write_all(t, room, part, offset + done, err);
    }
    return r;
}
