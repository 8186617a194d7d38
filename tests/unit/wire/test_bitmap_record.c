/* SPDX-License-Identifier: MIT
 *
 * Records of dirty bitmaps: bytes that QEMU sends (docs/wire-format.md 12), what is put is got, and what is refused.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "channel/reader.h"
#include "channel/writer.h"
#include "wire/bitmap_record.h"

static const struct gw_bitmap_record start = {.kind = GW_BITMAP_RECORD_START,
                                              .has_node = true,
                                              .has_name = true,
                                              .node = "n0",
                                              .name = "bmdis",
                                              .granularity = 4096};
static const struct gw_bitmap_record zeros = {
    .kind = GW_BITMAP_RECORD_BITS, .has_name = true, .name = "bmdis", .sectors = 16384, .zeros = true};
static const struct gw_bitmap_record bits = {
    .kind = GW_BITMAP_RECORD_BITS, .has_name = true, .name = "bm1", .sectors = 8192, .buffer_bytes = 1024};
static const struct gw_bitmap_record complete = {
    .kind = GW_BITMAP_RECORD_COMPLETE, .has_node = true, .has_name = true, .node = "n0", .name = "bm"};
static const struct gw_bitmap_record end = {.kind = GW_BITMAP_RECORD_END};

static int get(const void *bytes, size_t n, struct gw_bitmap_record *ret, struct gw_error *err)
{
    struct gw_reader r;
    int e;

    gw_reader_init_memory(&r, bytes, n, 100);
    e = gw_bitmap_record_get(&r.in, ret, err);
    gw_reader_close(&r);
    return e;
}

static void both_ways(const struct gw_bitmap_record *r, const char *want, size_t n)
{
    struct gw_bitmap_record got;
    struct gw_writer out;
    size_t bytes;
    const void *data;

    assert_int_equal(gw_writer_init_memory(&out, NULL), 0);
    gw_bitmap_record_put(&out.out, r);
    data = gw_writer_data(&out, &bytes);
    assert_int_equal(bytes, n);
    assert_memory_equal(data, want, n);
    assert_int_equal(get(want, n, &got, NULL), 0);
    got.at = 0;
    assert_memory_equal(&got, r, sizeof got);
    for (size_t k = 0; k < n; k++)
        assert_int_equal(get(want, k, &got, NULL), -ENODATA);
    gw_writer_close(&out);
}

#define BYTES(text) text, sizeof text - 1

static void test_bytes(void **state)
{
    both_ways(&start, BYTES("\x1c\x02n0\x05"
                            "bmdis\0\0\x10\0\0"));
    both_ways(&zeros, BYTES("\x46\x05"
                            "bmdis\0\0\0\0\0\0\0\0\0\0\x40\0"));
    both_ways(&bits, BYTES("\x44\x03"
                           "bm1\0\0\0\0\0\0\0\0\0\0\x20\0\0\0\0\0\0\0\4\0"));
    both_ways(&complete, BYTES("\x2c\x02n0\x02"
                               "bm"));
    both_ways(&end, BYTES("\x01"));
}

static void refused(const char *bytes, size_t n, const char *text)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_bitmap_record got;

    assert_int_equal(get(bytes, n, &got, &err), -EPROTO);
    assert_int_equal(err.blame, GW_BLAME_PEER);
    if (!strstr(err.text, text))
        fail_msg("%s", err.text);
}

static void test_refused(void **state)
{
    struct gw_bitmap_record got;

    refused(BYTES("\x00"), "byte 100: dirty bitmap record with flags 0x0");
    refused(BYTES("\x81\0"), "flags 0x81");    /* the long form */
    refused(BYTES("\x0c\1a\1b"), "flags 0xc"); /* names of nothing */
    refused(BYTES("\x30"), "flags 0x30");      /* two kinds */
    refused(BYTES("\x41"), "flags 0x41");
    refused(BYTES("\x05\1a"), "flags 0x5"); /* an end with a name */
    refused(BYTES("\x12\0\0\2\0\0"), "flags 0x12");
    refused(BYTES("\x10\0\0\1\0\0"), "granularity of 256");
    refused(BYTES("\x10\0\0\3\0\0"), "granularity of 768");
    refused(BYTES("\x10\0\0\0\0\0"), "granularity of 0");
    refused(BYTES("\x10\0\0\2\0\x08"), "flags 0x8");
    refused(BYTES("\x40\0\0\0\0\0\0\0\0\0\0\0\1\0\0\0\0\0\0\x28\1"), "10241 bytes");
    refused(BYTES("\x40\0\0\0\0\0\0\0\0\0\0\0\1\xff\xff\xff\xff\xff\xff\xff\xff"), "18446744073709551615 bytes");
    assert_int_equal(get(BYTES("\x10\0\0\2\0\x07"), &got, NULL), 0);
    assert_int_equal(got.flags, GW_BITMAP_ENABLED | GW_BITMAP_PERSISTENT); /* 4 means nothing any more */
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_bytes), cmocka_unit_test(test_refused)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
