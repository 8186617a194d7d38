/* SPDX-License-Identifier: MIT
 *
 * A userfaultfd, and why there is none: every way in which a kernel or a container says no. The program is linked with
 * --wrap for the calls. With a real one: test_pagemap.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <sys/syscall.h>

#include <cmocka.h>

#include "ram/page/pagemap_abi.h"
#include "ram/page/uffd.h"

static struct {
    int call;   /* errno of the system call; 0: it works */
    int open;   /* of the device */
    int by_dev; /* of asking the device */
    int api;
    unsigned long flags;
    uint64_t features;
    int made, device, opens, calls;
    uint64_t lacks; /* features */
} k;

static int give(int code, int *ret_fd)
{
    if (code) {
        errno = code;
        return -1;
    }
    return *ret_fd = dup(0);
}

long __wrap_syscall(long number, int flags);
long __wrap_syscall(long number, int flags)
{
    assert_int_equal(number, SYS_userfaultfd);
    k.flags = (unsigned)flags;
    k.calls++;
    return give(k.call, &k.made);
}

int __wrap_open64(const char *path, int flags);
int __wrap_open64(const char *path, int flags)
{
    assert_string_equal(path, "/dev/userfaultfd");
    k.opens++;
    return give(k.open, &k.device);
}

int __wrap_ioctl(int fd, unsigned long request, void *arg);
int __wrap_ioctl(int fd, unsigned long request, void *arg)
{
    if (request == GW_USERFAULTFD_IOC_NEW) {
        assert_int_equal(fd, k.device);
        k.flags = (unsigned long)arg;
        return give(k.by_dev, &k.made);
    }
    assert_true(request == UFFDIO_API);
    assert_int_equal(fd, k.made);
    k.features = ((struct uffdio_api *)arg)->features;
    if (!k.api && k.features & k.lacks) {
        errno = EINVAL;
        return -1;
    }
    ((struct uffdio_api *)arg)->features = ~k.lacks;
    errno = k.api;
    return k.api ? -1 : 0;
}

static bool is_open(int fd)
{
    return fcntl(fd, F_GETFD) >= 0;
}

static void test_works(void **state)
{
    for (int by_device = 0; by_device < 2; by_device++) {
        struct gw_error err = GW_ERROR_INIT;
        int fd = -7;

        memset(&k, 0, sizeof k);
        k.call = by_device ? EPERM : 0;
        assert_int_equal(gw_uffd_open_wp_async(&fd, &err), 0);
        assert_int_equal(fd, k.made);
        assert_true(is_open(fd));
        assert_int_equal(k.opens, by_device);
        assert_int_equal(k.flags, O_CLOEXEC | O_NONBLOCK | GW_UFFD_USER_MODE_ONLY);
        assert_true(k.features & GW_UFFD_FEATURE_WP_ASYNC);
        assert_true(k.features & GW_UFFD_FEATURE_WP_UNPOPULATED);
        close(fd);
        if (by_device)
            assert_false(is_open(k.device));
    }
}

static void test_refused(void **state)
{
    static const struct {
        int call, open, by_dev, api, want, opens;
        const char *text;
    } rows[] = {
        {ENOSYS, ENOENT, 0, 0, -ENOTSUP, 1, "no userfaultfd: the kernel lacks CONFIG_USERFAULTFD"},
        {EPERM, ENOENT, 0, 0, -EPERM, 1, "allow the system call in the seccomp filter, or give access to /dev/userfaultfd"},
        {EACCES, EACCES, 0, 0, -EPERM, 1, "allow the system call"},
        {EPERM, 0, EPERM, 0, -EPERM, 1, "allow the system call"},
        {EINVAL, ENOENT, 0, 0, -EINVAL, 1, "userfaultfd: Invalid argument"},
        {ENOSYS, 0, ENOTTY, 0, -ENOTSUP, 1, "no userfaultfd"},
        /* Nobody's permission would help. */
        {EMFILE, 0, 0, 0, -EMFILE, 0, "userfaultfd: Too many open files"},
        {ENFILE, 0, 0, 0, -ENFILE, 0, "userfaultfd: "},
        {ENOMEM, 0, 0, 0, -ENOMEM, 0, "userfaultfd: "},
        /* Too old. */
        {0, 0, 0, EINVAL, -ENOTSUP, 0, "Linux 6.7 or later with CONFIG_PTE_MARKER_UFFD_WP is needed"},
        {EPERM, 0, 0, EINVAL, -ENOTSUP, 1, "Linux 6.7 or later"},
        {0, 0, 0, EIO, -EIO, 0, "UFFDIO_API: Input/output error"},
    };

    for (size_t i = 0; i < GW_ARRAY_LEN(rows); i++) {
        struct gw_error err = GW_ERROR_INIT;
        int fd = -7;

        k.call = rows[i].call;
        k.open = rows[i].open;
        k.by_dev = rows[i].by_dev;
        k.api = rows[i].api;
        k.opens = 0;
        k.made = k.device = -1;
        assert_int_equal(gw_uffd_open_wp_async(&fd, &err), rows[i].want);
        assert_int_equal(err.code, rows[i].want);
        assert_int_equal(err.blame, GW_BLAME_LOCAL);
        if (!strstr(err.text, rows[i].text))
            fail_msg("%zu: '%s' is not in '%s'", i, rows[i].text, err.text);
        assert_int_equal(k.opens, rows[i].opens);
        assert_int_equal(fd, -7);
        assert_true(k.made < 0 || !is_open(k.made));
        assert_true(k.device < 0 || !is_open(k.device));
    }
}

/* For missing pages the descriptor must hear of faults in kernel code too, and the features are those that the kernel has. */
static void test_missing(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    uint64_t features = 0;
    int fd = -7;

    memset(&k, 0, sizeof k);
    assert_int_equal(gw_uffd_open_missing(&fd, &features, &err), 0);
    assert_int_equal(k.flags, O_CLOEXEC | O_NONBLOCK);
    assert_int_equal(k.calls, 1);
    assert_true(features & k.features & GW_UFFD_FEATURE_THREAD_ID);
    close(fd);
    k.lacks = UINT64_MAX; /* this kernel has none, and in the end none is asked for */
    assert_int_equal(gw_uffd_open_missing(&fd, &features, &err), 0);
    assert_int_equal(features | k.features, 0);
    assert_true(is_open(fd));
    close(fd);
    k.call = EPERM;
    k.open = ENOENT;
    assert_int_equal(gw_uffd_open_missing(&fd, &features, &err), -EPERM);
    assert_string_equal(err.text, "userfaultfd: Operation not permitted; give CAP_SYS_PTRACE, or set vm.unprivileged_userfaultfd to 1 (a "
                                  "userfaultfd of user mode only is not enough: KVM and other kernel code wait for pages too), or give "
                                  "access to /dev/userfaultfd");
    /* The device may have been handed in. */
    k.open = 0;
    assert_int_equal(gw_uffd_open_missing(&fd, &features, &err), 0);
    assert_int_equal(k.flags, O_CLOEXEC | O_NONBLOCK);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_works),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_missing),
    };

    return cmocka_run_group_tests_name("uffd", tests, NULL, NULL);
}
