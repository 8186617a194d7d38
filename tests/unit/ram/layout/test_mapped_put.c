/* SPDX-License-Identifier: MIT
 *
 * Pages go to their places in a file: in how few writes, what the map says of them, and what happens where no file can be so
 * large or there is no memory. Read again: test_mapped_get.c.
 */
#include "mapped.h"

#include "wire/mapped.h"

#define FAILING_COUNTDOWN
#include "../../../failing.h"

/* Neighbours go out in one write, however many; zeros in none. */
static void test_writes(void **state)
{
    int fd = memfd_create("mapped", MFD_CLOEXEC);
    struct side s;
    struct out o;

    side_init(&s, 1);
    out_begin(&o, &s, fd);
    writes = 0;
    put(&o, 0, 0, 0, GW_BATCH_PAGES, 1);
    assert_int_equal(writes, 1);
    memset(s.mem[0] + 100 * PAGE, 0, PAGE);
    put(&o, 0, 0, 0, GW_BATCH_PAGES, 1);
    assert_int_equal(writes, 3);
    memset(s.mem[0], 0, GW_BATCH_PAGES * PAGE);
    put(&o, 1, 0, 0, GW_BATCH_PAGES, 1);
    assert_int_equal(writes, 3);
    out_end(&o);
    close(fd);
    side_close(&s);
}

static uint8_t *whole_file(int fd, uint64_t *ret_bytes)
{
    uint8_t *bytes;

    *ret_bytes = file_bytes(fd);
    bytes = malloc(*ret_bytes);
    assert_int_equal(pread(fd, bytes, *ret_bytes, 0), *ret_bytes);
    return bytes;
}

/* By the format document alone: each entry, its map, and its pages where the head says. A page that was put and became zeros
 * has no bit, whatever stands at its place. */
static void test_file(void **state)
{
    int fd = memfd_create("mapped", MFD_CLOEXEC);
    uint64_t bytes, at = 0;
    struct side s;
    struct out o;
    uint8_t *file;

    side_init(&s, 1);
    out_begin(&o, &s, fd);
    put_all(&o);
    for (unsigned i = 0; i < BLOCKS; i++)
        for (unsigned p = 0; p < block_pages[i]; p++)
            memset(s.mem[i] + (size_t)p * PAGE, p % 3 ? (int)p | 1 : 0, PAGE);
    put_all(&o);
    out_end(&o);
    file = whole_file(fd, &bytes);
    for (unsigned i = 0; i < BLOCKS; i++) {
        const uint8_t *map;
        uint64_t map_at, pages_at;

        assert_int_equal(file[at], strlen(block_name[i]));
        assert_memory_equal(file + at + 1, block_name[i], file[at]);
        at += 1 + file[at];
        assert_int_equal(gw_load_be32(file + at), 1);
        assert_true(gw_load_be64(file + at + 4) == PAGE);
        map_at = gw_load_be64(file + at + 12);
        pages_at = gw_load_be64(file + at + 20);
        assert_int_equal(map_at, at + GW_MAPPED_HEAD_BYTES);
        assert_int_equal(pages_at % GW_MIB, 0);
        map = file + map_at;
        for (unsigned p = 0; p < block_pages[i]; p++) {
            uint64_t place = pages_at + (uint64_t)p * PAGE;

            assert_int_equal(map[p / 8] >> (p % 8) & 1, p % 3 != 0);
            if (p % 3)
                assert_memory_equal(file + place, s.mem[i] + (size_t)p * PAGE, PAGE);
        }
        at = pages_at + (uint64_t)block_pages[i] * PAGE;
    }
    /* The marks behind the list and at the end. */
    assert_true(gw_load_be64(file + at) == GW_RAMF_EOS);
    assert_int_equal(bytes, at + 16);
    free(file);
    close(fd);
    side_close(&s);
}

