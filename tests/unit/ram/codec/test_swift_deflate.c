/* SPDX-License-Identifier: MIT
 *
 * zlib reads what swift_deflate makes, and makes no fewer bytes of it at level 1.
 */
#include "ram/codec/swift_deflate.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>
#include <zlib.h>

#define PAGE    4096
#define PAGES   128
#define PACKETS 6

static uint8_t in[PAGES * PAGE], coded[PACKETS * (PAGES * PAGE + 65536)], back[PAGES * PAGE];
static struct gw_swift_deflate *swift;

static int up(void **state)
{
    if (!gw_swift_deflate_known())
        return 0;
    swift = gw_swift_deflate_new();
    return swift ? 0 : -1;
}

static int down(void **state)
{
    gw_swift_deflate_free(swift);
    swift = NULL;
    return 0;
}

static void have_library(void)
{
    if (!gw_swift_deflate_known()) {
        printf("skipped: built without ISA-L\n");
        skip();
    }
}

/* Runs of 16 pages: words from a list, pointers, or bytes at random. */
static void fill(unsigned seed, bool random)
{
    static const char *const words[] = {"machine ", "goes on ", "without ", "a pause ", "and all ", "its own ", "devices ", "arrive. ", "At once "};
    uint64_t x = seed * 2654435761u + 1;

    for (size_t at = 0; at < sizeof in; at += 8) {
        unsigned kind = random ? 2 : (unsigned)(at / PAGE / 16 + seed) % 3;
        uint64_t pointer = 0xffff888000000000 + (x & 0xfffff) * 64;

        x ^= x << 13, x ^= x >> 7, x ^= x << 17;
        memcpy(in + at, kind == 0 ? (const void *)words[x % 9] : kind == 1 ? (const void *)&pointer : (const void *)&x, 8);
    }
}

static size_t put(unsigned n, uint8_t *dst, size_t room)
{
    uint8_t *at = dst;

    for (unsigned i = 0; i < n; i++)
        assert_true(gw_swift_deflate_put(swift, in + (size_t)i * PAGE, PAGE, i + 1 == n, &at, &room));
    return (size_t)(at - dst);
}

static void begin_inflate(z_stream *z)
{
    *z = (z_stream){0};
    assert_int_equal(inflateInit2(z, -15), Z_OK);
}

static void check(z_stream *z, uint8_t *src, size_t bytes, unsigned n)
{
    memset(back, 0xee, sizeof back);
    z->next_in = src;
    z->avail_in = (uInt)bytes;
    z->next_out = back;
    z->avail_out = sizeof back;
    assert_true(inflate(z, Z_SYNC_FLUSH) == Z_OK);
    assert_int_equal(z->avail_in, 0);
    assert_int_equal(sizeof back - z->avail_out, n * PAGE);
    assert_memory_equal(back, in, n * PAGE);
}

/* One stream over packets of all sizes; each can be read when it is there. */
static void test_packets(void **state)
{
    static const unsigned pages[PACKETS] = {1, 128, 3, 77, 128, 2};
    z_stream z;

    have_library();
    begin_inflate(&z);
    for (unsigned i = 0; i < PACKETS; i++) {
        fill(i, i == 3);
        check(&z, coded, put(pages[i], coded, sizeof coded), pages[i]);
    }
    inflateEnd(&z);
}

/* After a reset the reader may begin there too. */
static void test_reset(void **state)
{
    z_stream z;

    have_library();
    fill(1, false);
    put(PAGES, coded, sizeof coded);
    gw_swift_deflate_reset(swift);
    begin_inflate(&z);
    check(&z, coded, put(PAGES, coded, sizeof coded), PAGES);
    inflateEnd(&z);
}

/* No more bytes than zlib's level 1 makes of pages of several kinds. */
static void test_size(void **state)
{
    size_t bytes = 0, zlib = 0;
    z_stream z = {0};

    have_library();
    assert_int_equal(deflateInit2(&z, 1, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY), Z_OK);
    for (unsigned i = 0; i < PACKETS; i++) {
        fill(i, false);
        bytes += put(PAGES, coded, sizeof coded);
        z.next_in = in;
        z.avail_in = sizeof in;
        z.next_out = coded;
        z.avail_out = sizeof coded;
        assert_int_equal(deflate(&z, Z_SYNC_FLUSH), Z_OK);
        zlib += sizeof coded - z.avail_out;
    }
    deflateEnd(&z);
    assert_in_range(bytes, 1, zlib);
}

/* What cannot be made smaller grows by a few bytes in a page, no more. */
static void test_random(void **state)
{
    have_library();
    fill(5, true);
    assert_in_range(put(PAGES, coded, sizeof coded), sizeof in, sizeof in + PAGES * 16);
}

/* Every room that is too small is told, and nothing is written behind it. */
static void test_no_room(void **state)
{
    size_t whole;

    have_library();
    fill(2, false);
    whole = put(4, coded, sizeof coded);
    for (size_t room = 1; room < whole; room += room < 64 || whole - room < 64 ? 1 : 61) {
        uint8_t *at = coded;
        size_t left = room;
        bool ok = true;

        gw_swift_deflate_reset(swift);
        memset(coded, 0xee, whole + 64);
        for (unsigned i = 0; i < 4 && ok; i++)
            ok = gw_swift_deflate_put(swift, in + (size_t)i * PAGE, PAGE, i == 3, &at, &left);
        assert_false(ok);
        assert_true(at <= coded + room);
        for (unsigned i = 0; i < 64; i++)
            assert_int_equal(coded[room + i], 0xee);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_packets, up, down), cmocka_unit_test_setup_teardown(test_reset, up, down),
        cmocka_unit_test_setup_teardown(test_size, up, down),    cmocka_unit_test_setup_teardown(test_random, up, down),
        cmocka_unit_test_setup_teardown(test_no_room, up, down),
    };

    return cmocka_run_group_tests_name("swift_deflate", tests, NULL, NULL);
}
