/* SPDX-License-Identifier: MIT
 *
 * RAM of an image, read ahead by threads: every page once and in order, whatever the size of chunks and however many threads;
 * chunks that cannot be read, that are held, and groups that are left out.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "image/pull.h"

#define FAILING_COUNTDOWN
#include "../../failing.h"

#define PAGE   1024u
#define BLOCKS 3u

static const uint64_t block_pages[BLOCKS] = {GW_IMAGE_GROUP * 2 + 100, 0, 37};

static struct rig {
    struct gw_image image;
    uint64_t fails_at; /* in block 0; UINT64_MAX: never */
    bool empty[8];     /* groups of block 0 */
    _Atomic uint64_t reads;
} rig;

static bool is_zero(unsigned block, uint64_t page)
{
    return (block == 0 && rig.empty[page / GW_IMAGE_GROUP]) || page % 5 == 2;
}

/* One in three zero pages is not known to be one. */
static int map(struct gw_image *image, unsigned block, uint64_t first, uint64_t count, uint8_t *kinds, struct gw_error *err)
{
    for (uint64_t i = 0; i < count; i++)
        kinds[i] = !is_zero(block, first + i) || (first + i) % 3 == 0;
    return 0;
}

static int read_pages(struct gw_image *image, unsigned block, uint64_t first, uint64_t count, uint8_t *dst,
                      struct gw_error *err)
{
    for (uint64_t i = 0; i < count; i++) {
        if (block == 0 && first + i == rig.fails_at)
            return gw_fail(err, -EIO, GW_BLAME_LOCAL, "page %" PRIu64 " is not there", first + i);
        memset(dst + i * PAGE, 0, PAGE);
        if (!is_zero(block, first + i)) {
            uint64_t what = (uint64_t)block << 32 | (first + i);

            memcpy(dst + i * PAGE + PAGE - 8, &what, 8);
            dst[i * PAGE] = 1;
        }
    }
    rig.reads += count;
    return 0;
}

static bool empty(const struct gw_image *image, unsigned block, uint64_t group)
{
    return block == 0 && rig.empty[group];
}

static const struct gw_image_ops ops = {.map = map, .read = read_pages, .empty = empty};

static int up(void **state)
{
    static const char *const names[BLOCKS] = {"a", "none", "b"};

    memset(&rig, 0, sizeof rig);
    rig.fails_at = UINT64_MAX;
    rig.image = (struct gw_image){.ops = &ops, .page_bytes = PAGE, .page_bits = 10};
    for (unsigned i = 0; i < BLOCKS; i++)
        if (gw_image_add_block(&rig.image, names[i], block_pages[i] * PAGE, &(struct gw_image_block *){NULL}, NULL) < 0)
            return -1;
    return 0;
}

static int down(void **state)
{
    gw_image_clear(&rig.image);
    return 0;
}

static struct gw_pull *pull(const struct gw_pull_config *config)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_pull *p = NULL;

    if (gw_pull_new(&rig.image, config, &p, &err) < 0)
        fail_msg("%s", err.text);
    return p;
}

/* The contents of a chunk are what they should be. */
static void look(const struct gw_pull_chunk *c, bool as_told)
{
    for (unsigned i = 0; i < c->count; i++) {
        uint64_t page = c->first + i, what;
        bool zero = is_zero(c->block, page);

        assert_int_equal(c->filled[i], as_told ? !zero || page % 3 == 0 : !zero);
        memcpy(&what, c->data + (size_t)i * PAGE + PAGE - 8, 8);
        if (!zero)
            assert_int_equal(what, (uint64_t)c->block << 32 | page);
    }
}

static void test_all(void **state)
{
    static const struct gw_pull_config configs[] = {
        {.threads = 1}, {.threads = 3}, {.threads = 2, .ahead = 1}, {.threads = 4, .chunk_pages = 7, .ahead = 3},
        {.threads = 2, .chunk_pages = 100000}, {.threads = 2, .chunk_pages = 1, .zeros_as_told = true},
    };

    for (size_t i = 0; i < GW_ARRAY_LEN(configs); i++) {
        struct gw_pull *p = pull(&configs[i]);
        struct gw_error err = GW_ERROR_INIT;
        struct gw_pull_chunk *c;
        uint64_t at[BLOCKS] = {0};
        unsigned block = 0;
        int r;

        while ((r = gw_pull_next(p, &c, &err)) > 0) {
            assert_true(c->block >= block && c->count > 0 && c->count <= GW_PULL_PAGES);
            if (configs[i].chunk_pages)
                assert_true(c->count <= configs[i].chunk_pages);
            block = c->block;
            assert_int_equal(c->first, at[block]);
            at[block] += c->count;
            look(c, configs[i].zeros_as_told);
        }
        assert_int_equal(r, 0);
        assert_int_equal(gw_pull_next(p, &c, &err), 0); /* and so on */
        for (unsigned b = 0; b < BLOCKS; b++)
            assert_int_equal(at[b], block_pages[b]);
        gw_pull_free(p);
    }
    gw_pull_free(NULL);
}

