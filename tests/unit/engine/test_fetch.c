/* SPDX-License-Identifier: MIT
 *
 * Pages of an image as a source's bodies: right in any order, and right for as long as a writer may reference them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/endian.h"
#include "engine/fetch.h"

#define PAGE   1024u
#define BLOCKS 3u

/* Contents are made of the block and the number of the page. */
struct machine {
    struct gw_image image;
    struct gw_ram ram;
    struct gw_ram_block block[BLOCKS], *list[BLOCKS];
    unsigned of_block[BLOCKS];
    unsigned filled; /* of 100 pages, so many are not zeros; */
    unsigned told;   /* and of the zeros, in 100, so many are known to be */
    uint64_t broken; /* page of block 0 that cannot be read; UINT64_MAX: none */
    struct gw_fetch *fetch;
    struct given { /* ring: what a writer may reference */
        const uint8_t *body;
        unsigned block;
        uint64_t page;
    } given[GW_WRITER_VECTORS];
    uint64_t given_count;
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
static void start(struct machine *m, unsigned filled, unsigned told)
{
    static const char *const names[BLOCKS] = {"a", "b", "c"};
    static const uint64_t pages[BLOCKS] = {20000, 1, 3333};
    struct gw_error err = GW_ERROR_INIT;

    *m = (struct machine){.filled = filled, .told = told, .broken = UINT64_MAX, .seed = filled + told};
    m->image = (struct gw_image){.ops = &ops, .own = m, .page_bytes = PAGE, .page_bits = 10};
    m->ram = (struct gw_ram){.blocks = m->list, .count = BLOCKS, .page_bytes = PAGE, .page_bits = 10};
    for (unsigned i = 0; i < BLOCKS; i++) {
        assert_int_equal(gw_image_add_block(&m->image, names[i], pages[i] * PAGE, NULL, &err), 0);
        m->of_block[i] = (i + 1) % BLOCKS;
        m->block[i] = (struct gw_ram_block){.index = i, .pages = pages[(i + 1) % BLOCKS]};
        m->list[i] = &m->block[i];
    }
    assert_int_equal(gw_fetch_new(&m->image, &m->ram, m->of_block, &m->fetch, &err), 0);
}

static void stop(struct machine *m)
{
    assert_null(gw_fetch_free(m->fetch));
    gw_image_clear(&m->image);
}

static bool right(const struct machine *m, const struct given *g)
{
    return gw_load_be64(g->body + PAGE - 8) == key(g->block, g->page) &&
           gw_load_be64(g->body + mix(g->page) % 8 * 64) == key(g->block, g->page);
}

/* Encodes the batch, and looks at all bodies that a writer may reference by now. */
static void give(struct machine *m, struct gw_batch *batch)
{
    struct gw_codec *codec = gw_fetch_codec(m->fetch);
    unsigned block = m->of_block[batch->block->index];
    struct gw_error err = GW_ERROR_INIT;

    if (codec->encode(codec, batch, &err) < 0)
        fail_msg("%s", err.text);
    for (unsigned i = 0; i < batch->count; i++) {
        bool filled = is_filled(m, block, batch->page[i]);

        assert_int_equal(batch->form[i], filled ? GW_FORM_PLAIN : GW_FORM_ZERO);
        if (filled)
            m->given[m->given_count++ % GW_WRITER_VECTORS] = (struct given){batch->body[i].data, block, batch->page[i]};
    }
    for (uint64_t i = 0; i < GW_MIN(m->given_count, GW_WRITER_VECTORS); i++)
        assert_true(right(m, &m->given[i]));
}

/* All blocks in order, leaving out pages by chance: `keep` in 100 are asked for. */
static void pass(struct machine *m, unsigned most, unsigned keep)
{
    for (unsigned b = 0; b < BLOCKS; b++) {
        struct gw_batch batch = {.block = &m->block[b]};

        for (uint64_t page = 0; page < m->block[b].pages; page++) {
            if (mix(m->seed++) % 100 < keep)
                batch.page[batch.count++] = page;
            if (batch.count == most || (page + 1 == m->block[b].pages && batch.count)) {
                give(m, &batch);
                batch.count = 0;
            }
        }
    }
}

static void in_order(void **state)
{
    static const unsigned filled[] = {0, 1, 10, 49, 51, 80, 100}, told[] = {100, 50, 0};
    static const unsigned most[] = {GW_BATCH_PAGES, 37, 1};

    for (unsigned i = 0; i < GW_ARRAY_LEN(filled); i++)
        for (unsigned k = 0; k < GW_ARRAY_LEN(told); k++) {
            struct machine m;

            start(&m, filled[i], told[k]);
            pass(&m, most[k], 100);
            stop(&m);
        }
}

/* Few pages of each stripe, over and over; then anything. */
static void in_any_order(void **state)
{
    struct gw_batch batch = {0};
    struct machine m;

    start(&m, 70, 50);
    for (unsigned keep = 1; keep < 100; keep += 24)
        pass(&m, GW_BATCH_PAGES, keep);
    for (unsigned turn = 0; turn < 600; turn++) {
        uint64_t page, step = 1 + mix(m.seed++) % (turn % 3 ? 3 : 400);

        batch.block = &m.block[mix(m.seed++) % BLOCKS];
        page = mix(m.seed++) % batch.block->pages;
        for (batch.count = 0; page < batch.block->pages && batch.count < GW_BATCH_PAGES; page += step)
            batch.page[batch.count++] = page;
        give(&m, &batch);
        if (turn % 5 == 0) /* the same once more, as if it had been written to */
            give(&m, &batch);
    }
    stop(&m);
}

static void broken(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_batch batch = {0};
    struct gw_codec *codec;
    struct machine m;
    unsigned b = 0;

    start(&m, 100, 100);
    while (m.of_block[b])
        b++;
    m.broken = 5000;
    codec = gw_fetch_codec(m.fetch);
    batch.block = &m.block[b];
    for (uint64_t page = 0; page < 5000 + GW_FETCH_STRIPE; page += batch.count) {
        uint64_t stripe = 5000 / GW_FETCH_STRIPE * GW_FETCH_STRIPE;
        int r;

        for (batch.count = 0; batch.count < 64; batch.count++)
            batch.page[batch.count] = page + batch.count;
        r = codec->encode(codec, &batch, &err);
        if (page + 64 <= stripe) {
            assert_int_equal(r, 0);
        } else if (page < stripe + GW_FETCH_STRIPE) {
            assert_int_equal(r, -EPROTO);
            assert_non_null(strstr(err.text, "page 5000 is broken"));
            err = (struct gw_error)GW_ERROR_INIT;
        }
    }
    stop(&m);
}

/* Given up while threads read. */
static void given_up(void **state)
{
    struct machine m;

    for (unsigned i = 0; i < 20; i++) {
        struct gw_batch batch = {.count = 1};

        start(&m, 50, 50);
        batch.block = &m.block[2];
        batch.page[0] = i * 10;
        if (i)
            give(&m, &batch);
        stop(&m);
    }
    assert_null(gw_fetch_free(NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(in_order), cmocka_unit_test(in_any_order),
                                       cmocka_unit_test(broken), cmocka_unit_test(given_up)};

    return cmocka_run_group_tests_name("fetch", tests, NULL, NULL);
}
