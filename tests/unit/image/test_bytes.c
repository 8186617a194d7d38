/* SPDX-License-Identifier: MIT
 *
 * Bytes of a file: all of a range, or an error; never more than the file has.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "image/bytes.h"

#define BYTES 300000u

static uint8_t data[BYTES];

static struct gw_bytes *some(int *ret_fd)
{
    struct gw_bytes *b = NULL;
    int fd = fileno(tmpfile());

    for (unsigned i = 0; i < BYTES; i++)
        data[i] = (uint8_t)(i * 2654435761u >> 24);
    assert_int_equal(pwrite(fd, data, BYTES, 0), BYTES);
    assert_int_equal(gw_bytes_file_new(dup(fd), &b, NULL), 0);
    assert_int_equal(b->size, BYTES);
    *ret_fd = fd;
    return b;
}

static void test_ranges(void **state)
{
    static const uint64_t bad[][2] = {{BYTES, 1}, {BYTES - 1, 2}, {UINT64_MAX, 1}, {UINT64_MAX - 5, 6}, {0, BYTES + 1}};
    static uint8_t got[BYTES + 1];
    struct gw_error err = GW_ERROR_INIT;
    int fd;
    struct gw_bytes *b = some(&fd);

    assert_int_equal(gw_bytes_read(b, got, BYTES, 0, &err), 0);
    assert_memory_equal(got, data, BYTES);
    assert_int_equal(gw_bytes_read(b, got, 1, BYTES - 1, &err), 0);
    assert_int_equal(got[0], data[BYTES - 1]);
    assert_int_equal(gw_bytes_read(b, got, 0, BYTES, &err), 0);
    for (unsigned i = 0; i < GW_ARRAY_LEN(bad); i++) {
        assert_int_equal(gw_bytes_read(b, got, bad[i][1], bad[i][0], &err), -EPROTO);
        assert_non_null(strstr(err.text, "the file ends before byte "));
    }
    gw_bytes_ahead(b, 0, BYTES);
    gw_bytes_free(b);
}

/* More vectors than one call takes. */
static void test_vectors(void **state)
{
    static struct iovec iov[2990];
    static uint8_t got[BYTES];
    int fd;
    struct gw_bytes *b = some(&fd);

    for (unsigned i = 0; i < GW_ARRAY_LEN(iov); i++)
        iov[i] = (struct iovec){got + i * 100, i % 7 ? 100 : 0};
    for (size_t i = 1, at = 0; i < GW_ARRAY_LEN(iov); at += iov[i++].iov_len)
        iov[i].iov_base = got + at;
    assert_int_equal(gw_bytes_readv(b, iov, GW_ARRAY_LEN(iov), 23, NULL), 0);
    assert_memory_equal(got, data + 23, 100 * 2562); /* 428 of them are empty */
    gw_bytes_free(b);
}

/* Cut off under the reader's feet. */
static void test_cut(void **state)
{
    static uint8_t got[BYTES];
    struct gw_error err = GW_ERROR_INIT;
    int fd;
    struct gw_bytes *b = some(&fd);

    assert_int_equal(ftruncate(fd, 200000), 0);
    assert_int_equal(gw_bytes_read(b, got, BYTES, 0, &err), -EPROTO);
    assert_string_equal(err.text, "the file ends before byte 200001");
    gw_bytes_free(b);
    assert_null(gw_bytes_free(NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_ranges), cmocka_unit_test(test_vectors), cmocka_unit_test(test_cut)};

    return cmocka_run_group_tests_name("bytes", tests, NULL, NULL);
}