/* Parts of it, in any order and twice. */
static void test_ranges(void **state)
{
    const struct gw_pull_range ranges[] = {{2, 30, 7}, {0, 5, 0}, {0, 500, 1000}, {2, 30, 7}, {0, 0, 1}};
    struct gw_pull *p = pull(&(struct gw_pull_config){.ranges = ranges, .range_count = 5, .threads = 2});
    const struct gw_pull_range want[] = {{2, 30, 7}, {0, 500, 512}, {0, 1012, 488}, {2, 30, 7}, {0, 0, 1}};
    struct gw_pull_chunk *c;

    for (size_t i = 0; i < GW_ARRAY_LEN(want); i++) {
        assert_int_equal(gw_pull_next(p, &c, NULL), 1);
        assert_int_equal(c->block, want[i].block);
        assert_int_equal(c->first, want[i].first);
        assert_int_equal(c->count, want[i].count);
        look(c, false);
    }
    assert_int_equal(gw_pull_next(p, &c, NULL), 0);
    gw_pull_free(p);
    /* None at all. */
    p = pull(&(struct gw_pull_config){.ranges = ranges, .range_count = 0, .threads = 1});
    assert_int_equal(gw_pull_next(p, &c, NULL), 0);
    gw_pull_free(p);
}

/* Groups that are known to be zeros are not read; beside another image only where they are so there, too. */
static void test_empty(void **state)
{
    static const struct gw_image_ops told = {.map = map, .read = read_pages};
    struct gw_image other = {.ops = &told, .page_bytes = PAGE, .page_bits = 10};

    rig.empty[0] = rig.empty[2] = true;
    for (unsigned turn = 0; turn < 2; turn++) {
        struct gw_pull *p = pull(&(struct gw_pull_config){
            .threads = 2, .without_empty = true, .beside = turn ? &other : NULL, .zeros_as_told = true});
        struct gw_pull_chunk *c;
        uint64_t pages = 0;

        while (gw_pull_next(p, &c, NULL) > 0) {
            if (!turn && c->block == 0)
                assert_int_equal(c->first / GW_IMAGE_GROUP, 1);
            pages += c->count;
        }
        assert_int_equal(pages, (turn ? 2 * GW_IMAGE_GROUP + 100 : GW_IMAGE_GROUP) + 37);
        gw_pull_free(p);
    }
}

/* A chunk that cannot be read is told in its turn, and those behind it come all the same. */
static void test_broken(void **state)
{
    struct gw_pull *p;
    struct gw_pull_chunk *c;
    uint64_t pages = 0, broken = 0;
    int r;

    rig.fails_at = 1000;
    p = pull(&(struct gw_pull_config){.threads = 3, .chunk_pages = 64});
    for (;;) {
        struct gw_error err = GW_ERROR_INIT;

        r = gw_pull_next(p, &c, &err);
        if (r == 0)
            break;
        assert_int_equal(c->block == 0 ? c->first : block_pages[0] + c->first, pages);
        pages += c->count;
        if (r < 0) {
            assert_int_equal(r, -EIO);
            assert_string_equal(err.text, "page 1000 is not there");
            assert_int_equal(c->first, 960);
            broken++;
        }
    }
    assert_int_equal(broken, 1);
    assert_int_equal(pages, block_pages[0] + block_pages[2]);
    gw_pull_free(p);
    /* Freed in the middle. */
    p = pull(&(struct gw_pull_config){.threads = 3});
    assert_int_equal(gw_pull_next(p, &c, NULL), 1);
    gw_pull_free(p);
}

