/* SPDX-License-Identifier: MIT
 *
 * Bytes that are appended, in parts of any size, are in the spool's pieces, from wherever they begin; and what fails
 * there is told.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../shelf.h"
#include "image/parked/append.h"

#define PIECE 8192u
#define SIZE  (40 * PIECE)

static struct shelf shelf;
static struct gw_error err;

static int up(void **state)
{
    err = (struct gw_error)GW_ERROR_INIT;
    shelf_open(&shelf, SIZE, 0xee);
    return 0;
}

static int down(void **state)
{
    shelf_close(&shelf);
    return 0;
}

static uint8_t byte_at(uint64_t i)
{
    return (uint8_t)(i * 7 + i / 251);
}

/* Parts of `step` bytes and less, from `fill` on, up to `end`. */
static int append(uint64_t at, size_t fill, uint64_t end, size_t step)
{
    struct gw_spool *spool;
    struct gw_append a;
    uint8_t *data = malloc(SIZE), *piece;
    int r = gw_spool_new_far(&shelf.bytes, PIECE, 4, &spool, &err);

    assert_int_equal(r, 0);
    for (uint64_t i = 0; i < SIZE; i++)
        data[i] = byte_at(i);
    piece = fill ? gw_spool_room(spool) : NULL;
    if (fill)
        memcpy(piece, data + at, fill);
    gw_append_begin(&a, spool, PIECE, piece, at, fill);
    for (uint64_t i = at + fill; i < end && r >= 0;) {
        size_t n = (size_t)GW_MIN(step, end - i);

        r = gw_append_put(&a, data + i, n, &err);
        i += n;
    }
    if (r >= 0)
        r = gw_append_end(&a, &err);
    gw_spool_free(spool);
    free(data);
    return r;
}

static void is_there(uint64_t at, uint64_t end)
{
    uint64_t padded = (end + GW_SPOOL_ALIGN - 1) / GW_SPOOL_ALIGN * GW_SPOOL_ALIGN;

    for (uint64_t i = 0; i < SIZE; i++)
        if (shelf.data[i] != (i < at || i >= padded ? 0xee : i < end ? byte_at(i) : 0))
            fail_msg("byte %" PRIu64 " of %" PRIu64 " to %" PRIu64, i, at, end);
}

static void test_parts(void **state)
{
    static const uint64_t ends[] = {PIECE * 3, PIECE * 3 + 1, PIECE * 9 - 1, PIECE * 20 + GW_SPOOL_ALIGN};
    static const size_t steps[] = {1, 977, PIECE, 3 * PIECE + 5, SIZE};

    for (unsigned i = 0; i < GW_ARRAY_LEN(ends); i++)
        for (unsigned k = 0; k < GW_ARRAY_LEN(steps); k++) {
            memset(shelf.data, 0xee, SIZE);
            assert_int_equal(append(0, 0, ends[i], steps[k]), 0);
            is_there(0, ends[i]);
            memset(shelf.data, 0xee, SIZE);
            assert_int_equal(append(2 * PIECE, 100, ends[i], steps[k]), 0);
            is_there(2 * PIECE, ends[i]);
        }
}

static void test_nothing(void **state)
{
    assert_int_equal(append(0, 0, 0, 1), 0);
    is_there(0, 0);
}

static void test_failure(void **state)
{
    for (unsigned i = 1; i <= 20; i++) {
        shelf.did = 0;
        shelf.fails_at = i;
        shelf.fail_for = 1;
        err = (struct gw_error)GW_ERROR_INIT;
        assert_int_equal(append(0, 0, 20 * PIECE, 1000), -EIO);
        assert_non_null(strstr(err.text, "shelf: byte "));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_parts, up, down),
        cmocka_unit_test_setup_teardown(test_nothing, up, down),
        cmocka_unit_test_setup_teardown(test_failure, up, down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
