/* SPDX-License-Identifier: MIT
 *
 * pwrite that does what disks do. For programs that are linked with --wrap=pwrite,--wrap=pwrite64 (what it is called
 * depends on the C library); included once in each.
 */
#ifndef FAILING_WRITES_H
#define FAILING_WRITES_H

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <unistd.h>

typedef ssize_t write_fn(int fd, const void *src, size_t bytes, off_t at);
write_fn __real_pwrite, __wrap_pwrite, __real_pwrite64, __wrap_pwrite64;

static struct {
    atomic_uint fail_from; /* from this call on they fail with `error`, */
    atomic_int error;      /* unless it is 0 */
    atomic_bool small;     /* one in three takes only a part, one in five is interrupted */
    atomic_bool no_direct; /* O_DIRECT can be set, and then nothing is taken */
    atomic_uint calls, slow_us;
} writes;

static ssize_t disk(write_fn *real, int fd, const void *src, size_t bytes, off_t at)
{
    unsigned n = atomic_fetch_add(&writes.calls, 1);

    if (atomic_load(&writes.slow_us))
        usleep(atomic_load(&writes.slow_us));
    if (atomic_load(&writes.no_direct) && fcntl(fd, F_GETFL) & O_DIRECT) {
        errno = EINVAL;
        return -1;
    }
    if (writes.error && n >= writes.fail_from) {
        errno = writes.error;
        return -1;
    }
    if (atomic_load(&writes.small) && n % 5 == 4) {
        errno = EINTR;
        return -1;
    }
    if (atomic_load(&writes.small) && n % 3 == 2 && bytes > 4096)
        bytes = 4096;
    return real(fd, src, bytes, at);
}

ssize_t __wrap_pwrite(int fd, const void *src, size_t bytes, off_t at)
{
    return disk(__real_pwrite, fd, src, bytes, at);
}

ssize_t __wrap_pwrite64(int fd, const void *src, size_t bytes, off_t at)
{
    return disk(__real_pwrite64, fd, src, bytes, at);
}

#endif
