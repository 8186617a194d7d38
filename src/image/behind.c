/* SPDX-License-Identifier: MIT */
#include "image/behind.h"

#include <sys/stat.h>
#include <unistd.h>

#include "image/unpack.h"
#include "ram/page/zero.h"

#define CHUNK_BYTES (1u << 20)

uint64_t gw_file_bytes(int fd)
{
    struct stat st;
    off_t at, end;

    if (fstat(fd, &st) < 0 || !(S_ISREG(st.st_mode) || S_ISBLK(st.st_mode)))
        return UINT64_MAX;
    if (S_ISREG(st.st_mode))
        return (uint64_t)st.st_size;
    at = lseek(fd, 0, SEEK_CUR);
    end = lseek(fd, 0, SEEK_END);
    lseek(fd, at, SEEK_SET);
    return end < 0 ? UINT64_MAX : (uint64_t)end;
}

static bool is_device(int fd)
{
    struct stat st;

    return fstat(fd, &st) >= 0 && S_ISBLK(st.st_mode);
}

/* The next offset from `at` on that is not in a hole; `end`: there is none. */
static uint64_t next_data(int fd, uint64_t at, uint64_t end)
{
    off_t data = lseek(fd, (off_t)at, SEEK_DATA);

    if (data < 0)
        return errno == ENXIO ? end : at; /* else the file system cannot tell, and `at` counts as data */
    return (uint64_t)data;
}

/* *ret: the first byte of the range that is not zero, if there is one. */
static int look(int fd, uint64_t at, uint64_t end, struct gw_behind *ret, struct gw_error *err)
{
    GW_AUTOFREE uint8_t *chunk = malloc(CHUNK_BYTES);
    const struct gw_zero *zero = gw_zero_pick();
    int r = chunk ? 0 : gw_nomem(err, "what stands behind the end");

    while (r >= 0 && !ret->other && (at = next_data(fd, at, end)) < end) {
        size_t n = (size_t)GW_MIN(CHUNK_BYTES, end - at);

        r = gw_pread_all(fd, chunk, n, at, "what stands behind the end", err);
        ret->other = r >= 0 && !zero->all(chunk, n);
        for (size_t i = 0; ret->other && i < n; i++)
            if (chunk[i]) {
                ret->other_at = at + i;
                break;
            }
        at += n;
    }
    return r;
}

int gw_behind_look(int fd, uint64_t at, struct gw_behind *ret, struct gw_error *err)
{
    uint64_t end = gw_file_bytes(fd);

    *ret = (struct gw_behind){.at = at, .roomy = is_device(fd)};
    if (end == UINT64_MAX || end <= at)
        return 0;
    ret->bytes = end - at;
    return look(fd, at, end, ret, err);
}
