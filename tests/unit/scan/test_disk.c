/* SPDX-License-Identifier: MIT
 *
 * The live sections of disks and dirty bitmaps: what is told of each record, by the format document, and what is refused.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "scan/parts.h"

static char log_text[1000];

static int on_disk(void *opaque, const struct gw_scan_disk *d)
{
    size_t n = strlen(log_text);

    snprintf(log_text + n, sizeof log_text - n, "%s:%" PRIu64 "%s ", d->name, d->sector, d->zero ? "z" : "");
    return !strcmp(d->name, "stop") ? -ECANCELED : 0;
}

static int on_bitmap(void *opaque, const struct gw_scan_bitmap *b)
{
    size_t n = strlen(log_text);

    snprintf(log_text + n, sizeof log_text - n, "%s/%s:%s", b->node, b->name,
             b->what == GW_SCAN_BITMAP_START      ? "start"
             : b->what == GW_SCAN_BITMAP_COMPLETE ? "complete "
                                                  : "bits ");
    n = strlen(log_text);
    if (b->what == GW_SCAN_BITMAP_START)
        snprintf(log_text + n, sizeof log_text - n, ",%u,%u ", b->granularity_bytes, b->flags);
    return 0;
}

static const struct gw_scan_visitor visitor = {.disk = on_disk, .bitmap = on_bitmap};

typedef int get(struct gw_scan *s, struct gw_error *err);

static int walk(get *f, const void *bytes, size_t n, uint64_t *ret_taken, struct gw_error *err)
{
    /* From memory of just that size. */
    uint8_t *copy = malloc(n + !n);
    struct gw_reader r;
    struct gw_scan s;
    int e;

    memcpy(copy, bytes, n);
    log_text[0] = 0;
    *err = (struct gw_error)GW_ERROR_INIT;
    gw_reader_init_memory(&r, copy, n, 100);
    gw_scan_init(&s, &r, &visitor, NULL);
    e = f(&s, err);
    *ret_taken = gw_reader_offset(&r) - 100;
    gw_scan_close(&s);
    gw_reader_close(&r);
    free(copy);
    return e;
}

/* All of it, and cut at each byte. */
static void good(get *f, const struct gw_out *out, const char *want)
{
    size_t bytes;
    const uint8_t *data = gw_out_data(out, &bytes);
    struct gw_error err;
    uint64_t taken;

    if (walk(f, data, bytes, &taken, &err) < 0)
        fail_msg("%s", err.text);
    assert_string_equal(log_text, want);
    assert_int_equal(taken, bytes);
    for (size_t n = 0; n < bytes; n += bytes > 5000 && n > 40 && n < bytes - 40 ? 4999 : 1)
        assert_int_equal(walk(f, data, n, &taken, &err), -ENODATA);
}

static void refused(get *f, const void *bytes, size_t n, int code, const char *text)
{
    struct gw_error err;
    uint64_t taken;

    assert_int_equal(walk(f, bytes, n, &taken, &err), code);
    if (!strstr(err.text, text))
        fail_msg("'%s' is not in '%s'", text, err.text);
    if (code == -EPROTO)
        assert_int_equal(err.blame, GW_BLAME_PEER);
}
#define REFUSED(f, bytes, text) refused(f, bytes, sizeof(bytes) - 1, -EPROTO, text)

static void put_chunk(struct gw_out *out, uint64_t sector, unsigned flags, const char *name)
{
    static const uint8_t zeros[1024];

    gw_put_u64(out, sector << 9 | flags);
    gw_put_str8(out, name);
    for (unsigned i = 0; !(flags & 8) && i < 1024; i++)
        gw_put_bytes(out, zeros, sizeof zeros);
}

static void test_disks(void **state)
{
    struct gw_out out;

    gw_out_memory(&out);
    put_chunk(&out, 0, 1, "virtio0");
    gw_put_u64(&out, 30ull << 9 | 4); /* progress: 30 per cent */
    put_chunk(&out, 2048, 9, "virtio0");
    put_chunk(&out, (1ull << 55) - 1, 9, "d");
    gw_put_u64(&out, 2);
    good(gw_scan_disk, &out, "virtio0:0 virtio0:2048z d:36028797018963967z ");
    gw_out_free(&out);
    gw_out_memory(&out);
    gw_put_u64(&out, 2);
    good(gw_scan_disk, &out, "");
    gw_out_free(&out);
}

