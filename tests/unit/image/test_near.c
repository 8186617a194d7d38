/* SPDX-License-Identifier: MIT
 *
 * Bytes that are read through blocks: the same bytes, in few reads; errors as they are; several threads.
 */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "image/near.h"

#define SIZE (20u << 20)

static struct {
    struct gw_bytes bytes;
    uint8_t *data;
    atomic_uint reads, freed;
    _Atomic uint64_t largest, sum;
    atomic_bool fails;
} far;

static int far_readv(struct gw_bytes *b, struct iovec *iov, unsigned count, uint64_t at, struct gw_error *err)
{
    uint64_t bytes = 0;

    for (unsigned i = 0; i < count; i++) {
        memcpy(iov[i].iov_base, far.data + at + bytes, iov[i].iov_len);
        bytes += iov[i].iov_len;
    }
    atomic_fetch_add(&far.reads, 1);
    atomic_fetch_add(&far.sum, bytes);
    if (bytes > atomic_load(&far.largest))
        atomic_store(&far.largest, bytes);
    return atomic_load(&far.fails) ? gw_fail(err, -EIO, GW_BLAME_PEER, "no") : 0;
}

/* One access, however many ranges. */
static int far_read_all(struct gw_bytes *b, const struct gw_bytes_range *range, unsigned count, struct gw_error *err)
{
    for (unsigned i = 0; i < count; i++) {
        struct iovec iov = {range[i].dst, range[i].bytes};

        atomic_fetch_sub(&far.reads, i > 0);
        if (far_readv(b, &iov, 1, range[i].at, err) < 0)
            return -EIO;
    }
    return 0;
}

static void far_free(struct gw_bytes *b)
{
    atomic_fetch_add(&far.freed, 1);
}

static struct gw_bytes *open_near(uint64_t size)
{
    static const struct gw_bytes_ops ops = {.readv = far_readv, .read_all = far_read_all, .free = far_free};
    struct gw_bytes *b = NULL;

    far.bytes = (struct gw_bytes){.ops = &ops, .size = size, .fd = -1, .depth = 7};
    atomic_store(&far.reads, 0);
    atomic_store(&far.freed, 0);
    atomic_store(&far.largest, 0);
    atomic_store(&far.sum, 0);
    atomic_store(&far.fails, false);
    assert_int_equal(gw_near_new(&far.bytes, &b, NULL), 0);
    assert_int_equal(b->size, size);
    assert_int_equal(b->depth, 7);
    assert_int_equal(b->fd, -1);
    return b;
}

static void check(struct gw_bytes *b, uint64_t at, size_t bytes)
{
    uint8_t *got = malloc(bytes + 1);

    got[bytes] = 0x5a;
    assert_int_equal(gw_bytes_read(b, got, bytes, at, NULL), 0);
    assert_memory_equal(got, far.data + at, bytes);
    assert_int_equal(got[bytes], 0x5a);
    free(got);
}

static void test_counts(void **state)
{
    struct gw_bytes *b = open_near(SIZE);

    assert_int_equal(atomic_load(&far.reads), 1); /* the end and the first block */
    check(b, SIZE - 1, 1);
    check(b, SIZE - GW_NEAR_TAIL_BYTES, GW_NEAR_TAIL_BYTES);
    assert_int_equal(atomic_load(&far.reads), 1);
    check(b, 5, 3);
    check(b, 0, GW_NEAR_SMALL - 1);
    check(b, GW_NEAR_BLOCK - 10, 10);
    assert_int_equal(atomic_load(&far.reads), 1);
    check(b, 9 * GW_NEAR_BLOCK + 5, 3); /* a block, and all that lies in it */
    check(b, 9 * GW_NEAR_BLOCK, GW_NEAR_SMALL - 1);
    assert_int_equal(atomic_load(&far.reads), 2);
    check(b, GW_NEAR_BLOCK - 10, 20); /* two */
    assert_int_equal(atomic_load(&far.reads), 3);
    assert_int_equal(atomic_load(&far.largest), GW_NEAR_TAIL_BYTES);
    check(b, 100, GW_NEAR_SMALL); /* large: as it is */
    assert_int_equal(atomic_load(&far.reads), 4);
    gw_bytes_ahead(b, 2 << 20, 3 << 20);
    assert_int_equal(atomic_load(&far.reads), 5);
    check(b, (2 << 20) + 7, (3 << 20) - 7);
    check(b, (5 << 20) - 40, 40);
    assert_int_equal(atomic_load(&far.reads), 5);
    gw_bytes_ahead(b, 8 << 20, 1 << 20); /* once */
    gw_bytes_ahead(b, UINT64_MAX, UINT64_MAX);
    assert_int_equal(atomic_load(&far.reads), 5);
    gw_bytes_free(b);
    assert_int_equal(atomic_load(&far.freed), 1);
}

