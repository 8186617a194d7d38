/* SPDX-License-Identifier: MIT
 *
 * Large pieces of a file come out right, whatever of them is in the cache and whatever can be read past it.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "image/parked/bulk.h"

#define BYTES 300123u /* the last block is a part of one */

static uint8_t data[BYTES];

static void fill(int fd)
{
    for (size_t i = 0; i < BYTES; i++)
        data[i] = (uint8_t)(i * 31 + (i >> 8) * 7 + (i >> 16));
    assert_int_equal(write(fd, data, BYTES), BYTES);
}

/* A file on what the build lies on: mostly a disk. */
static int on_disk(void)
{
    char name[] = "test_bulk.XXXXXX";
    int fd = mkstemp(name);

    assert_true(fd >= 0);
    unlink(name);
    fill(fd);
    return fd;
}

static void forget(int fd)
{
    assert_int_equal(fsync(fd), 0);
    assert_int_equal(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED), 0);
}

/* Opens what fd is; ends with close_bulk. */
static void open_bulk(struct gw_bulk *b, int fd)
{
    struct gw_bytes *of;

    assert_int_equal(gw_bytes_file_new(dup(fd), &of, NULL), 0);
    gw_bulk_open(b, of);
}

static void close_bulk(struct gw_bulk *b)
{
    gw_bulk_close(b);
    b->of = gw_bytes_free(b->of);
}

/* As a user reads: which way is found out each time. *ret_direct: whether it was past the cache. */
static void read_one(struct gw_bulk *b, uint64_t at, size_t bytes, bool *ret_direct)
{
    uint8_t *room = aligned_alloc(GW_BULK_ALIGN, gw_div_up(gw_bulk_room(bytes), GW_BULK_ALIGN) * GW_BULK_ALIGN);
    const uint8_t *got = NULL;

    *ret_direct = gw_bulk_is_direct(b, at, bytes);
    if (*ret_direct)
        got = gw_bulk_direct(b, at, bytes, room);
    *ret_direct = got;
    if (!got) {
        struct iovec iov[3] = {{room, bytes / 3}, {room + bytes / 3, 0}, {room + bytes / 3, bytes - bytes / 3}};

        assert_true(gw_bulk_cached(b, at, iov, 3));
        got = room;
    }
    assert_memory_equal(got, data + at, bytes);
    free(room);
}

static void read_all(int fd, bool cold, bool *ret_direct)
{
    static const uint64_t places[] = {0, 1, 511, 4095, 4096, 4097, 131072, 262145, BYTES - 5000, BYTES - 1};
    static const size_t sizes[] = {1, 100, 4096, 5000, 131072, BYTES};
    struct gw_bulk b;

    *ret_direct = false;
    open_bulk(&b, fd);
    for (size_t i = 0; i < GW_ARRAY_LEN(places); i++)
        for (size_t k = 0; k < GW_ARRAY_LEN(sizes); k++) {
            bool direct;

            if (cold)
                forget(fd);
            read_one(&b, places[i], (size_t)GW_MIN(sizes[k], BYTES - places[i]), &direct);
            *ret_direct = *ret_direct || direct;
        }
    gw_bulk_close(&b);
    close_bulk(&b);
}

static void from_a_disk(void **state)
{
    int fd = on_disk(), probe;
    bool direct;
    char path[64];

    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    probe = open(path, O_RDONLY | O_DIRECT);
    read_all(fd, true, &direct);
    if (direct)
        assert_true(probe >= 0);
    if (probe >= 0)
        close(probe);
    close(fd);
}

/* What is in the cache is taken from there: also what has not reached the disk. */
static void from_the_cache(void **state)
{
    int fd = on_disk();
    bool direct;

    read_all(fd, false, &direct);
    assert_false(direct);
    close(fd);
}

static void from_memory(void **state)
{
    int fd = memfd_create("bulk", MFD_CLOEXEC);
    bool direct;

    fill(fd);
    read_all(fd, true, &direct);
    assert_false(direct);
    close(fd);
}

/* A file system that opens and then refuses: it is not asked again. */
static void refused(void **state)
{
    uint8_t *room = aligned_alloc(GW_BULK_ALIGN, 4 * GW_BULK_ALIGN);
    int fd = on_disk(), zero = open("/proc/self/mem", O_RDONLY);
    struct gw_bulk b;
    bool direct;

    forget(fd);
    open_bulk(&b, fd);
    if (b.direct_fd >= 0 && gw_bulk_is_direct(&b, 0, 5000)) {
        if (!gw_bulk_direct(&b, 0, 5000, room + 1)) /* as if it wanted more alignment than is there */
            assert_false(gw_bulk_is_direct(&b, 0, 5000));
    }
    gw_close_fd(&b.direct_fd);
    b.direct_fd = zero; /* one that cannot be read at 0 */
    atomic_store(&b.refused, false);
    assert_null(gw_bulk_direct(&b, 0, 5000, room));
    read_one(&b, 0, 5000, &direct);
    assert_false(direct);
    close_bulk(&b);
    free(room);
    close(fd);
}

/* Cut off under the reader's feet. */
static void cut(void **state)
{
    uint8_t *room = aligned_alloc(GW_BULK_ALIGN, gw_div_up(gw_bulk_room(BYTES), GW_BULK_ALIGN) * GW_BULK_ALIGN);
    struct iovec iov = {room, BYTES};
    int fd = on_disk();
    struct gw_bulk b;

    open_bulk(&b, fd);
    assert_int_equal(ftruncate(fd, 200000), 0);
    if (gw_bulk_is_direct(&b, 0, BYTES))
        assert_null(gw_bulk_direct(&b, 0, BYTES, room));
    assert_false(gw_bulk_cached(&b, 0, &iov, 1));
    iov = (struct iovec){room, 100};
    assert_false(gw_bulk_cached(&b, 250000, &iov, 1));
    close_bulk(&b);
    free(room);
    close(fd);
}

/* More vectors than one call takes. */
static void many_vectors(void **state)
{
    static struct iovec iov[3000];
    static uint8_t got[BYTES];
    int fd = on_disk();
    struct gw_bulk b;

    open_bulk(&b, fd);
    for (unsigned i = 0; i < GW_ARRAY_LEN(iov); i++)
        iov[i] = (struct iovec){got + i * 100, 100};
    assert_true(gw_bulk_cached(&b, 23, iov, GW_ARRAY_LEN(iov)));
    assert_memory_equal(got, data + 23, 100 * GW_ARRAY_LEN(iov));
    close_bulk(&b);
    close(fd);
}

static void nothing(void **state)
{
    struct gw_bulk b = {0};

    gw_bulk_close(&b);
    gw_bulk_open(&b, &(struct gw_bytes){.fd = -1});
    assert_false(gw_bulk_is_direct(&b, 0, 0));
    gw_bulk_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(from_a_disk), cmocka_unit_test(from_the_cache),
        cmocka_unit_test(from_memory), cmocka_unit_test(refused),
        cmocka_unit_test(cut),         cmocka_unit_test(many_vectors),
        cmocka_unit_test(nothing),
    };

    return cmocka_run_group_tests_name("bulk", tests, NULL, NULL);
}
