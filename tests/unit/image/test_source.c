/* SPDX-License-Identifier: MIT
 *
 * Pages of an image as bodies of batches: each page once, in order, right for as long as its batch was not sent.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/endian.h"
#include "image/source.h"

#define PAGE    1024u
#define BLOCKS  3u
#define BATCHES 5u /* that are out at a time */

static const bool all[BLOCKS] = {true, true, true};

/* Contents are made of the block and the number of the page. */
struct machine {
    struct gw_image image;
    struct gw_ram ram;
    struct gw_ram_block block[BLOCKS], *list[BLOCKS];
    unsigned of_block[BLOCKS];
    unsigned filled; /* of 100 pages, so many are not zeros; */
    unsigned told;   /* and of the zeros, in 100, so many are known to be */
    uint64_t broken; /* page of block 0 that cannot be read; UINT64_MAX: none */
    struct gw_source *source;
    uint64_t seed;
};

static uint64_t mix(uint64_t z)
{
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ z >> 27) * 0x94d049bb133111ebull;
    return z ^ z >> 31;
}

static uint64_t key(unsigned block, uint64_t page)
{
    return (uint64_t)(block + 1) << 40 | page;
}

static bool is_filled(const struct machine *m, unsigned block, uint64_t page)
{
    return mix(key(block, page)) % 100 < m->filled;
}

static int map(struct gw_image *image, unsigned block, uint64_t first, uint64_t count, uint8_t *kinds,
               struct gw_error *err)
{
    const struct machine *m = image->own;

    for (uint64_t i = 0; i < count; i++)
        kinds[i] = is_filled(m, block, first + i) || mix(key(block, first + i) + 7) % 100 >= m->told;
    return 0;
}

static int read_pages(struct gw_image *image, unsigned block, uint64_t first, uint64_t count, uint8_t *dst,
                      struct gw_error *err)
{
    const struct machine *m = image->own;

    for (uint64_t i = 0; i < count; i++, dst += PAGE) {
        if (block == 0 && first + i == m->broken)
            return gw_fail(err, -EPROTO, GW_BLAME_PEER, "page %" PRIu64 " is broken", m->broken);
        memset(dst, 0, PAGE);
        if (is_filled(m, block, first + i)) {
            gw_store_be64(dst + PAGE - 8, key(block, first + i));
            gw_store_be64(dst + mix(first + i) % 8 * 64, key(block, first + i));
        }
    }
    return 0;
}

static const struct gw_image_ops ops = {.map = map, .read = read_pages};

/* The image has its blocks in another order than the ram. */
static struct machine *start(unsigned filled, unsigned told, uint64_t broken, const bool goes[BLOCKS])
{
    static const char *const names[BLOCKS] = {"a", "b", "c"};
    static const uint64_t pages[BLOCKS] = {20000, 1, 3333};
    struct machine *m = calloc(1, sizeof *m);
    struct gw_error err = GW_ERROR_INIT;

    *m = (struct machine){.filled = filled, .told = told, .broken = broken, .seed = filled + told};
    m->image = (struct gw_image){.ops = &ops, .own = m, .page_bytes = PAGE, .page_bits = 10};
    m->ram = (struct gw_ram){.blocks = m->list, .count = BLOCKS, .page_bytes = PAGE, .page_bits = 10};
    for (unsigned i = 0; i < BLOCKS; i++) {
        assert_int_equal(gw_image_add_block(&m->image, names[i], pages[i] * PAGE, NULL, &err), 0);
        m->of_block[i] = (i + 1) % BLOCKS;
        m->block[i] = (struct gw_ram_block){.index = i, .pages = pages[(i + 1) % BLOCKS]};
        m->list[i] = &m->block[i];
    }
    assert_int_equal(gw_source_image_new(&m->image, &m->ram, m->of_block, 3, &m->source, &err), 0);
    assert_int_equal(m->source->begin(m->source, goes, &err), 0);
    return m;
}

static void stop(struct machine *m)
{
    m->source->end(m->source);
    assert_null(m->source->free(m->source));
    gw_image_clear(&m->image);
    free(m);
}

/* All pages of the batch are what the image has. */
static void check(const struct machine *m, const struct gw_batch *batch)
{
    unsigned block = m->of_block[batch->block->index];

    for (unsigned i = 0; i < batch->count; i++) {
        const struct gw_body *body = &batch->body[i];

        assert_int_equal(batch->form[i], is_filled(m, block, batch->page[i]) ? GW_FORM_OPEN : GW_FORM_ZERO);
        if (batch->form[i] == GW_FORM_ZERO)
            continue;
        assert_int_equal(body->bytes, PAGE);
        assert_int_equal(gw_load_be64(body->data + PAGE - 8), key(block, batch->page[i]));
        assert_int_equal(gw_load_be64(body->data + mix(batch->page[i]) % 8 * 64), key(block, batch->page[i]));
    }
}

