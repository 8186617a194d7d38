/* SPDX-License-Identifier: MIT
 *
 * What stands behind the end of a machine: nothing, holes, zeros, other bytes, and where the first one of those is. Block devices:
 * tests/interop/test_volumes.py.
 */
#include <fcntl.h>

#include "files.h"

#include "image/behind.h"

#define MIB (1u << 20)

static struct gw_behind look(const struct file *f, uint64_t at)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_behind b;

    if (gw_behind_look(f->fd, at, &b, &err) < 0)
        fail_msg("%s", err.text);
    assert_false(b.roomy);
    return b;
}

static void test_nothing(void **state)
{
    struct file f = file_new("machine", 7);

    assert_int_equal(look(&f, 7).bytes, 0);
    assert_int_equal(look(&f, 100).bytes, 0); /* it was cut meanwhile */
    assert_int_equal(gw_file_bytes(f.fd), 7);
    close(f.fd);
}

static void test_zeros(void **state)
{
    static uint8_t zeros[3 * MIB];
    struct file written = file_new(zeros, sizeof zeros), holes = file_new("machine", 7);
    struct gw_behind b;

    b = look(&written, 7);
    assert_int_equal(b.at, 7);
    assert_int_equal(b.bytes, sizeof zeros - 7);
    assert_false(b.other);
    assert_int_equal(ftruncate(holes.fd, 1ll << 40), 0); /* nothing of it is read */
    b = look(&holes, 7);
    assert_int_equal(b.bytes, (1ull << 40) - 7);
    assert_false(b.other);
    close(written.fd);
    close(holes.fd);
}

/* Also the last byte, and those at the edges of what is read at once. */
static void test_other(void **state)
{
    static const uint64_t places[] = {7, 4096, MIB + 6, MIB + 7, 2 * MIB + 4711, 3 * MIB - 1};

    for (size_t i = 0; i < GW_ARRAY_LEN(places); i++) {
        struct file f = file_new("machine", 7);
        struct gw_behind b;

        assert_int_equal(ftruncate(f.fd, 3 * MIB), 0);
        assert_int_equal(pwrite(f.fd, "x", 1, (off_t)places[i]), 1);
        b = look(&f, 7);
        assert_true(b.other);
        assert_int_equal(b.other_at, places[i]);
        assert_int_equal(b.bytes, 3 * MIB - 7);
        if (places[i] + 1 < 3 * MIB)
            assert_false(look(&f, places[i] + 1).other);
        close(f.fd);
    }
}

/* What is no file has no size, and nothing that could be looked at. */
static void test_pipe(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_behind b;
    int ends[2];

    assert_int_equal(pipe(ends), 0);
    assert_true(gw_file_bytes(ends[0]) == UINT64_MAX);
    assert_int_equal(gw_behind_look(ends[0], 0, &b, &err), 0);
    assert_int_equal(b.bytes, 0);
    close(ends[0]);
    close(ends[1]);
}

/* Who opened it reads on where he was. */
static void test_place(void **state)
{
    struct file f = file_new("machine", 7);

    assert_int_equal(lseek(f.fd, 3, SEEK_SET), 3);
    assert_int_equal(gw_file_bytes(f.fd), 7);
    assert_int_equal(lseek(f.fd, 0, SEEK_CUR), 3);
    close(f.fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_nothing), cmocka_unit_test(test_zeros), cmocka_unit_test(test_other),
                                       cmocka_unit_test(test_pipe), cmocka_unit_test(test_place)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
