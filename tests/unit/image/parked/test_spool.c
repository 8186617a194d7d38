/* SPDX-License-Identifier: MIT
 *
 * What goes into a spool is in the file, whatever the disk does; and what it cannot do is told.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "failing_writes.h"
#include "image/parked/spool.h"

#define PIECE  (64u << 10)
#define PLACES 40u

static uint64_t dice(uint64_t *s)
{
    *s = *s * 6364136223846793005ull + 1442695040888963407ull;
    return *s >> 33;
}

static int temporary(void)
{
    char path[] = "/var/tmp/godwit-spool-XXXXXX"; /* a disk, mostly: there O_DIRECT is real */
    int fd = mkstemp(path);

    assert_true(fd >= 0);
    unlink(path);
    return fd;
}

/* Pieces of any size anywhere, over each other too, against a file in memory. */
static void pieces(uint64_t seed)
{
    struct gw_error err = GW_ERROR_INIT;
    uint8_t *want = calloc(PLACES + 1, PIECE), *got = calloc(PLACES + 1, PIECE);
    size_t end = 0;
    struct gw_spool *s;
    struct stat st;
    int fd = temporary();

    assert_int_equal(gw_spool_new(fd, PIECE, 5, &s, &err), 0);
    for (unsigned i = 0; i < 400; i++) {
        size_t bytes = (1 + dice(&seed) % (PIECE / GW_SPOOL_ALIGN)) * GW_SPOOL_ALIGN;
        size_t at = dice(&seed) % (PLACES * PIECE / GW_SPOOL_ALIGN) * GW_SPOOL_ALIGN;
        uint8_t *room = gw_spool_room(s);

        assert_non_null(room);
        assert_ptr_equal(room, gw_spool_room(s));
        assert_int_equal((uintptr_t)room % GW_SPOOL_ALIGN, 0);
        for (size_t k = 0; k < bytes; k += 512)
            memset(room + k, (int)(dice(&seed) & 255), 512);
        memcpy(want + at, room, bytes);
        gw_spool_put(s, at, bytes);
        end = GW_MAX(end, at + bytes);
        if (i % 97 == 0)
            assert_int_equal(gw_spool_flush(s, &err), 0);
    }
    assert_int_equal(gw_spool_flush(s, &err), 0);
    memcpy(want + 100, "patched", 7);
    assert_int_equal(gw_spool_patch(s, "patched", 7, 100, &err), 0);
    gw_spool_free(s);
    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(st.st_size, end);
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_DIRECT);
    assert_int_equal(pread(fd, got, end, 0), end);
    assert_memory_equal(got, want, end);
    close(fd);
    free(want);
    free(got);
}

static void anywhere(void **state)
{
    pieces(1);
    pieces(2);
}

static void short_writes(void **state)
{
    atomic_store(&writes.small, true);
    pieces(3);
    atomic_store(&writes.small, false);
}

static void direct_is_refused_late(void **state)
{
    atomic_store(&writes.no_direct, true);
    pieces(4);
    atomic_store(&writes.no_direct, false);
}

/* Small ones first, slow: what overlaps must not overtake. */
static void order(void **state)
{
    atomic_store(&writes.slow_us, 300);
    pieces(5);
    atomic_store(&writes.slow_us, 0);
}

static void full_disk(void **state)
{
    for (unsigned n = 0; n < 12; n++) {
        struct gw_error err = GW_ERROR_INIT;
        struct gw_spool *s;
        int fd = temporary();
        unsigned put = 0;
        uint8_t *room;

        atomic_store(&writes.calls, 0);
        atomic_store(&writes.fail_from, n);
        atomic_store(&writes.error, ENOSPC);
        assert_int_equal(gw_spool_new(fd, PIECE, 3, &s, &err), 0);
        for (; put < 100 && (room = gw_spool_room(s)); put++) {
            memset(room, 1, PIECE);
            gw_spool_put(s, (uint64_t)put * PIECE, PIECE);
        }
        assert_in_range(put, n, n + 6);
        assert_int_equal(gw_spool_flush(s, &err), -ENOSPC);
        assert_int_equal(err.blame, GW_BLAME_LOCAL);
        assert_non_null(strstr(err.text, "writing at byte"));
        assert_null(gw_spool_room(s));
        gw_spool_free(s);
        atomic_store(&writes.error, 0);
        close(fd);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(anywhere), cmocka_unit_test(short_writes), cmocka_unit_test(direct_is_refused_late),
        cmocka_unit_test(order),    cmocka_unit_test(full_disk),
    };

    return cmocka_run_group_tests_name("spool", tests, NULL, NULL);
}