static void test_pages_counted(void **state)
{
    int fd = memfd_create("mapped", MFD_CLOEXEC);
    struct side s;
    struct out o;

    side_init(&s, 1);
    out_begin(&o, &s, fd);
    memset(s.mem[1], 0, 2 * PAGE);
    put(&o, 0, 1, 0, 7, 1);
    put(&o, 0, 1, 0, 1, 1);
    put(&o, 1, 1, 6, 1, 1);
    assert_int_equal(o.layout[0]->pages[GW_FORM_ZERO], 3);
    assert_int_equal(o.layout[0]->pages[GW_FORM_PLAIN], 5);
    assert_int_equal(o.layout[1]->pages[GW_FORM_ZERO], 0);
    assert_int_equal(o.layout[1]->pages[GW_FORM_PLAIN], 1);
    /* No other barrier writes anything. */
    writes = 0;
    for (unsigned kind = 0; kind < GW_BARRIER_END; kind++)
        o.layout[0]->barrier(o.layout[0], (enum gw_barrier)kind, &o.lane[0]);
    assert_int_equal(writes, 0);
    out_end(&o);
    close(fd);
    side_close(&s);
}

/* Where the channel has no places, and where no file can be so large: told when the block is listed. */
static void test_refused(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_channel *a, *b, *ch;
    struct gw_layout *layout;
    struct gw_mapped *m;
    struct gw_writer w;
    struct side s;
    int fd;

    side_init(&s, 0);
    assert_int_equal(gw_mapped_new(&s.ram, &m, &err), 0);
    assert_int_equal(gw_layout_mapped_new(m, &layout, &err), 0);
    gw_mapped_unref(m);
    gw_mapped_unref(NULL);
    assert_int_equal(gw_channel_memory_pair(1000, &a, &b, &err), 0);
    assert_int_equal(gw_writer_init(&w, a, &err), 0);
    assert_int_equal(layout->list(layout, s.ram.blocks[0], &w, &err), -ESPIPE);
    assert_int_equal(err.blame, GW_BLAME_CALLER);
    gw_writer_close(&w);
    gw_channel_free(a);
    gw_channel_free(b);

    fd = memfd_create("mapped", MFD_CLOEXEC);
    ch = open_file(fd);
    assert_int_equal(gw_writer_init(&w, ch, &err), 0);
    s.ram.blocks[0]->used_bytes = 1ull << 63;
    assert_int_equal(layout->list(layout, s.ram.blocks[0], &w, &err), -EFBIG);
    assert_int_equal(err.blame, GW_BLAME_LOCAL);
    assert_string_equal(err.text, "RAM block ram: no file is so large");
    assert_int_equal(file_bytes(fd), 0);
    gw_writer_close(&w);
    gw_channel_free(ch);
    close(fd);
    layout->free(layout);
    side_close(&s);
}

static void test_nomem(void **state)
{
    struct gw_layout *layout = NULL;
    struct gw_mapped *m = NULL;
    struct gw_error err = GW_ERROR_INIT;
    struct gw_channel *ch;
    struct gw_writer w;
    struct side s;
    int fd = memfd_create("mapped", MFD_CLOEXEC);

    side_init(&s, 0);
    countdown = 1;
    assert_int_equal(gw_mapped_new(&s.ram, &m, &err), -ENOMEM);
    countdown = 0;
    assert_null(m);
    assert_int_equal(gw_mapped_new(&s.ram, &m, &err), 0);
    countdown = 1;
    assert_int_equal(gw_layout_mapped_new(m, &layout, &err), -ENOMEM);
    countdown = 0;
    assert_null(layout);
    assert_int_equal(gw_layout_mapped_new(m, &layout, &err), 0);
    ch = open_file(fd);
    assert_int_equal(gw_writer_init(&w, ch, &err), 0);
    for (unsigned n = 1; n <= 2; n++) {
        countdown = n;
        assert_int_equal(layout->list(layout, s.ram.blocks[1], &w, &err), -ENOMEM);
        countdown = 0;
        assert_int_equal(err.blame, GW_BLAME_LOCAL);
        assert_string_equal(err.text, "out of memory (maps of pages)");
    }
    assert_int_equal(layout->list(layout, s.ram.blocks[1], &w, &err), 0);
    gw_writer_close(&w);
    gw_channel_free(ch);
    layout->free(layout);
    gw_mapped_unref(m);
    close(fd);
    side_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_writes),  cmocka_unit_test(test_file),  cmocka_unit_test(test_pages_counted),
        cmocka_unit_test(test_refused), cmocka_unit_test(test_nomem),
    };

    return cmocka_run_group_tests_name("mapped_put", tests, NULL, NULL);
}
