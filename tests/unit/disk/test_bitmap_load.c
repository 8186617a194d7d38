/* SPDX-License-Identifier: MIT
 *
 * The destination of dirty bitmaps: what a source sends arrives, also by a mapping; cut at each byte nothing stays; and
 * everything that a hostile source may say is refused.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "sections.h"

static int load(struct side *to, enum gw_section_kind kind, const void *bytes, size_t n, struct gw_error *err)
{
    uint8_t *copy = malloc(n + !n); /* of just that size */
    struct gw_reader r;
    int e;

    memcpy(copy, bytes, n);
    gw_reader_init_memory(&r, copy, n, 100);
    e = kind == GW_SECTION_START ? to->live->ops->load_setup(to->live, err) : 0;
    if (e >= 0)
        e = to->live->ops->load(to->live, kind, &r, err);
    if (e >= 0)
        assert_int_equal(gw_reader_offset(&r), 100 + n);
    gw_reader_close(&r);
    free(copy);
    return e;
}

/* What a source puts into START and END. */
struct stream {
    struct gw_writer start, end;
};

static void put(struct stream *x, struct side *from)
{
    assert_int_equal(gw_writer_init_memory(&x->start, NULL), 0);
    assert_int_equal(gw_writer_init_memory(&x->end, NULL), 0);
    assert_int_equal(from->live->ops->setup(from->live, &x->start, NULL), 0);
    assert_int_equal(from->live->ops->complete(from->live, &x->end, NULL), 0);
    from->live->ops->cleanup(from->live);
}

static void close_stream(struct stream *x)
{
    gw_writer_close(&x->start);
    gw_writer_close(&x->end);
}

static void make(struct side *from)
{
    side_bitmap(from->disk[0], "a", 512, false, false);
    side_bitmap(from->disk[0], "b", 65536, true, true);
    side_bitmap(from->disk[1], "a", 4096, false, true);
    gw_disk_wrote(from->disk[0], 70000, 3 << 20);
    gw_disk_wrote(from->disk[1], 1 << 20, 512);
}

static unsigned count(struct gw_disk *d)
{
    struct gw_bitmap_info info;
    unsigned n = 0;

    while (!gw_disk_bitmap_at(d, n, &info))
        n++;
    return n;
}

static void same(struct gw_disk *a, const char *name, struct gw_disk *b, const char *other)
{
    uint64_t at = 0, bytes = 0, at_b = 0, bytes_b = 0;

    do {
        assert_int_equal(gw_disk_bitmap_next(a, name, at + bytes, &at, &bytes, NULL), 0);
        assert_int_equal(gw_disk_bitmap_next(b, other, at_b + bytes_b, &at_b, &bytes_b, NULL), 0);
        assert_int_equal(bytes, bytes_b);
        if (bytes)
            assert_int_equal(at, at_b);
    } while (bytes);
}

static void test_arrives(void **state)
{
    struct gw_bitmap_info info;
    struct side from, to;
    struct stream x;
    char note[GW_LIVE_NOTE] = "";
    size_t n;
    const void *data;

    side_up(&from, NULL);
    side_up(&to, NULL);
    make(&from);
    put(&x, &from);
    data = gw_writer_data(&x.start, &n);
    assert_int_equal(load(&to, GW_SECTION_START, data, n, NULL), 0);
    data = gw_writer_data(&x.end, &n);
    assert_int_equal(load(&to, GW_SECTION_END, data, n, NULL), 0);
    assert_int_equal(to.live->ops->check_ended(to.live, GW_LIVE_ENDED, note, NULL), 0);
    assert_string_equal(note, "");
    for (unsigned i = 0; i < SIDE_DISKS; i++)
        gw_disk_bitmaps_begin(to.disk[i]);
    to.live->ops->load_cleanup(to.live, true);
    same(from.disk[0], "a", to.disk[0], "a");
    same(from.disk[0], "b", to.disk[0], "b");
    same(from.disk[1], "a", to.disk[1], "a");
    assert_int_equal(gw_disk_bitmap_at(to.disk[0], 1, &info), 0);
    assert_true(info.persistent && !info.recording && !info.busy && info.granularity == 65536);
    assert_int_equal(gw_disk_bitmap_at(to.disk[0], 0, &info), 0);
    assert_true(!info.persistent && info.recording && info.granularity == 512);
    close_stream(&x);
    side_down(&from);
    side_down(&to);
}

static void test_mapped(void **state)
{
    const struct gw_bitmap_alias there[] = {{"n0", "X", "a", "1", true, true}},
                                 here[] = {{"node1", "X", "z", "1", true, false}};
    struct gw_bitmap_map *a, *b;
    struct gw_bitmap_info info;
    struct side from, to;
    struct stream x;
    size_t n;
    const void *data;

    assert_int_equal(gw_bitmap_map_new(there, 1, &a, NULL), 0);
    assert_int_equal(gw_bitmap_map_new(here, 1, &b, NULL), 0);
    side_up(&from, a);
    side_up(&to, b);
    gw_disk_free(to.disk[1]);
    to.disk[1] = side_disk("d1", "node1", 8 << 20);
    make(&from);
    put(&x, &from);
    data = gw_writer_data(&x.start, &n);
    assert_int_equal(n, 1 + 2 + 2 + 5 + 1); /* one bitmap */
    assert_int_equal(load(&to, GW_SECTION_START, data, n, NULL), 0);
    data = gw_writer_data(&x.end, &n);
    assert_int_equal(load(&to, GW_SECTION_END, data, n, NULL), 0);
    gw_disk_bitmaps_begin(to.disk[1]);
    to.live->ops->load_cleanup(to.live, true);
    same(from.disk[0], "a", to.disk[1], "z");
    assert_int_equal(gw_disk_bitmap_at(to.disk[1], 0, &info), 0);
    assert_false(info.persistent);
    close_stream(&x);
    side_down(&from);
    side_down(&to);
    gw_bitmap_map_free(a);
    gw_bitmap_map_free(b);
}

