/* SPDX-License-Identifier: MIT
 *
 * Ranges of an image, read ahead by threads: every page once and in order, zeros included; what cannot be read is told
 * when it is its turn, and no sooner.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/endian.h"
#include "examine/sweep.h"

#define PAGE  4096u
#define NEVER UINT64_MAX

struct machine {
    struct gw_image image;
    uint64_t broken, unmapped; /* page that cannot be read; that nothing is known of */
};

/* Stretches of up to 700 pages are zeros, known or not. */
static bool filled(unsigned block, uint64_t page)
{
    return (page / 700 + block) % 3 == 0 || page % 11 == 5;
}

static bool known(uint64_t page)
{
    return page % 5 != 0;
}

static int map(struct gw_image *image, unsigned block, uint64_t first, uint64_t count, uint8_t *kinds,
               struct gw_error *err)
{
    const struct machine *m = image->own;

    for (uint64_t i = 0; i < count; i++) {
        if (first + i == m->unmapped)
            return gw_fail(err, -EPROTO, GW_BLAME_PEER, "the index is broken");
        kinds[i] = filled(block, first + i) || !known(first + i);
    }
    return 0;
}

static int read_pages(struct gw_image *image, unsigned block, uint64_t first, uint64_t count, uint8_t *dst,
                      struct gw_error *err)
{
    const struct machine *m = image->own;

    for (uint64_t i = 0; i < count; i++, dst += PAGE) {
        if (first + i == m->broken)
            return gw_fail(err, -EIO, GW_BLAME_LOCAL, "page %" PRIu64 " is broken", first + i);
        memset(dst, 0, PAGE);
        if (filled(block, first + i))
            gw_store_be64(dst + 8, (uint64_t)(block + 1) << 40 | (first + i));
    }
    return 0;
}

static const struct gw_image_ops ops = {.map = map, .read = read_pages};

/* Two machines of 2^28 pages (1 TiB) with contents in two groups each. Nothing else is asked about. */
#define LARGE_GROUPS (1u << 16)
static const uint64_t groups[2][2] = {{0, 40000}, {7, LARGE_GROUPS - 1}};

static bool large_empty(const struct gw_image *image, unsigned block, uint64_t group)
{
    const uint64_t *is = groups[image->own != image]; /* own: the first one */

    return group != is[0] && group != is[1];
}

static int large_map(struct gw_image *image, unsigned block, uint64_t first, uint64_t count, uint8_t *kinds,
                     struct gw_error *err)
{
    for (uint64_t i = 0; i < count; i++)
        kinds[i] = !large_empty(image, block, (first + i) / GW_IMAGE_GROUP);
    return 0;
}

static int large_read(struct gw_image *image, unsigned block, uint64_t first, uint64_t count, uint8_t *dst,
                      struct gw_error *err)
{
    memset(dst, 1, (size_t)(count * PAGE));
    return 0;
}

static const struct gw_image_ops large_ops = {.map = large_map, .read = large_read, .empty = large_empty};

static bool last_told(void *opaque, uint64_t done, uint64_t total)
{
    *(uint64_t *)opaque = done;
    return false;
}

/* Chunks come where either image has something, at the same places for both, and the way to the end is told. */
static void empty(void **state)
{
    struct gw_image image[2] = {{.ops = &large_ops, .page_bytes = PAGE, .page_bits = 12},
                                {.ops = &large_ops, .page_bytes = PAGE, .page_bits = 12}};
    struct gw_error err = GW_ERROR_INIT;
    uint64_t told = 0, pages[2] = {0};
    struct gw_sweep s[2];

    for (unsigned i = 0; i < 2; i++) {
        image[i].own = &image[0];
        assert_int_equal(gw_image_add_block(&image[i], "a", (uint64_t)LARGE_GROUPS * GW_IMAGE_GROUP * PAGE, NULL, &err), 0);
        assert_int_equal(gw_sweep_init(&s[i], &image[i], 0, i ? NULL : last_told, &told, &err), 0);
    }
    /* Alone: the chunks of two groups. */
    gw_sweep_block(&s[0], 0);
    for (; gw_sweep_next(&s[0], &err) > 0; pages[0] += s[0].count)
        assert_true(s[0].any && !large_empty(&image[0], 0, s[0].first / GW_IMAGE_GROUP));
    assert_int_equal(pages[0], 2 * GW_IMAGE_GROUP);
    assert_int_equal(told, image[0].blocks[0].used_bytes);
    /* Side by side: of four. */
    for (unsigned i = 0; i < 2; i++) {
        s[i].beside = &image[!i];
        gw_sweep_block(&s[i], 0);
    }
    while (gw_sweep_next(&s[0], &err) > 0) {
        assert_int_equal(gw_sweep_next(&s[1], &err), 1);
        assert_int_equal(s[0].first, s[1].first);
        assert_int_equal(s[0].count, s[1].count);
        assert_true(s[0].any != s[1].any);
        pages[1] += s[0].count;
    }
    assert_int_equal(gw_sweep_next(&s[1], &err), 0);
    assert_int_equal(pages[1], 4 * GW_IMAGE_GROUP);
    for (unsigned i = 0; i < 2; i++) {
        gw_sweep_close(&s[i]);
        gw_image_clear(&image[i]);
    }
}

