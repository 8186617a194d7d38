/* SPDX-License-Identifier: MIT */
#include "ram/page/uffd.h"

#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <sys/syscall.h>

#include "ram/page/pagemap_abi.h"

static int open_any(int mode, const char *hint, struct gw_error *err)
{
    int flags = O_CLOEXEC | O_NONBLOCK | mode;
    int fd = (int)syscall(SYS_userfaultfd, flags), code;
    GW_AUTOFD int dev = -1;

    if (fd >= 0)
        return fd;
    code = errno;
    if (code == EMFILE || code == ENFILE || code == ENOMEM)
        return gw_fail(err, -code, GW_BLAME_LOCAL, "userfaultfd: %s", strerror(code));
    /* In many containers a seccomp filter forbids the system call, but the device may be accessible. */
    dev = open("/dev/userfaultfd", O_RDWR | O_CLOEXEC);
    if (dev >= 0) {
        fd = ioctl(dev, GW_USERFAULTFD_IOC_NEW, (unsigned long)flags);
        if (fd >= 0)
            return fd;
    }
    if (code == ENOSYS)
        return gw_fail(err, -ENOTSUP, GW_BLAME_LOCAL,
                       "no userfaultfd: the kernel lacks CONFIG_USERFAULTFD or a seccomp filter hides it; "
                       "allow the system call or give access to /dev/userfaultfd");
    return gw_fail(err, code == EPERM || code == EACCES ? -EPERM : -code, GW_BLAME_LOCAL,
                   "userfaultfd: %s; %s, or give access to /dev/userfaultfd", strerror(code), hint);
}

int gw_uffd_open_wp_async(int *ret_fd, struct gw_error *err)
{
    struct uffdio_api api = {.api = UFFD_API,
                             .features = GW_UFFD_FEATURE_PAGEFAULT_FLAG_WP | GW_UFFD_FEATURE_WP_HUGETLBFS_SHMEM |
                                         GW_UFFD_FEATURE_WP_UNPOPULATED | GW_UFFD_FEATURE_WP_ASYNC};
    int fd = open_any(GW_UFFD_USER_MODE_ONLY, "allow the system call in the seccomp filter", err);

    if (fd < 0)
        return fd;
    if (ioctl(fd, UFFDIO_API, &api) < 0) {
        int code = errno;

        close(fd);
        if (code == EINVAL)
            return gw_fail(err, -ENOTSUP, GW_BLAME_LOCAL,
                           "the kernel has no asynchronous userfaultfd write-protect: Linux 6.7 or later with "
                           "CONFIG_PTE_MARKER_UFFD_WP is needed");
        return gw_fail(err, -code, GW_BLAME_LOCAL, "UFFDIO_API: %s", strerror(code));
    }
    *ret_fd = fd;
    return 0;
}

/* A descriptor can be set up for a set of features once. features 0: *ret gets those that the kernel supports. */
static int agree(uint64_t features, int *ret_fd, uint64_t *ret, struct gw_error *err)
{
    struct uffdio_api api = {.api = UFFD_API, .features = features};
    int fd = open_any(0, "give CAP_SYS_PTRACE, or set vm.unprivileged_userfaultfd to 1 (a userfaultfd of user mode only is not "
                         "enough: KVM and other kernel code wait for pages too)", err);

    if (fd < 0)
        return fd;
    if (ioctl(fd, UFFDIO_API, &api) < 0) {
        int code = errno;

        close(fd);
        return gw_fail(err, -code, GW_BLAME_LOCAL, "UFFDIO_API: %s", strerror(code));
    }
    *ret_fd = fd;
    *ret = api.features;
    return 0;
}

int gw_uffd_open_wp(int *ret_fd, struct gw_error *err)
{
    const uint64_t wanted = GW_UFFD_FEATURE_PAGEFAULT_FLAG_WP | GW_UFFD_FEATURE_WP_HUGETLBFS_SHMEM | GW_UFFD_FEATURE_WP_UNPOPULATED;
    uint64_t has;
    int fd, r = agree(0, &fd, &has, err);

    if (r < 0)
        return r;
    close(fd);
    if (!(has & GW_UFFD_FEATURE_PAGEFAULT_FLAG_WP))
        return gw_fail(err, -ENOTSUP, GW_BLAME_LOCAL,
                       "the kernel cannot write-protect memory by userfaultfd: Linux 5.7 or later is needed, on x86-64, or 6.7 on arm64");
    return agree(has & wanted, ret_fd, &has, err);
}

int gw_uffd_open_missing(int *ret_fd, uint64_t *ret_features, struct gw_error *err)
{
    const uint64_t wanted = GW_UFFD_FEATURE_MISSING_HUGETLBFS | GW_UFFD_FEATURE_MISSING_SHMEM | GW_UFFD_FEATURE_THREAD_ID;
    uint64_t has;
    int fd, r;

    /* The machine is stopped meanwhile, so this avoids an extra call: kernels from 4.14 on have all of these features;
     * only for others they are queried first. */
    if (agree(wanted, ret_fd, ret_features, NULL) >= 0)
        return 0;
    r = agree(0, &fd, &has, err);
    if (r < 0)
        return r;
    close(fd);
    return agree(has & wanted, ret_fd, ret_features, err);
}

int gw_uffd_read(int fd, struct uffd_msg *msg, unsigned max, struct gw_error *err)
{
    ssize_t n;

    do
        n = read(fd, msg, max * sizeof *msg);
    while (n < 0 && errno == EINTR);
    if (n < 0 && errno == EAGAIN)
        return 0;
    if (n <= 0)
        return gw_fail(err, n ? -errno : -EIO, GW_BLAME_LOCAL, "userfaultfd: %s", n ? strerror(errno) : "it was closed");
    return (int)((size_t)n / sizeof *msg);
}