static void test_bad_disks(void **state)
{
    struct gw_error err;
    struct gw_out out;
    uint64_t taken;
    size_t bytes;

    REFUSED(gw_scan_disk, "\0\0\0\0\0\0\0\0", "byte 100: disk record with flags 0x0");
    REFUSED(gw_scan_disk, "\0\0\0\0\0\0\0\3", "byte 100: disk record with flags 0x3");
    REFUSED(gw_scan_disk, "\0\0\0\0\0\0\0\x08", "flags 0x8");
    REFUSED(gw_scan_disk, "\0\0\0\0\0\0\1\1", "flags 0x101");
    REFUSED(gw_scan_disk, "\0\0\0\0\0\0\0\1\0", "empty name at byte 108");
    REFUSED(gw_scan_disk, "\0\0\0\0\0\0\0\x09\2a\n", "has a byte 0x0a in it");
    /* What the visitor says ends it, and is handed on. */
    gw_out_memory(&out);
    put_chunk(&out, 1, 9, "stop");
    put_chunk(&out, 2, 9, "never");
    assert_int_equal(walk(gw_scan_disk, gw_out_data(&out, &bytes), out.offset, &taken, &err), -ECANCELED);
    assert_string_equal(log_text, "stop:1z ");
    gw_out_free(&out);
}

enum { EOS = 1, ZEROES = 2, NAME = 4, NODE = 8, START = 0x10, COMPLETE = 0x20, BITS = 0x40 };

/* Names stay until others are given. */
static void test_bitmaps(void **state)
{
    static const uint8_t some[300];
    struct gw_out out;

    gw_out_memory(&out);
    gw_put_u8(&out, NODE | NAME | START);
    gw_put_str8(&out, "node0");
    gw_put_str8(&out, "b1");
    gw_put_u32(&out, 65536);
    gw_put_u8(&out, 5);
    gw_put_u8(&out, BITS);
    gw_put_u64(&out, 0);
    gw_put_u32(&out, 128);
    gw_put_u64(&out, sizeof some);
    gw_put_bytes(&out, some, sizeof some);
    gw_put_u8(&out, NAME | BITS | ZEROES);
    gw_put_str8(&out, "b2");
    gw_put_u64(&out, 128);
    gw_put_u32(&out, 128);
    gw_put_u8(&out, NODE | COMPLETE);
    gw_put_str8(&out, "n");
    gw_put_u8(&out, EOS);
    good(gw_scan_bitmaps, &out, "node0/b1:start,65536,1 node0/b1:bits node0/b2:bits n/b2:complete ");
    gw_out_free(&out);
    /* The largest piece that is taken, in the last record. */
    gw_out_memory(&out);
    gw_put_u8(&out, BITS);
    gw_put_u64(&out, 0);
    gw_put_u32(&out, 128);
    gw_put_u64(&out, 10240);
    for (unsigned i = 0; i < 10240; i += 256)
        gw_put_bytes(&out, some, 256);
    gw_put_u8(&out, EOS);
    good(gw_scan_bitmaps, &out, "/:bits ");
    gw_out_free(&out);
}

static void test_bad_bitmaps(void **state)
{
    REFUSED(gw_scan_bitmaps, "\0", "byte 100: dirty bitmap record with flags 0x0");
    REFUSED(gw_scan_bitmaps, "\x80", "flags 0x80");
    REFUSED(gw_scan_bitmaps, "\x81", "flags 0x81");
    REFUSED(gw_scan_bitmaps, "\x41", "flags 0x41"); /* one kind each: a destination takes no other */
    REFUSED(gw_scan_bitmaps, "\x12", "flags 0x12");
    REFUSED(gw_scan_bitmaps, "\x10\0\0\1\0\1", "a dirty bitmap with a granularity of 256 bytes");
    REFUSED(gw_scan_bitmaps, "\x10\0\1\0\0\x08", "a dirty bitmap with flags 0x8, of which some are unknown");
    REFUSED(gw_scan_bitmaps, "\x28\0", "empty name at byte 101");
    REFUSED(gw_scan_bitmaps, "\x2c\1a\1\x7f", "has a byte 0x7f in it");
    REFUSED(gw_scan_bitmaps, "\x40\0\0\0\0\0\0\0\0\0\0\0\x80\0\0\0\0\0\0\x28\1",
            "byte 100: 10241 bytes of a dirty bitmap at once");
    REFUSED(gw_scan_bitmaps, "\x40\0\0\0\0\0\0\0\0\0\0\0\x80\xff\xff\xff\xff\xff\xff\xff\xff",
            "18446744073709551615 bytes of a dirty bitmap at once");
}

/* Nobody listens: it is read all the same. */
static void test_no_visitor(void **state)
{
    static const struct gw_scan_visitor none;
    static const uint8_t bytes[] = "\x1c\1n\1b\0\1\0\0\7\x28\1n\x01";
    struct gw_reader r;
    struct gw_scan s;

    gw_reader_init_memory(&r, bytes, sizeof bytes - 1, 0);
    gw_scan_init(&s, &r, &none, NULL);
    assert_int_equal(gw_scan_bitmaps(&s, NULL), 0);
    assert_int_equal(gw_reader_buffered(&r), 0);
    gw_scan_close(&s);
    gw_reader_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_disks),       cmocka_unit_test(test_bad_disks),  cmocka_unit_test(test_bitmaps),
        cmocka_unit_test(test_bad_bitmaps), cmocka_unit_test(test_no_visitor),
    };

    return cmocka_run_group_tests_name("disk", tests, NULL, NULL);
}