/* Behind a connection that is lost at each byte: what is not whole is named and goes away. */
static void test_cut(void **state)
{
    struct side from;
    struct stream x;
    size_t starts, ends;
    const void *start, *end;

    side_up(&from, NULL);
    make(&from);
    put(&x, &from);
    start = gw_writer_data(&x.start, &starts);
    end = gw_writer_data(&x.end, &ends);
    for (size_t n = 0; n < ends; n += n < 60 || n + 60 > ends ? 1 : 97) {
        char note[GW_LIVE_NOTE] = "";
        struct side to;

        side_up(&to, NULL);
        if (n < starts)
            assert_int_equal(load(&to, GW_SECTION_START, start, n, NULL), -ENODATA);
        else {
            assert_int_equal(load(&to, GW_SECTION_START, start, starts, NULL), 0);
            assert_int_equal(load(&to, GW_SECTION_END, end, n, NULL), -ENODATA);
            assert_int_equal(to.live->ops->check_ended(to.live, GW_LIVE_OPEN, note, NULL), 0);
            if (n < ends - 1) /* all but the end of the section */
                assert_non_null(strstr(note, "did not come whole are removed: "));
        }
        to.live->ops->load_cleanup(to.live, false);
        assert_int_equal(count(to.disk[0]) + count(to.disk[1]), 0);
        side_down(&to);
    }
    close_stream(&x);
    side_down(&from);
}

static void refused(enum gw_section_kind kind, const void *bytes, size_t n, int code, const char *text)
{
    static const char start[] = "\x1c\x02n0\1a\0\0\x10\0\1\x01"; /* 2048 bits of 4096 bytes */
    struct gw_error err = GW_ERROR_INIT;
    struct side to;

    side_up(&to, NULL);
    side_bitmap(to.disk[1], "old", 4096, false, false);
    if (kind != GW_SECTION_START)
        assert_int_equal(load(&to, GW_SECTION_START, start, sizeof start - 1, NULL), 0);
    assert_int_equal(load(&to, kind, bytes, n, &err), code);
    if (!strstr(err.text, text))
        fail_msg("%s", err.text);
    to.live->ops->load_cleanup(to.live, false);
    assert_int_equal(count(to.disk[0]), 0);
    assert_int_equal(count(to.disk[1]), 1);
    side_down(&to);
}
#define START(bytes, code, text) refused(GW_SECTION_START, bytes, sizeof bytes - 1, code, text)
#define END(bytes, text)         refused(GW_SECTION_END, bytes, sizeof bytes - 1, -EPROTO, text)

static void test_hostile(void **state)
{
    START("\x1c\2xx\1a\0\0\x10\0\1", -EPROTO, "there is no disk xx here");
    START("\x14\1a\0\0\x10\0\1", -EPROTO, "names no disk");
    START("\x18\2n0\0\0\x10\0\1", -EPROTO, "names no bitmap");
    START("\x1c\2d1\3old\0\0\x10\0\1", -EEXIST, "disk d1 has a dirty bitmap old already");
    START("\x1c\2n0\1a\0\0\x10\0\1\x10\0\0\x10\0\1", -EPROTO, "it was started before");
    START("\x1c\2n0\1a\x80\0\0\0\1\x14\1b\xff\0\0\0\1", -EPROTO, "granularity");
    START("\x2c\2n0\1a", -EPROTO, "a START is allowed in the first section only");
    END("\x1c\2n0\1b\0\0\x10\0\1", "a START is allowed in the first section only");
    END("\x24\1b", "it was never started");
    END("\x2c\2d1\3old", "it was never started"); /* nor may one be touched that is not of this migration */
    END("\x24\1a\x20", "it was complete before");
    END("\x42\0\0\0\0\0\0\0\0\0\0\x40\1", "16385 sectors");
    END("\x42\0\0\0\0\0\0\x40\0\0\0\0\1", "1 sectors from sector 16384");
    END("\x42\xff\xff\xff\xff\xff\xff\xff\xff\0\0\0\1", "sectors from sector");
    END("\x42\0\0\0\0\0\0\0\0\0\0\0\0", "0 sectors");
    END("\x42\0\0\0\0\0\0\0\x08\0\0\2\0", "not whole words");
    END("\x42\0\0\0\0\0\0\0\0\0\0\0\x09", "not whole words");
    END("\x40\0\0\0\0\0\0\0\0\0\0\x40\0\0\0\0\0\0\0\0\xff", "255 bytes for 2048 bits, which take 256");
    END("\x40\0\0\0\0\0\0\0\0\0\0\x40\0\0\0\0\0\0\0\1\1", "257 bytes");
    END("\x40\0\0\0\0\0\0\0\0\0\0\2\0\0\0\0\0\0\0\0\x40", "64 bytes for 64 bits");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_arrives), cmocka_unit_test(test_mapped),
                                       cmocka_unit_test(test_cut), cmocka_unit_test(test_hostile)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
