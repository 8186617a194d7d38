/* SPDX-License-Identifier: MIT
 *
 * A machine on a server is there when all of it is flushed, and not before: whatever fails, at each step. The server is
 * memory of this test.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "image/held.h"
#include "image/image.h"
#include "image/nbd.h"
#include "shelf.h"

#define SIZE (1u << 20)

static struct shelf shelf;
static struct gw_error err;

int __wrap_gw_nbd_open(const char *uri, struct gw_bytes **ret, struct gw_error *e);
int __wrap_gw_nbd_open(const char *uri, struct gw_bytes **ret, struct gw_error *e)
{
    assert_string_equal(uri, "nbd://there");
    *ret = &shelf.bytes;
    return 0;
}

static int up(void **state)
{
    err = (struct gw_error)GW_ERROR_INIT;
    shelf_open(&shelf, SIZE, 0);
    return 0;
}

static int down(void **state)
{
    shelf_close(&shelf);
    return 0;
}

static struct gw_held *open_held(bool replace)
{
    struct gw_held *h = NULL;

    if (gw_held_open("nbd://there", replace, &h, &err) < 0)
        fail_msg("%s", err.text);
    return h;
}

static void fails_to_open(bool replace, int code, const char *text)
{
    struct gw_held *h = NULL;

    shelf.freed = false;
    assert_int_equal(gw_held_open("nbd://there", replace, &h, &err), code);
    if (!strstr(err.text, text) || strncmp(err.text, "nbd://there: ", 13))
        fail_msg("'%s' is not in '%s'", text, err.text);
    assert_null(h);
    assert_true(shelf.freed);
    assert_int_equal(shelf.did, 0);
}

static int put(struct gw_held *h, uint64_t at, size_t bytes, int with)
{
    struct gw_bytes *b = gw_held_bytes(h);
    uint8_t *data = malloc(bytes);
    int r;

    memset(data, with, bytes);
    r = b->ops->write(b, data, bytes, at, &err);
    free(data);
    return r;
}

static bool all(const uint8_t *p, size_t bytes, int is)
{
    for (size_t i = 0; i < bytes; i++)
        if (p[i] != is)
            return false;
    return true;
}

/* In any order, also the beginning more than once; nothing of it is there before commit. */
static void test_comes_last(void **state)
{
    struct gw_held *h = open_held(false);

    assert_int_equal(put(h, GW_HELD_BYTES - 4096, 8192, 1), 0);
    assert_int_equal(put(h, 0, 8192, 2), 0);
    assert_int_equal(put(h, 0, 64, 3), 0);
    assert_int_equal(put(h, 600000 / 4096 * 4096, 4096, 4), 0);
    assert_true(all(shelf.data, GW_HELD_BYTES, 0));
    assert_true(all(shelf.data + GW_HELD_BYTES, 4096, 1));
    assert_int_equal(gw_held_end(h), 600000 / 4096 * 4096 + 4096);
    assert_int_equal(gw_held_commit(h, &err), 0);
    assert_true(all(shelf.safe, 64, 3));
    assert_true(all(shelf.safe + 64, 8192 - 64, 2));
    assert_true(all(shelf.safe + 8192, GW_HELD_BYTES - 4096 - 8192, 0));
    assert_true(all(shelf.safe + GW_HELD_BYTES - 4096, 8192, 1));
    assert_false(shelf.unaligned);
    gw_held_free(h);
    assert_true(shelf.freed);
    assert_true(all(shelf.safe, 64, 3));
}

static void test_taken_back(void **state)
{
    struct gw_held *h = open_held(false);

    assert_int_equal(put(h, 0, 4096, 2), 0);
    assert_int_equal(gw_held_commit(h, &err), 0);
    shelf.fails_at = shelf.did + 1; /* tried again */
    shelf.fail_for = 2;
    assert_int_equal(gw_held_revert(h, &err), 0);
    assert_true(all(shelf.safe, GW_HELD_BYTES, 0));
    gw_held_free(h);
}

static void test_left_alone(void **state)
{
    struct gw_held *h = open_held(false);

    assert_int_equal(put(h, 0, 4096, 2), 0);
    gw_held_free(h);
    assert_int_equal(shelf.did, 0);
    assert_null(gw_held_free(NULL));
}

/* What is there stays until the first write, which takes its beginning away for good. */
static void test_occupied(void **state)
{
    struct gw_held *h;

    shelf.data[GW_HELD_BYTES - 1] = 1;
    fails_to_open(false, -EEXIST, "it holds something already: its first 128 KiB are not zeros");
    memcpy(shelf.data, GW_PARKED_MAGIC, 8);
    fails_to_open(false, -EEXIST, "it holds a machine already (parked)");
    h = open_held(true);
    gw_held_free(h);
    assert_int_equal(shelf.did, 0);
    h = open_held(true);
    assert_int_equal(put(h, 500 << 10, 4096, 5), 0);
    assert_true(all(shelf.safe, GW_HELD_BYTES, 0));
    gw_held_free(h);
    assert_true(all(shelf.safe, GW_HELD_BYTES, 0));
}

