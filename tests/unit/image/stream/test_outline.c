/* SPDX-License-Identifier: MIT
 *
 * What a stream of an image would take, counted without writing it: to the byte what it takes when it is written.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "image/pull.h"
#include "image/stream/outline.h"

/* Page i has contents unless i % sparse is 0. */
static struct machine {
    struct gw_image image;
    unsigned sparse;
} m;

static bool is_zero(uint64_t page)
{
    return m.sparse && page % m.sparse == 0;
}

static int map(struct gw_image *image, unsigned block, uint64_t first, uint64_t count, uint8_t *kinds, struct gw_error *err)
{
    for (uint64_t i = 0; i < count; i++)
        kinds[i] = !is_zero(first + i);
    return 0;
}

static int read_pages(struct gw_image *image, unsigned block, uint64_t first, uint64_t count, uint8_t *dst,
                      struct gw_error *err)
{
    for (uint64_t i = 0; i < count; i++)
        memset(dst + i * image->page_bytes, is_zero(first + i) ? 0 : 1 + (int)(block + first + i) % 200, image->page_bytes);
    return 0;
}

static const struct gw_image_ops ops = {.map = map, .read = read_pages};

static void begin(uint32_t page_bytes, bool footers, unsigned sparse)
{
    m.sparse = sparse;
    m.image = (struct gw_image){.ops = &ops,
                                .own = &m,
                                .page_bytes = page_bytes,
                                .page_bits = (unsigned)__builtin_ctz(page_bytes),
                                .footers = footers,
                                .ram_id = 2,
                                .machine = "none"};
}

static void add(const char *name, uint64_t pages)
{
    struct gw_image_block *b;

    assert_int_equal(gw_image_add_block(&m.image, name, pages * m.image.page_bytes, &b, NULL), 0);
}

static uint64_t written(bool outline)
{
    const struct gw_image_write_options options = {.format = GW_IMAGE_STREAM, .threads = 1};
    int fd = memfd_create("stream", MFD_CLOEXEC);
    struct gw_error err = GW_ERROR_INIT;
    struct stat st;
    int r = outline ? gw_stream_write_outline(&m.image, fd, &err) : gw_stream_write(&m.image, &options, fd, &err);

    if (r < 0)
        fail_msg("%s", err.text);
    assert_int_equal(fstat(fd, &st), 0);
    close(fd);
    return (uint64_t)st.st_size;
}

static void count_all(struct gw_stream_outline *o)
{
    *o = (struct gw_stream_outline){0};
    for (unsigned b = 0; b < m.image.block_count; b++)
        for (uint64_t at = 0; at < m.image.blocks[b].pages; at += GW_PULL_PAGES) {
            unsigned n = (unsigned)GW_MIN(m.image.blocks[b].pages - at, GW_PULL_PAGES), zeros = 0;

            for (unsigned i = 0; i < n; i++)
                zeros += is_zero(at + i);
            gw_stream_outline_chunk(o, &m.image, b, zeros, n - zeros);
        }
}

static void compare(unsigned parts)
{
    struct gw_stream_outline o;
    uint64_t without;

    count_all(&o);
    without = written(true) - (o.parts ? o.frame_bytes : 0);
    assert_int_equal(o.parts, parts);
    assert_int_equal(written(false), without + o.bytes);
}

static void test_to_the_byte(void **state)
{
    static const uint32_t page_bytes[] = {1024, 4096, 65536};
    static const unsigned sparse[] = {0, 1, 2, 3, 1000};

    for (unsigned p = 0; p < GW_ARRAY_LEN(page_bytes); p++)
        for (unsigned s = 0; s < GW_ARRAY_LEN(sparse); s++)
            for (int footers = 0; footers < 2; footers++) {
                begin(page_bytes[p], footers, sparse[s]);
                add("a", 1);
                add("a long name of a block", 130);
                add("b", 2);
                compare(1);
                gw_image_clear(&m.image);
            }
    /* Several chunks of a block. */
    begin(1024, true, 5);
    add("a", 3 * GW_PULL_PAGES + 7);
    compare(1);
    gw_image_clear(&m.image);
}

/* A PART ends before the next chunk when it has more than 64 MiB. */
static void test_parts(void **state)
{
    begin(65536, true, 0);
    add("a", 3 * GW_PULL_PAGES);
    compare(2);
    gw_image_clear(&m.image);
    begin(65536, true, 0);
    add("a", 2 * GW_PULL_PAGES);
    compare(1);
    gw_image_clear(&m.image);
}

/* Without a page there is no PART. */
static void test_empty(void **state)
{
    struct gw_stream_outline o;

    begin(4096, true, 0);
    count_all(&o);
    assert_int_equal(o.parts, 0);
    assert_int_equal(o.bytes, 0);
    assert_int_equal(written(true), written(false));
    gw_image_clear(&m.image);
}

/* What the heads and the zeros take, of all. */
static void test_kinds(void **state)
{
    struct gw_stream_outline o = {0};

    begin(4096, true, 0);
    add("abc", 1000);
    gw_stream_outline_chunk(&o, &m.image, 0, 10, 20);
    assert_int_equal(o.zero_bytes, 4 + 10 * 9);
    assert_int_equal(o.plain_heads, 20 * 8);
    assert_int_equal(o.bytes, o.frame_bytes + o.zero_bytes + o.plain_heads + 20 * 4096);
    assert_int_equal(o.frame_bytes, 5 + 8 + 5);
    /* The block goes on: no name. */
    gw_stream_outline_chunk(&o, &m.image, 0, 0, 1);
    assert_int_equal(o.plain_heads, 21 * 8);
    gw_image_clear(&m.image);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_to_the_byte),
        cmocka_unit_test(test_parts),
        cmocka_unit_test(test_empty),
        cmocka_unit_test(test_kinds),
    };

    return cmocka_run_group_tests_name("outline", tests, NULL, NULL);
}
