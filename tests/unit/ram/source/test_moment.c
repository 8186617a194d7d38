/* SPDX-License-Identifier: MIT
 *
 * Which page a fault is of, and what goes with it. (The moment itself, with a kernel and a guest that writes: test_protect.c.)
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <linux/userfaultfd.h>

#include <cmocka.h>

#include "ram/source/moment.h"

static struct gw_ram ram = {.page_bits = 12, .page_bytes = 4096};
static struct gw_ram_block a = {.name = "a", .pages = 40}, b = {.name = "b", .pages = 1000};
static struct gw_area areas[3];
static struct gw_moment m;
static uint64_t start, len;

int __wrap_ioctl(int fd, unsigned long request, void *arg);
int __wrap_ioctl(int fd, unsigned long request, void *arg)
{
    const struct uffdio_writeprotect *wp = arg;

    assert_true(request == UFFDIO_WRITEPROTECT);
    start = wp->range.start;
    len = wp->range.len;
    errno = EIO;
    return fd == 7 ? 0 : -1;
}

/* The first is not watched; the last host page of the second is not all of the guest's. */
static int up(void **state)
{
    areas[0] = (struct gw_area){.block = &a};
    areas[1] = (struct gw_area){.block = &a, .watch = {0x10000, 0x10000 + 42 * 4096, 0x10000 + 42 * 4096}, .step = 1};
    areas[2] = (struct gw_area){.block = &b, .watch = {0x800000, 0x800000 + 1024 * 4096, 0x800000 + 1024 * 4096}, .step = 512};
    m = (struct gw_moment){.ram = &ram, .areas = areas, .count = 3, .uffd = 7};
    return 0;
}

static void test_find(void **state)
{
    uint64_t page = 99;

    assert_null(gw_moment_find(&m, 0xffff, &page));
    assert_null(gw_moment_find(&m, 0x10000 + 42 * 4096, &page));
    assert_int_equal(page, 99);
    assert_ptr_equal(gw_moment_find(&m, 0x10000, &page), &areas[1]);
    assert_int_equal(page, 0);
    assert_ptr_equal(gw_moment_find(&m, 0x10000 + 4096 * 7 + 4095, &page), &areas[1]);
    assert_int_equal(page, 7);
    assert_ptr_equal(gw_moment_find(&m, 0x10000 + 4096 * 41, &page), &areas[1]); /* behind the used length */
    assert_int_equal(page, 39);
    assert_ptr_equal(gw_moment_find(&m, 0x800000 + 4096 * 600, &page), &areas[2]);
    assert_int_equal(page, 600);
}

static void around(const struct gw_area *area, uint64_t page, uint64_t first, uint64_t last)
{
    uint64_t f, l;

    gw_moment_around(area, page, &f, &l);
    assert_int_equal(f, first);
    assert_int_equal(l, last);
}

/* Sixteen pages, or a whole host page where that is more; never more than there are. */
static void test_around(void **state)
{
    around(&areas[1], 0, 0, 16);
    around(&areas[1], 15, 0, 16);
    around(&areas[1], 16, 16, 32);
    around(&areas[1], 39, 32, 40);
    around(&areas[2], 600, 512, 1000);
    around(&areas[2], 3, 0, 512);
}

/* The last page goes with all of its host page. */
static void test_protect(void **state)
{
    struct gw_error err = GW_ERROR_INIT;

    assert_int_equal(gw_moment_protect(&m, &areas[1], 16, 32, true, &err), 0);
    assert_int_equal(start, 0x10000 + 16 * 4096);
    assert_int_equal(len, 16 * 4096);
    assert_int_equal(gw_moment_protect(&m, &areas[1], 32, 40, true, &err), 0);
    assert_int_equal(len, 10 * 4096);
    m.uffd = 8;
    assert_int_equal(gw_moment_protect(&m, &areas[2], 0, 512, true, &err), -EIO);
    assert_int_equal(strncmp(err.text, "RAM block b: ", 13), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test_setup(test_find, up), cmocka_unit_test_setup(test_around, up),
                                       cmocka_unit_test_setup(test_protect, up)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