static void start(struct machine *m)
{
    static const uint64_t pages[] = {5000, 0, 1, 257};
    static const char *const names[] = {"a", "b", "c", "d"};
    struct gw_error err = GW_ERROR_INIT;

    *m = (struct machine){.broken = NEVER, .unmapped = NEVER};
    m->image = (struct gw_image){.ops = &ops, .own = m, .page_bytes = PAGE, .page_bits = 12};
    for (unsigned i = 0; i < GW_ARRAY_LEN(pages); i++)
        assert_int_equal(gw_image_add_block(&m->image, names[i], pages[i] * PAGE, NULL, &err), 0);
}

static void look(const struct gw_sweep *s)
{
    bool any = false;

    for (uint64_t i = 0; i < s->count; i++) {
        const uint8_t *page = s->data + i * PAGE;
        bool is = filled(s->block, s->first + i);

        any = any || s->kinds[i];
        assert_int_equal(s->kinds[i], is || !known(s->first + i));
        assert_int_equal(gw_load_be64(page + 8), is ? (uint64_t)(s->block + 1) << 40 | (s->first + i) : 0);
        assert_true(!page[0] && !memcmp(page + 16, page + 17, PAGE - 17));
    }
    assert_int_equal(any, s->any);
}

static void sweep(struct gw_sweep *s, unsigned block, uint64_t first, uint64_t count, uint64_t most)
{
    struct gw_error err = GW_ERROR_INIT;
    uint64_t next = first;
    int r;

    gw_sweep_range(s, block, first, count);
    while (next < first + GW_MIN(count, most) && (r = gw_sweep_next(s, &err)) > 0) {
        assert_int_equal(s->block, block);
        assert_int_equal(s->first, next);
        assert_true(s->count && s->count <= GW_SWEEP_BYTES / PAGE && s->count <= first + count - next);
        assert_int_equal(gw_sweep_read(s, &err), 0);
        look(s);
        next += s->count;
    }
    if (most < count)
        return; /* given up */
    assert_int_equal(next, first + count);
    assert_int_equal(gw_sweep_next(s, &err), 0);
    assert_int_equal(gw_sweep_next(s, &err), 0);
}

static void ranges(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_sweep s;
    struct machine m;

    start(&m);
    assert_int_equal(gw_sweep_init(&s, &m.image, 0, NULL, NULL, &err), 0);
    for (unsigned b = 0; b < m.image.block_count; b++)
        sweep(&s, b, 0, m.image.blocks[b].pages, NEVER);
    sweep(&s, 0, 100, 1, NEVER);
    sweep(&s, 0, 4999, 1, NEVER);
    sweep(&s, 0, 5000, 0, NEVER);
    sweep(&s, 0, 17, 3000, 600);
    sweep(&s, 3, 1, 256, 1);
    sweep(&s, 0, 333, 4000, NEVER);
    sweep(&s, 0, 0, 5000, 1); /* and closed in the middle */
    gw_sweep_close(&s);
    gw_sweep_close(&s);
    gw_image_clear(&m.image);
}

/* One chunk fails; those before and behind it do not. */
static void broken(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    unsigned failed = 0, chunks = 0;
    struct gw_sweep s;
    struct machine m;

    start(&m);
    m.broken = 2105;
    assert_true(filled(0, m.broken));
    assert_int_equal(gw_sweep_init(&s, &m.image, 0, NULL, NULL, &err), 0);
    gw_sweep_block(&s, 0);
    while (gw_sweep_next(&s, &err) > 0) {
        bool in = m.broken >= s.first && m.broken < s.first + s.count;

        chunks++;
        assert_int_equal(gw_sweep_read(&s, &err), in ? -EIO : 0);
        if (!in) {
            look(&s);
            continue;
        }
        failed++;
        assert_true(s.any && s.kinds[m.broken - s.first]);
        assert_string_equal(err.text, "page 2105 is broken");
        memset(s.data, 0xee, PAGE); /* the place may be used */
    }
    assert_int_equal(failed, 1);
    assert_int_equal(chunks, 20);
    gw_sweep_close(&s);
    gw_image_clear(&m.image);
}

static void unmapped(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_sweep s;
    struct machine m;
    int r;

    start(&m);
    m.unmapped = 1000;
    assert_int_equal(gw_sweep_init(&s, &m.image, 0, NULL, NULL, &err), 0);
    gw_sweep_block(&s, 0);
    while ((r = gw_sweep_next(&s, &err)) > 0)
        assert_true(s.first + s.count <= 1000);
    assert_int_equal(r, -EPROTO);
    assert_string_equal(err.text, "the index is broken");
    sweep(&s, 3, 0, 257, NEVER); /* on with the next block */
    gw_sweep_close(&s);
    gw_image_clear(&m.image);
}

static bool third(void *opaque, uint64_t done, uint64_t total)
{
    unsigned *turns = opaque;

    return ++*turns == 3;
}

static void canceled(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    unsigned turns = 0;
    struct gw_sweep s;
    struct machine m;

    start(&m);
    assert_int_equal(gw_sweep_init(&s, &m.image, 1, third, &turns, &err), 0);
    gw_sweep_block(&s, 0);
    assert_int_equal(gw_sweep_next(&s, &err), 1);
    assert_int_equal(gw_sweep_next(&s, &err), 1);
    assert_int_equal(gw_sweep_next(&s, &err), -ECANCELED);
    gw_sweep_close(&s);
    gw_image_clear(&m.image);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(ranges), cmocka_unit_test(broken), cmocka_unit_test(unmapped), cmocka_unit_test(empty),
                                       cmocka_unit_test(canceled)};

    return cmocka_run_group_tests_name("sweep", tests, NULL, NULL);
}