static void test_what_it_must_be(void **state)
{
    shelf.bytes.writes = false;
    fails_to_open(true, -EROFS, "exports it read-only");
    shelf.bytes.writes = true;
    shelf.bytes.flushes = false;
    fails_to_open(true, -ENOTSUP, "does not support flush");
    shelf.bytes.flushes = true;
    shelf.bytes.align = 8192;
    fails_to_open(true, -ENOTSUP, "blocks of at least 8192 bytes, at most 4096 are supported");
    shelf.bytes.align = 512;
    shelf.bytes.size = 8191;
    fails_to_open(true, -ENOSPC, "it has 8191 bytes, too few");
}

/* Zeros may go beyond the end, other bytes may not. */
static void test_end(void **state)
{
    struct gw_held *h;

    shelf.bytes.size = SIZE - 512;
    h = open_held(false);
    assert_int_equal(put(h, SIZE - 4096, 4096, 0), 0);
    assert_int_equal(put(h, SIZE, 4096, 0), 0);
    assert_int_equal(gw_held_end(h), SIZE);
    assert_int_equal(put(h, SIZE - 4096, 4096, 1), -ENOSPC);
    assert_string_equal(err.text,
                        "nbd://there: it has 1048064 bytes, too few for this machine, which goes on at byte 1048064");
    assert_int_equal(put(h, 2 * SIZE, 4096, 1), -ENOSPC);
    assert_int_equal(gw_held_bytes(h)->ops->zero(gw_held_bytes(h), 0, 2 * SIZE, &err), 0);
    assert_false(shelf.unaligned);
    gw_held_free(h);
}

/* Each step fails, once or for good: a machine is there if, and only if, commit said so; unless the server can no
 * longer be reached. */
static void test_each_failure(void **state)
{
    for (unsigned fail_for = 1; fail_for < 100; fail_for += 98) {
        bool failed = true;

        for (unsigned at = 1; failed; at++) {
            struct gw_held *h;
            int r;

            memset(shelf.data, 0, SIZE);
            memset(shelf.safe, 0, SIZE);
            shelf.did = 0;
            shelf.data[0] = shelf.safe[0] = 9; /* of before */
            h = open_held(true);
            shelf.fails_at = at;
            shelf.fail_for = fail_for;
            err = (struct gw_error)GW_ERROR_INIT;
            r = put(h, 0, 4096, 2);
            if (r >= 0)
                r = put(h, 256 << 10, 4096, 3);
            if (r >= 0)
                r = gw_held_commit(h, &err);
            failed = r < 0;
            if (failed && fail_for > 1 && shelf.data[0] == 2)
                assert_non_null(strstr(err.text, "it may hold a machine nevertheless"));
            else if (failed)
                assert_true(shelf.safe[0] != 2 && shelf.data[0] != 2);
            else
                assert_true(shelf.safe[0] == 2 && shelf.safe[256 << 10] == 3);
            gw_held_free(h);
            assert_true(at < 20);
        }
    }
}

/* The same as the output of a writer: committed, taken back, without another name. */
static void test_as_output(void **state)
{
    static const uint8_t page[4096] = {7};
    struct gw_image_out out;

    assert_int_equal(gw_image_out_open_anywhere(&out, "nbd://there", false, &err), 0);
    assert_int_equal(out.fd, -1);
    assert_int_equal(gw_held_bytes(out.far)->ops->write(gw_held_bytes(out.far), page, sizeof page, 0, &err), 0);
    assert_int_equal(gw_image_out_revert(&out, NULL, &err), -EINVAL);
    assert_int_equal(gw_image_out_commit(&out, &err), 0);
    assert_int_equal(shelf.safe[0], 7);
    assert_int_equal(gw_image_out_revert(&out, "aside", &err), -ENOTSUP);
    assert_int_equal(shelf.safe[0], 7);
    assert_int_equal(gw_image_out_revert(&out, NULL, &err), 0);
    assert_int_equal(shelf.safe[0], 0);
    gw_image_out_close(&out);
    assert_true(shelf.freed);
    /* What is no machine does not go there. */
    assert_int_equal(gw_image_out_open(&out, "nbd://there", false, &err), -ENOTSUP);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_comes_last, up, down),
        cmocka_unit_test_setup_teardown(test_taken_back, up, down),
        cmocka_unit_test_setup_teardown(test_left_alone, up, down),
        cmocka_unit_test_setup_teardown(test_occupied, up, down),
        cmocka_unit_test_setup_teardown(test_what_it_must_be, up, down),
        cmocka_unit_test_setup_teardown(test_end, up, down),
        cmocka_unit_test_setup_teardown(test_each_failure, up, down),
        cmocka_unit_test_setup_teardown(test_as_output, up, down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