/* What is there is all that there is; more blocks than are kept. */
static void test_sizes(void **state)
{
    static const uint64_t sizes[] = {0, 1, 100, GW_NEAR_BLOCK, GW_NEAR_TAIL_BYTES, GW_NEAR_TAIL_BYTES + 1, (3u << 20) + 77};
    struct gw_error err = GW_ERROR_INIT;
    struct gw_bytes *b;
    uint8_t byte;

    for (size_t i = 0; i < GW_ARRAY_LEN(sizes); i++) {
        b = open_near(sizes[i]);
        gw_bytes_ahead(b, 0, UINT64_MAX);
        for (uint64_t at = 0; at < sizes[i]; at += 99991)
            check(b, at, (size_t)GW_MIN(sizes[i] - at, 70000));
        assert_int_equal(gw_bytes_read(b, &byte, 1, sizes[i], &err), -EPROTO);
        assert_true(atomic_load(&far.sum) <= sizes[i] + GW_NEAR_BLOCK); /* what was read ahead is not read again, but for a block at its border */
        gw_bytes_free(b);
    }
    b = open_near(SIZE);
    for (unsigned pass = 0; pass < 2; pass++)
        for (uint64_t at = 0; at < SIZE - 10; at += GW_NEAR_BLOCK)
            check(b, at, 10);
    gw_bytes_free(b);
}

/* A read that failed is made again when it is wanted again. */
static void test_failures(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_bytes *b = open_near(SIZE), *none = NULL;
    uint8_t got[16];

    atomic_store(&far.fails, true);
    gw_bytes_ahead(b, 2 << 20, 1 << 20);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(gw_bytes_read(b, got, 16, (2 << 20) + 7, &err), -EIO);
        assert_string_equal(err.text, "no");
    }
    assert_int_equal(atomic_load(&far.reads), 4);
    atomic_store(&far.fails, false);
    check(b, (2 << 20) + 7, 16);
    check(b, (2 << 20) + 8, 16);
    assert_int_equal(atomic_load(&far.reads), 5);
    gw_bytes_free(b);
    atomic_store(&far.fails, true);
    atomic_store(&far.freed, 0);
    assert_int_equal(gw_near_new(&far.bytes, &none, &err), -EIO);
    assert_int_equal(atomic_load(&far.freed), 1);
    assert_null(none);
}

static atomic_uint wrong;

static void *read_much(void *arg)
{
    struct gw_bytes *b = arg;
    uint64_t x = (uintptr_t)&x;
    static const unsigned bytes = 5000;
    uint8_t got[5000];

    for (unsigned i = 0; i < 400; i++) {
        uint64_t at;

        x = x * 6364136223846793005ull + 1442695040888963407ull;
        at = (x >> 33) % (SIZE - bytes);
        if (gw_bytes_read(b, got, bytes, at, NULL) < 0 || memcmp(got, far.data + at, bytes))
            atomic_fetch_add(&wrong, 1);
    }
    return NULL;
}

static void test_threads(void **state)
{
    struct gw_bytes *b = open_near(SIZE);
    pthread_t thread[8];

    for (unsigned i = 0; i < 8; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, read_much, b), 0);
    for (unsigned i = 0; i < 8; i++)
        pthread_join(thread[i], NULL);
    assert_int_equal(atomic_load(&wrong), 0);
    gw_bytes_free(b);
}

static int up(void **state)
{
    far.data = malloc(SIZE);
    for (unsigned i = 0; i < SIZE / 4; i++)
        ((uint32_t *)far.data)[i] = i * 2654435761u;
    return 0;
}

static int down(void **state)
{
    free(far.data);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_counts), cmocka_unit_test(test_sizes), cmocka_unit_test(test_failures),
                                       cmocka_unit_test(test_threads)};

    return cmocka_run_group_tests_name("near", tests, up, down);
}