/* Everything, with some batches out at any time, which go back in any order. Returns the pages that came. */
static uint64_t pass(struct machine *m, unsigned most, const bool goes[BLOCKS])
{
    static struct gw_batch batch[BATCHES];
    struct gw_error err = GW_ERROR_INIT;
    uint64_t total = 0, fresh = 1, expected[BLOCKS] = {0};
    bool out[BATCHES] = {false};

    for (bool more = true; more;) {
        unsigned k = (unsigned)(mix(m->seed++) % BATCHES);
        struct gw_batch *b = &batch[k];

        if (out[k]) {
            check(m, b);
            m->source->sent(m->source, b);
            out[k] = false;
        }
        if (m->source->next(m->source, b, 1 + (unsigned)(mix(m->seed++) % most), &err) < 0)
            fail_msg("%s", err.text);
        more = b->count;
        out[k] = more;
        for (unsigned i = 0; i < b->count; i++)
            assert_int_equal(b->page[i], expected[b->block->index]++);
        assert_true(!more || goes[b->block->index]);
        total += b->count;
        assert_int_equal(m->source->sync(m->source, &fresh, &err), 0);
        assert_int_equal(fresh, 0);
    }
    for (unsigned k = 0; k < BATCHES; k++) {
        if (!out[k])
            continue;
        check(m, &batch[k]);
        m->source->sent(m->source, &batch[k]);
    }
    assert_int_equal(m->source->pending(m->source), 0);
    return total;
}

static void test_all(void **state)
{
    static const unsigned filled[] = {0, 1, 10, 51, 100}, told[] = {100, 50, 0}, most[] = {GW_BATCH_PAGES, 37, 1};

    for (unsigned i = 0; i < GW_ARRAY_LEN(filled); i++)
        for (unsigned k = 0; k < GW_ARRAY_LEN(told); k++) {
            struct machine *m = start(filled[i], told[k], UINT64_MAX, all);

            assert_int_equal(m->source->pending(m->source), 23334);
            assert_int_equal(pass(m, most[k], all), 23334);
            stop(m);
        }
}

/* Blocks that stay do not come; and a source can begin again. */
static void test_some(void **state)
{
    static const bool some[BLOCKS] = {true, false, true};
    struct machine *m = start(50, 50, UINT64_MAX, some);
    uint64_t first = pass(m, 200, some);

    assert_int_equal(first, m->block[0].pages + m->block[2].pages);
    m->source->end(m->source);
    assert_int_equal(m->source->begin(m->source, some, NULL), 0);
    assert_int_equal(pass(m, 200, some), first);
    stop(m);
}

/* The pages before it come, then the error. */
static void test_broken(void **state)
{
    struct machine *m = start(100, 100, 5000, all);
    struct gw_error err = GW_ERROR_INIT;
    struct gw_batch batch;
    int r;

    do {
        r = m->source->next(m->source, &batch, 64, &err);
        if (r >= 0) {
            assert_int_not_equal(batch.count, 0);
            check(m, &batch);
            m->source->sent(m->source, &batch);
        }
    } while (r >= 0);
    assert_int_equal(r, -EPROTO);
    assert_non_null(strstr(err.text, "page 5000 is broken"));
    stop(m);
}

/* What is expected comes first, then the rest; with and without what was asked for meanwhile. */
static void test_expected(void **state)
{
    for (unsigned depth = 0; depth < 5; depth += 4) {
        struct machine *m = start(50, 100, UINT64_MAX, all);
        const struct gw_source_range ranges[] = {
            {m->list[2], 100, 200}, {m->list[0], 0, 1}, {m->list[2], 19990, 10}, {m->list[1], 0, 3}, {m->list[2], 150, 300}};
        struct gw_error err = GW_ERROR_INIT;
        struct gw_batch batch = {0};
        uint64_t came = 0;

        m->source->end(m->source);
        m->image.depth = depth;
        assert_int_equal(m->source->expect(m->source, ranges, GW_ARRAY_LEN(ranges), &err), 0);
        assert_int_equal(m->source->begin(m->source, all, &err), 0);
        assert_int_equal(m->source->take(m->source, &batch, m->list[2], 250, 2, &err), 0);
        assert_int_equal(batch.count, 2);
        check(m, &batch);
        came += batch.count;
        for (unsigned i = 0; i < GW_ARRAY_LEN(ranges); i++)
            for (uint64_t at = 0, n; at < ranges[i].count; at += n) {
                n = GW_MIN(ranges[i].count - at, 70u);
                if (m->source->take_expected(m->source, &batch, ranges[i].block, ranges[i].first + at, n, &err) < 0)
                    fail_msg("%s", err.text);
                check(m, &batch);
                came += batch.count;
                m->source->sent(m->source, &batch);
            }
        assert_int_equal(came, 350 + 1 + 10 + 3);
        assert_int_equal(m->source->pending(m->source), 23334 - came);
        while (m->source->next(m->source, &batch, 300, &err) >= 0 && batch.count) {
            check(m, &batch);
            came += batch.count;
            m->source->sent(m->source, &batch);
        }
        assert_int_equal(came, 23334);
        free(batch.room);
        stop(m);
    }
}

/* Given up while threads read. */
static void test_given_up(void **state)
{
    for (unsigned i = 0; i < 20; i++) {
        struct machine *m = start(50, 50, UINT64_MAX, all);
        struct gw_batch batch;

        for (unsigned k = 0; k < i; k++) {
            assert_int_equal(m->source->next(m->source, &batch, 100, NULL), 0);
            m->source->sent(m->source, &batch);
        }
        stop(m);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_all), cmocka_unit_test(test_some),
                                       cmocka_unit_test(test_broken), cmocka_unit_test(test_expected), cmocka_unit_test(test_given_up)};

    return cmocka_run_group_tests_name("source", tests, NULL, NULL);
}
