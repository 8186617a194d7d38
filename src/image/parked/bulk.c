/* SPDX-License-Identifier: MIT */
#include "image/parked/bulk.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>

#define ASK_PAGES 1024u /* pages per mincore call */

/* Opens the file again; /proc also finds a file that was unlinked. */
static int open_direct(int fd)
{
    char path[64];

    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    return open(path, O_RDONLY | O_CLOEXEC | O_DIRECT | O_NONBLOCK);
}

void gw_bulk_open(struct gw_bulk *b, struct gw_bytes *of)
{
    *b = (struct gw_bulk){.of = of, .direct_fd = -1, .bytes = of->size};
    if (of->fd < 0 || !of->size || of->size > SIZE_MAX)
        return;
    b->map = mmap(NULL, (size_t)of->size, PROT_READ, MAP_SHARED, of->fd, 0);
    if (b->map == MAP_FAILED)
        b->map = NULL;
    if (b->map)
        b->direct_fd = open_direct(of->fd);
}

void gw_bulk_close(struct gw_bulk *b)
{
    if (!b->map)
        return;
    munmap(b->map, (size_t)b->bytes);
    b->map = NULL;
    gw_close_fd(&b->direct_fd);
}

bool gw_bulk_is_direct(const struct gw_bulk *b, uint64_t at, size_t bytes)
{
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), from = at / page * page, end = at + bytes;
    uint8_t there[ASK_PAGES];

    if (b->direct_fd < 0 || atomic_load(&b->refused))
        return false;
    for (uint64_t n; from < end; from += n * page) {
        n = GW_MIN(gw_div_up(end - from, page), ASK_PAGES);
        if (mincore(b->map + from, (size_t)(n * page), there) < 0)
            return false;
        for (uint64_t i = 0; i < n; i++)
            if (!(there[i] & 1))
                return true;
    }
    return false;
}

const uint8_t *gw_bulk_direct(struct gw_bulk *b, uint64_t at, size_t bytes, uint8_t *room)
{
    uint64_t from = at / GW_BULK_ALIGN * GW_BULK_ALIGN, skip = at - from;
    size_t want = (size_t)gw_div_up(skip + bytes, GW_BULK_ALIGN) * GW_BULK_ALIGN, got = 0;

    while (got < skip + bytes) { /* the last block of a file may be partial */
        ssize_t n = pread(b->direct_fd, room + got, want - got, (off_t)(from + got));

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EINVAL) /* O_DIRECT needs another alignment here, or is not supported */
            atomic_store(&b->refused, true);
        if (n <= 0)
            return NULL;
        got += (size_t)n;
    }
    return room + skip;
}

bool gw_bulk_cached(const struct gw_bulk *b, uint64_t at, struct iovec *iov, unsigned count)
{
    return gw_bytes_readv(b->of, iov, count, at, NULL) >= 0;
}
