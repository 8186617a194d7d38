/* SPDX-License-Identifier: MIT
 *
 * calls: a kernel that interrupts, does a part only, fails, or lacks something. For programs that are linked with
 * --wrap of pread64, pwrite64, fallocate64, lseek64, fdatasync; included once in each.
 */
#ifndef CALLS_H
#define CALLS_H

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <unistd.h>

static struct {
    bool nasty;                       /* every third call is interrupted, the others do at most part_bytes */
    size_t part_bytes;                /* 0: all */
    uint64_t bad_from;                /* reads and writes that touch this or a later byte fail ... */
    int bad_errno;                    /* ... by this; 0: none do */
    int no_falloc, no_seek, bad_sync; /* errno of each call; 0: none */
    unsigned count, fallocs, syncs, writes, seeks;
} calls;

ssize_t __real_pread64(int fd, void *to, size_t bytes, off_t offset);
ssize_t __real_pwrite64(int fd, const void *from, size_t bytes, off_t offset);
int __real_fallocate64(int fd, int mode, off_t offset, off_t bytes);
off_t __real_lseek64(int fd, off_t offset, int whence);
int __real_fdatasync(int fd);
ssize_t __wrap_pread64(int fd, void *to, size_t bytes, off_t offset);
ssize_t __wrap_pwrite64(int fd, const void *from, size_t bytes, off_t offset);
int __wrap_fallocate64(int fd, int mode, off_t offset, off_t bytes);
off_t __wrap_lseek64(int fd, off_t offset, int whence);
int __wrap_fdatasync(int fd);

static bool interrupted(void)
{
    if (!calls.nasty || ++calls.count % 3)
        return false;
    errno = EINTR;
    return true;
}

/* How much of a transfer is done; 0: it fails. */
static size_t part(size_t bytes, off_t offset)
{
    if (interrupted())
        return 0;
    if (calls.part_bytes && bytes > calls.part_bytes)
        bytes = calls.part_bytes;
    if (!calls.bad_errno || (uint64_t)offset + bytes <= calls.bad_from)
        return bytes;
    if ((uint64_t)offset < calls.bad_from)
        return calls.bad_from - (uint64_t)offset;
    errno = calls.bad_errno;
    return 0;
}

ssize_t __wrap_pread64(int fd, void *to, size_t bytes, off_t offset)
{
    size_t n = part(bytes, offset);

    return n || !bytes ? __real_pread64(fd, to, n, offset) : -1;
}

ssize_t __wrap_pwrite64(int fd, const void *from, size_t bytes, off_t offset)
{
    size_t n = part(bytes, offset);

    calls.writes++;
    return n || !bytes ? __real_pwrite64(fd, from, n, offset) : -1;
}

int __wrap_fallocate64(int fd, int mode, off_t offset, off_t bytes)
{
    if (interrupted())
        return -1;
    calls.fallocs++;
    if (!calls.no_falloc)
        return __real_fallocate64(fd, mode, offset, bytes);
    errno = calls.no_falloc;
    return -1;
}

off_t __wrap_lseek64(int fd, off_t offset, int whence)
{
    calls.seeks++;
    if (!calls.no_seek || whence == SEEK_END)
        return __real_lseek64(fd, offset, whence);
    errno = calls.no_seek;
    return -1;
}

int __wrap_fdatasync(int fd)
{
    if (interrupted())
        return -1;
    calls.syncs++;
    if (!calls.bad_sync)
        return __real_fdatasync(fd);
    errno = calls.bad_sync;
    return -1;
}

#endif
