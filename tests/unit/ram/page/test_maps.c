/* SPDX-License-Identifier: MIT
 *
 * What kind of memory is mapped somewhere: every kind, alone and beside another, to the page. The program is linked with
 * --wrap for opening a file, so that the list of mappings can be another one, or none.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "ram/page/maps.h"

static const char *instead; /* of /proc/self/maps; "": none */

FILE *__real_fopen64(const char *path, const char *mode);
FILE *__wrap_fopen64(const char *path, const char *mode);
FILE *__wrap_fopen64(const char *path, const char *mode)
{
    if (!instead)
        return __real_fopen64(path, mode);
    if (!*instead) {
        errno = EACCES;
        return NULL;
    }
    return fmemopen((void *)instead, strlen(instead), "r");
}

static size_t page;

static enum gw_maps_kind kind(const uint8_t *p, size_t from, size_t to)
{
    struct gw_error err = GW_ERROR_INIT;
    enum gw_maps_kind k = (enum gw_maps_kind)99;

    if (gw_maps_kind((uintptr_t)p + from, (uintptr_t)p + to, &k, &err) < 0)
        fail_msg("%s", err.text);
    return k;
}

static uint8_t *map(size_t pages, int prot, int flags, int fd)
{
    uint8_t *p = mmap(NULL, pages * page, prot, flags, fd, 0);

    assert_ptr_not_equal(p, MAP_FAILED);
    return p;
}

static void test_anonymous(void **state)
{
    uint8_t *p = map(8, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1);

    assert_int_equal(kind(p, 0, 8 * page), GW_MAPS_ANONYMOUS);
    /* Not to whole pages; nothing at all. */
    assert_int_equal(kind(p, 5, 8 * page - 5), GW_MAPS_ANONYMOUS);
    assert_int_equal(kind(p, 0, 0), GW_MAPS_ANONYMOUS);
    /* Several mappings beside each other are as good as one. */
    assert_int_equal(mprotect(p + 2 * page, page, PROT_READ), 0);
    assert_int_equal(mprotect(p + 5 * page, page, PROT_NONE), 0);
    assert_int_equal(kind(p, 0, 8 * page), GW_MAPS_ANONYMOUS);
    munmap(p, 8 * page);
    assert_int_equal(kind(p, 0, 8 * page), GW_MAPS_HOLES);
}

/* A hole of a page, first, in the middle, last. */
static void test_holes(void **state)
{
    for (unsigned hole = 0; hole < 4; hole++) {
        uint8_t *p = map(4, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);

        munmap(p + hole * page, page);
        assert_int_equal(kind(p, 0, 4 * page), GW_MAPS_HOLES);
        for (unsigned i = 0; i < 4; i++)
            assert_int_equal(kind(p, i * page, (i + 1) * page), i == hole ? GW_MAPS_HOLES : GW_MAPS_ANONYMOUS);
        munmap(p, 4 * page);
    }
    /* Behind all that is mapped. */
    assert_int_equal(kind(NULL, UINTPTR_MAX - 2 * page, UINTPTR_MAX - page), GW_MAPS_HOLES);
}

/* Memory that others can change, and files, make all of a range OTHER; by itself shared memory is SHARED. */
static void test_other(void **state)
{
    FILE *f = tmpfile();
    int fd = fileno(f);
    int memfd = memfd_create("test", MFD_CLOEXEC);

    assert_int_equal(ftruncate(fd, (off_t)(4 * page)), 0);
    assert_int_equal(ftruncate(memfd, (off_t)(4 * page)), 0);
    for (unsigned i = 0; i < 4; i++) {
        uint8_t *p = map(4, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1), *o = p + page;
        const int flags = i == 0 ? MAP_SHARED | MAP_ANONYMOUS : i == 1 ? MAP_PRIVATE : MAP_SHARED;

        assert_ptr_equal(
            mmap(o, page, PROT_READ | PROT_WRITE, flags | MAP_FIXED, i == 0 ? -1 : i == 3 ? memfd : fd, 0), o);
        assert_int_equal(kind(p, page, 2 * page), i == 1 ? GW_MAPS_OTHER : GW_MAPS_SHARED);
        assert_int_equal(kind(p, 0, 4 * page), GW_MAPS_OTHER);
        assert_int_equal(kind(p, 0, page), GW_MAPS_ANONYMOUS);
        assert_int_equal(kind(p, 2 * page, 4 * page), GW_MAPS_ANONYMOUS);
        /* A hole beside it is what counts. */
        munmap(p + 3 * page, page);
        assert_int_equal(kind(p, 0, 4 * page), GW_MAPS_HOLES);
        munmap(p, 4 * page);
    }
    close(memfd);
    fclose(f);
}

static void test_failures(void **state)
{
    enum gw_maps_kind k = (enum gw_maps_kind)99;
    struct gw_error err = GW_ERROR_INIT;

    instead = "";
    assert_int_equal(gw_maps_kind(0x1000, 0x2000, &k, &err), -EACCES);
    assert_int_equal(err.blame, GW_BLAME_LOCAL);
    assert_string_equal(err.text, "/proc/self/maps: Permission denied");
    instead = "what is this\n";
    assert_int_equal(gw_maps_kind(0x1000, 0x2000, &k, &err), -EIO);
    assert_string_equal(err.text, "/proc/self/maps: a line that is not understood");
    instead = "1000-2000 rw-p 00000000 00:00\n"; /* cut off */
    assert_int_equal(gw_maps_kind(0x1000, 0x2000, &k, &err), -EIO);
    assert_int_equal(k, 99);
    /* What stands behind the range does not matter. */
    instead = "1000-2000 rw-p 00000000 00:00 0\nnonsense\n";
    assert_int_equal(gw_maps_kind(0x1000, 0x2000, &k, &err), 0);
    assert_int_equal(k, GW_MAPS_ANONYMOUS);
    instead = "1000-2000 rw-p 00000000 00:00 0 \n2000-3000 rw-p 00000000 00:05 77 /dev/zero (deleted)\n";
    assert_int_equal(gw_maps_kind(0x1800, 0x2800, &k, &err), 0);
    assert_int_equal(k, GW_MAPS_OTHER);
    instead = NULL;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_anonymous),
        cmocka_unit_test(test_holes),
        cmocka_unit_test(test_other),
        cmocka_unit_test(test_failures),
    };

    page = (size_t)sysconf(_SC_PAGESIZE);
    return cmocka_run_group_tests_name("maps", tests, NULL, NULL);
}
