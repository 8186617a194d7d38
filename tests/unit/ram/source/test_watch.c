/* SPDX-License-Identifier: MIT
 *
 * A block that is to be write-protected: where it begins and ends, and why it cannot be. The program is linked with --wrap=ioctl
 * and --wrap=madvise. With a real kernel: test_protect.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "ram/source/watch.h"

#define FD 4242

static size_t page;
static uint8_t *memory;
static struct {
    int registers, protects, again, madvises; /* errno of each; again: how often protecting says EAGAIN first */
    bool cannot;                              /* the kernel registers it and cannot protect it */
    uint64_t start, len, mode;
    unsigned calls, unregistered;
} k;

int __wrap_ioctl(int fd, unsigned long request, void *arg);
int __wrap_ioctl(int fd, unsigned long request, void *arg)
{
    assert_int_equal(fd, FD);
    k.calls++;
    if (request == UFFDIO_REGISTER) {
        struct uffdio_register *reg = arg;

        k.start = reg->range.start;
        k.len = reg->range.len;
        assert_int_equal(reg->mode, UFFDIO_REGISTER_MODE_WP);
        reg->ioctls = k.cannot ? 0 : 1ull << _UFFDIO_WRITEPROTECT;
        errno = k.registers;
        return k.registers ? -1 : 0;
    }
    if (request == UFFDIO_UNREGISTER) {
        k.unregistered++;
        return 0;
    }
    assert_true(request == UFFDIO_WRITEPROTECT);
    if (k.again) {
        k.again--;
        errno = EAGAIN;
        return -1;
    }
    k.start = ((struct uffdio_writeprotect *)arg)->range.start;
    k.len = ((struct uffdio_writeprotect *)arg)->range.len;
    k.mode = ((struct uffdio_writeprotect *)arg)->mode;
    errno = k.protects;
    return k.protects ? -1 : 0;
}

int __wrap_madvise(void *p, size_t n, int advice);
int __wrap_madvise(void *p, size_t n, int advice)
{
    errno = k.madvises;
    return k.madvises ? -1 : 0;
}

static struct gw_ram_block block(size_t at, uint64_t used, uint64_t max)
{
    return (struct gw_ram_block){.name = "b", .host = memory + at, .used_bytes = used, .max_bytes = max, .page_bytes = page};
}

static int up(void **state)
{
    page = (size_t)sysconf(_SC_PAGESIZE);
    memset(&k, 0, sizeof k);
    memory = mmap(NULL, 16 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return memory == MAP_FAILED;
}

static int down(void **state)
{
    return munmap(memory, 16 * page);
}

/* Whole host pages; watched as far as it may grow, where memory is there. */
static void test_place(void **state)
{
    struct gw_ram_block b = block(0, page + 1, 8 * page);
    struct gw_watch w = {0};

    assert_int_equal(gw_watch_begin(FD, &b, &w, NULL), 0);
    assert_int_equal(w.start, (uintptr_t)memory);
    assert_int_equal(w.end - w.start, 2 * page);
    assert_int_equal(w.limit - w.start, 8 * page);
    assert_int_equal(k.len, 8 * page);
    assert_int_equal(munmap(memory + 6 * page, page), 0);
    assert_int_equal(gw_watch_begin(FD, &b, &w, NULL), 0);
    assert_int_equal(w.limit, w.end);
    assert_int_equal(k.len, 2 * page);
}

static void test_not_aligned(void **state)
{
    struct gw_ram_block b = block(64, page, page);
    struct gw_error err = GW_ERROR_INIT;
    struct gw_watch w = {0};

    assert_int_equal(gw_watch_begin(FD, &b, &w, &err), -EINVAL);
    assert_non_null(strstr(err.text, "does not begin on a host page"));
    assert_int_equal(k.calls, 0);
    assert_int_equal(w.end, 0);
}

static void test_refused(void **state)
{
    static const struct {
        int code;
        enum gw_blame blame;
        const char *text;
    } each[] = {{EBUSY, GW_BLAME_EMBEDDER, "another userfaultfd watches it"},
                {EINVAL, GW_BLAME_EMBEDDER, "the kernel cannot write-protect this kind of memory; use"},
                {EPERM, GW_BLAME_EMBEDDER, "the file behind it was opened read-only"},
                {ENOMEM, GW_BLAME_LOCAL, "Cannot allocate memory"}};
    struct gw_ram_block b = block(0, page, page);
    struct gw_error err = GW_ERROR_INIT;
    struct gw_watch w = {0};

    for (unsigned i = 0; i < GW_ARRAY_LEN(each); i++) {
        k.registers = each[i].code;
        assert_int_equal(gw_watch_begin(FD, &b, &w, &err), -each[i].code);
        assert_int_equal(err.blame, each[i].blame);
        if (!strstr(err.text, each[i].text))
            fail_msg("%s", err.text);
    }
    assert_int_equal(k.unregistered, 0);
    k.registers = 0;
    k.cannot = true;
    assert_int_equal(gw_watch_begin(FD, &b, &w, &err), -ENOTSUP);
    assert_int_equal(k.unregistered, 1);
    assert_int_equal(w.end, 0);
}

static void test_protect(void **state)
{
    struct gw_error err = GW_ERROR_INIT;

    k.again = 3;
    assert_int_equal(gw_watch_protect(FD, 0x10000, 0x30000, true, &err), 0);
    assert_int_equal(k.calls, 4);
    assert_int_equal(k.start, 0x10000);
    assert_int_equal(k.len, 0x20000);
    assert_int_equal(k.mode, UFFDIO_WRITEPROTECT_MODE_WP);
    assert_int_equal(gw_watch_protect(FD, 0x10000, 0x30000, false, &err), 0);
    assert_int_equal(k.mode, 0);
    k.protects = ENOENT;
    assert_int_equal(gw_watch_protect(FD, 0x10000, 0x30000, true, &err), -ENOENT);
    assert_int_equal(err.blame, GW_BLAME_LOCAL);
}

/* Old kernels do not know the call: each page is read. */
static void test_populate(void **state)
{
    struct gw_ram_block b = block(0, 4 * page, 4 * page);
    struct gw_error err = GW_ERROR_INIT;

    assert_int_equal(gw_watch_populate((uintptr_t)memory, (uintptr_t)memory + 4 * page, &b, &err), 0);
    k.madvises = EINVAL;
    assert_int_equal(gw_watch_populate((uintptr_t)memory, (uintptr_t)memory + 4 * page, &b, &err), 0);
    k.madvises = EFAULT;
    assert_int_equal(gw_watch_populate((uintptr_t)memory, (uintptr_t)memory + 4 * page, &b, &err), -EFAULT);
    assert_int_equal(strncmp(err.text, "RAM block b: ", 13), 0);
}

static void test_end(void **state)
{
    struct gw_watch w = {0};

    gw_watch_end(FD, &w); /* of what is not watched */
    assert_int_equal(k.calls, 0);
    w = (struct gw_watch){.start = 0x10000, .end = 0x20000, .limit = 0x30000};
    k.protects = EIO; /* made good when the descriptor is closed */
    gw_watch_end(FD, &w);
    assert_int_equal(k.mode, 0);
    assert_int_equal(k.unregistered, 1);
    assert_int_equal(w.end, 0);
}

#define T(f) cmocka_unit_test_setup_teardown(f, up, down)

int main(void)
{
    const struct CMUnitTest tests[] = {T(test_place),   T(test_not_aligned), T(test_refused),
                                       T(test_protect), T(test_populate),    T(test_end)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