/* Chunks that are held stay what they are while others are read, and are used again when they are given back. */
static void test_held(void **state)
{
    struct gw_pull *p = pull(&(struct gw_pull_config){.threads = 2, .chunk_pages = 64, .ahead = 2});
    struct gw_pull_chunk *held[20], *c;

    for (unsigned i = 0; i < 20; i++) {
        assert_int_equal(gw_pull_next(p, &held[i], NULL), 1);
        gw_pull_hold(held[i]);
        if (i % 2)
            gw_pull_hold(held[i]);
    }
    for (unsigned i = 0; i < 20; i++) {
        assert_int_equal(held[i]->first, 64 * i);
        look(held[i], false);
        for (unsigned k = 0; k < i; k++)
            assert_ptr_not_equal(held[i]->data, held[k]->data);
        gw_pull_put(p, held[i]);
    }
    for (unsigned i = 1; i < 20; i += 2) {
        look(held[i], false);
        gw_pull_put(p, held[i]);
    }
    while (gw_pull_next(p, &c, NULL) > 0)
        look(c, false);
    gw_pull_free(p);
}

/* No memory to read on while much is held: told, nothing is lost, and it goes on when there is some. */
static void test_nomem_held(void **state)
{
    struct gw_pull *p = pull(&(struct gw_pull_config){.threads = 1, .chunk_pages = 64, .ahead = 1});
    struct gw_pull_chunk *first, *c = NULL;
    struct gw_error err = GW_ERROR_INIT;

    assert_int_equal(gw_pull_next(p, &first, NULL), 1);
    gw_pull_hold(first);
    countdown = 1;
    assert_int_equal(gw_pull_next(p, &c, &err), -ENOMEM);
    countdown = 0;
    assert_int_equal(err.blame, GW_BLAME_LOCAL);
    assert_string_equal(err.text, "out of memory (pages of an image)");
    assert_null(c);
    look(first, false);
    assert_int_equal(gw_pull_next(p, &c, &err), 1);
    assert_int_equal(c->first, 64);
    gw_pull_put(p, first);
    gw_pull_free(p);
}

static void test_nomem(void **state)
{
    for (unsigned n = 1;; n++) {
        struct gw_error err = GW_ERROR_INIT;
        struct gw_pull *p = NULL;
        bool hit;
        int r;

        countdown = n;
        r = gw_pull_new(&rig.image, &(struct gw_pull_config){.threads = 2}, &p, &err);
        hit = countdown == 0;
        countdown = 0;
        if (!hit) {
            assert_int_equal(r, 0);
            assert_true(n > 3);
            gw_pull_free(p);
            break;
        }
        assert_int_equal(r, -ENOMEM);
        assert_int_equal(err.blame, GW_BLAME_LOCAL);
        assert_null(p);
    }
}

/* ---- all of it ----------------------------------------------------------------------------------------------------- */

static uint64_t last_done, last_total;
static unsigned calls, stop_at;
static int result;

static int on_chunk(void *opaque, const struct gw_pull_chunk *c, struct gw_error *err)
{
    *(uint64_t *)opaque += c->count;
    return result;
}

static bool progress(void *opaque, uint64_t done, uint64_t total)
{
    assert_true(done > last_done || !calls);
    last_done = done;
    last_total = total;
    return ++calls == stop_at;
}

static void test_pull_all(void **state)
{
    const struct gw_image_write_options options = {.threads = 2, .progress = progress};
    const uint64_t all = (block_pages[0] + block_pages[2]) * PAGE;
    struct gw_error err = GW_ERROR_INIT;
    uint64_t pages = 0;

    calls = 0;
    last_done = 0;
    stop_at = 0;
    result = 0;
    assert_int_equal(gw_pull_all(&rig.image, false, &options, on_chunk, &pages, &err), 0);
    assert_int_equal(pages * PAGE, all);
    assert_int_equal(last_done, all);
    assert_int_equal(last_total, all);
    calls = 0;
    last_done = 0;
    stop_at = 3;
    assert_int_equal(gw_pull_all(&rig.image, false, &options, on_chunk, &pages, &err), -ECANCELED);
    assert_int_equal(err.blame, GW_BLAME_CALLER);
    assert_int_equal(calls, 3);
    /* What the caller says is handed on, and nobody is told of progress. */
    calls = 0;
    result = -ENOSPC;
    assert_int_equal(gw_pull_all(&rig.image, false, &options, on_chunk, &pages, &err), -ENOSPC);
    assert_int_equal(calls, 0);
}

#define pull_test(f) cmocka_unit_test_setup_teardown(f, up, down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        pull_test(test_all),  pull_test(test_ranges),     pull_test(test_empty), pull_test(test_broken),
        pull_test(test_held), pull_test(test_nomem_held), pull_test(test_nomem), pull_test(test_pull_all),
    };

    return cmocka_run_group_tests_name("pull", tests, NULL, NULL);
}
