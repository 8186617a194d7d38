/* SPDX-License-Identifier: MIT
 *
 * A machine at rest on a server: which formats stay there, and what a copy is. The server is memory of this test.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "image/far.h"
#include "image/nbd.h"

#define LARGE ((18u << 20) + (5u << 16) + 77) /* more than is copied at a time; its last piece is cut */

static struct {
    struct gw_bytes bytes;
    uint8_t *data;
    int open_fails;
    unsigned opened, freed;
    uint64_t bad; /* reads of this byte fail */
} far;

static int far_readv(struct gw_bytes *b, struct iovec *iov, unsigned count, uint64_t at, struct gw_error *err)
{
    bool bad = false;

    for (unsigned i = 0; i < count; at += iov[i++].iov_len) {
        memcpy(iov[i].iov_base, far.data + at, iov[i].iov_len);
        bad |= far.bad >= at && far.bad - at < iov[i].iov_len;
    }
    return bad ? gw_fail(err, -EIO, GW_BLAME_PEER, "a bad disk there") : 0;
}

static void far_free(struct gw_bytes *b)
{
    far.freed++;
}

int __wrap_gw_nbd_open(const char *uri, struct gw_bytes **ret, struct gw_error *err);
int __wrap_gw_nbd_open(const char *uri, struct gw_bytes **ret, struct gw_error *err)
{
    far.opened++;
    if (strcmp(uri, "nbd://there"))
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "another URI");
    if (far.open_fails)
        return gw_fail(err, far.open_fails, GW_BLAME_CHANNEL, "nobody is there");
    *ret = &far.bytes;
    return 0;
}

static int up(void **state)
{
    static const struct gw_bytes_ops ops = {.readv = far_readv, .free = far_free};

    memset(&far, 0, sizeof far);
    far.data = calloc(1, LARGE);
    far.bytes = (struct gw_bytes){.ops = &ops, .size = LARGE, .fd = -1, .depth = 3};
    far.bad = UINT64_MAX;
    return far.data ? 0 : -1;
}

static int down(void **state)
{
    free(far.data);
    return 0;
}

static const struct gw_image_format_ops *format;
static struct gw_bytes *bytes;
static int fd;

static int open_far(const char *folder, struct gw_error *err)
{
    format = NULL;
    bytes = NULL;
    fd = -1;
    return gw_far_open("nbd://there", folder, &format, &bytes, &fd, err);
}

/* Nothing is given out, and the connection has ended. */
static void fails(const char *folder, int code, const char *text, unsigned freed)
{
    struct gw_error err = GW_ERROR_INIT;

    assert_int_equal(open_far(folder, &err), code);
    if (!strstr(err.text, text))
        fail_msg("%s", err.text);
    assert_null(format);
    assert_null(bytes);
    assert_int_equal(fd, -1);
    assert_int_equal(far.freed, freed);
}

static void is_copied(void)
{
    uint8_t *got = malloc((size_t)far.bytes.size + 1);
    struct stat st;

    assert_int_equal(open_far(NULL, NULL), 0);
    assert_null(format);
    assert_null(bytes);
    assert_true(fd >= 0);
    assert_int_equal(far.freed, 1);
    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(st.st_size, far.bytes.size);
    assert_int_equal(st.st_nlink, 0); /* it has no name */
    assert_int_equal(pread(fd, got, (size_t)far.bytes.size + 1, 0), far.bytes.size);
    assert_memory_equal(got, far.data, (size_t)far.bytes.size);
    free(got);
    close(fd);
}

/* A parked file is read where it is. */
static void test_stays_there(void **state)
{
    uint8_t got[4];

    memcpy(far.data, GW_PARKED_MAGIC, 8);
    far.data[LARGE - 1] = 0x77;
    assert_int_equal(open_far(NULL, NULL), 0);
    assert_int_equal(format->format, GW_IMAGE_PARKED);
    assert_int_equal(fd, -1);
    assert_int_equal(bytes->size, LARGE);
    assert_int_equal(gw_bytes_read(bytes, got, 1, LARGE - 1, NULL), 0);
    assert_int_equal(got[0], 0x77);
    assert_int_equal(far.freed, 0);
    gw_bytes_free(bytes);
    assert_int_equal(far.freed, 1);
    assert_int_equal(far.opened, 1);
}

/* A stream is copied, in several pieces; up to its last byte, also where that is a zero. */
static void test_copied(void **state)
{
    memcpy(far.data, "QEVM", 4);
    for (uint64_t i = 4; i < LARGE - 100; i += 8191)
        far.data[i] = (uint8_t)(1 + i % 255);
    is_copied();
}

/* Zeros take no room. */
static void test_holes(void **state)
{
    struct stat st;

    far.data[0] = far.data[(16u << 20) + 5] = 1;
    assert_int_equal(open_far(NULL, NULL), 0);
    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(st.st_size, LARGE);
    assert_true(st.st_blocks * 512 < 1 << 20);
    close(fd);
}

/* Less than a format's first bytes; and a beginning that is nearly one. */
static void test_short(void **state)
{
    static const uint64_t sizes[] = {0, 1, 7};

    memcpy(far.data, GW_PARKED_MAGIC, 8);
    for (unsigned i = 0; i < GW_ARRAY_LEN(sizes); i++) {
        far.bytes.size = sizes[i];
        far.freed = 0;
        is_copied();
    }
    far.data[7] ^= 1;
    far.bytes.size = LARGE;
    far.freed = 0;
    is_copied();
}

static void test_failures(void **state)
{
    static const uint64_t bad[] = {5, LARGE - 1, 8u << 20, (16u << 20) + 5}; /* the head, the end, pieces of the copy */

    far.open_fails = -ECONNREFUSED;
    fails(NULL, -ECONNREFUSED, "nobody is there", 0);
    far.open_fails = 0;
    far.data[0] = 1;
    for (unsigned i = 0; i < GW_ARRAY_LEN(bad); i++) {
        far.bad = bad[i];
        fails(NULL, -EIO, "a bad disk there", i + 1);
    }
    far.bad = UINT64_MAX;
    fails("/nonexistent/folder", -ENOENT, "/nonexistent/folder", GW_ARRAY_LEN(bad) + 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_stays_there, up, down), cmocka_unit_test_setup_teardown(test_copied, up, down),
        cmocka_unit_test_setup_teardown(test_holes, up, down),       cmocka_unit_test_setup_teardown(test_short, up, down),
        cmocka_unit_test_setup_teardown(test_failures, up, down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
