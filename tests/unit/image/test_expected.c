/* SPDX-License-Identifier: MIT
 *
 * Pages that are expected in an order: right whatever is taken of them, in that order or another one; read by several
 * threads at once, each once; and what cannot be read is told when it is wanted.
 */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "image/expected.h"

#define PAGES 4000u
#define BYTES 1024u

static struct {
    struct gw_image image;
    struct gw_image_block blocks[2];
    pthread_mutex_t lock;
    pthread_cond_t changed;
    unsigned reads, now, together; /* together: so many are waited for before one is answered */
    bool met;
    uint64_t bad; /* page of block 1 that cannot be read */
    unsigned read[2][PAGES];
} t;
static struct gw_error err;

static uint8_t byte_of(unsigned block, uint64_t page)
{
    return page % 5 == 3 ? 0 : (uint8_t)(1 + (page * 7 + block) % 250);
}

static int read_pages(struct gw_image *image, unsigned block, uint64_t first, uint64_t count, uint8_t *dst,
                      struct gw_error *e)
{
    pthread_mutex_lock(&t.lock);
    t.reads++;
    t.now++;
    t.met |= t.now >= t.together;
    pthread_cond_broadcast(&t.changed);
    while (!t.met)
        pthread_cond_wait(&t.changed, &t.lock);
    t.now--;
    for (uint64_t i = 0; i < count; i++)
        t.read[block][first + i]++;
    pthread_mutex_unlock(&t.lock);
    for (uint64_t i = 0; i < count; i++)
        memset(dst + i * BYTES, byte_of(block, first + i), BYTES);
    return block == 1 && t.bad >= first && t.bad - first < count
               ? gw_fail(e, -EIO, GW_BLAME_PEER, "page %" PRIu64, t.bad)
               : 0;
}

static int map(struct gw_image *image, unsigned block, uint64_t first, uint64_t count, uint8_t *kinds,
               struct gw_error *e)
{
    memset(kinds, 1, count);
    return 0;
}

static int up(void **state)
{
    static const struct gw_image_ops ops = {.map = map, .read = read_pages};

    memset(&t, 0, sizeof t);
    err = (struct gw_error)GW_ERROR_INIT;
    pthread_mutex_init(&t.lock, NULL);
    pthread_cond_init(&t.changed, NULL);
    for (unsigned i = 0; i < 2; i++)
        t.blocks[i] = (struct gw_image_block){.name = "a", .used_bytes = PAGES * BYTES, .pages = PAGES};
    t.image = (struct gw_image){
        .ops = &ops, .page_bytes = BYTES, .page_bits = 10, .blocks = t.blocks, .block_count = 2, .depth = 6};
    t.together = 1;
    t.bad = UINT64_MAX;
    return 0;
}

static int down(void **state)
{
    pthread_mutex_destroy(&t.lock);
    pthread_cond_destroy(&t.changed);
    return 0;
}

static struct gw_expected *expect(const struct gw_pull_range *ranges, unsigned count)
{
    struct gw_expected *e = NULL;

    assert_int_equal(gw_expected_new(&t.image, ranges, count, &e, &err), 0);
    return e;
}

static void take(struct gw_expected *e, unsigned block, uint64_t first, uint64_t count)
{
    uint8_t kinds[200], *dst = malloc(count * BYTES);

    memset(kinds, 9, sizeof kinds);
    if (gw_expected_fetch(e, block, first, count, kinds, dst, &err) < 0)
        fail_msg("%s", err.text);
    for (uint64_t i = 0; i < count; i++) {
        uint8_t want = byte_of(block, first + i);

        assert_true(kinds[i] <= 1);
        if (kinds[i] ? dst[i * BYTES] != want || dst[(i + 1) * BYTES - 1] != want : want)
            fail_msg("page %" PRIu64 " of block %u", first + i, block);
    }
    assert_int_equal(kinds[count], 9);
    free(dst);
}

static const struct gw_pull_range some[] = {{0, 3000, 1}, {1, 100, 150}, {0, 10, 2}, {0, 5, 7}, {1, 0, 64}};

static void test_in_order(void **state)
{
    struct gw_expected *e = expect(some, GW_ARRAY_LEN(some));

    take(e, 0, 3000, 1);
    for (unsigned i = 100; i < 250; i += 10) /* over the borders of chunks */
        take(e, 1, i, 10);
    take(e, 0, 10, 2);
    take(e, 0, 5, 7);
    take(e, 1, 0, 64);
    gw_expected_free(e);
    assert_int_equal(t.read[1][249], 1);
    assert_int_equal(t.read[0][3000], 1);
    assert_int_equal(t.reads, 1 + 5 + 1 + 1 + 2);
}

/* Some are left out, others come again or were never named. */
static void test_any_order(void **state)
{
    struct gw_expected *e = expect(some, GW_ARRAY_LEN(some));

    take(e, 1, 240, 10);
    take(e, 1, 100, 150);
    take(e, 1, 60, 10);
    take(e, 0, 3000, 1);
    take(e, 0, 3990, 10);
    gw_expected_free(e);
}

/* So many are under way at once, as they are far away. */
static void test_together(void **state)
{
    static const struct gw_pull_range far[] = {{0, 1, 1},    {0, 900, 1}, {1, 7, 1},  {0, 300, 1},
                                               {1, 2000, 1}, {0, 5, 1},   {0, 100, 1}};
    struct gw_expected *e;

    t.together = 6;
    e = expect(far, GW_ARRAY_LEN(far));
    for (unsigned i = 0; i < GW_ARRAY_LEN(far); i++)
        take(e, far[i].block, far[i].first, 1);
    gw_expected_free(e);
    assert_true(t.met);
}

static void test_cannot_be_read(void **state)
{
    struct gw_expected *e;
    uint8_t kinds[64], *dst = malloc(64 * BYTES);

    t.bad = 120;
    e = expect(some, GW_ARRAY_LEN(some));
    take(e, 0, 3000, 1);
    assert_int_equal(gw_expected_fetch(e, 1, 100, 64, kinds, dst, &err), -EIO);
    assert_string_equal(err.text, "page 120");
    take(e, 1, 130, 20);
    take(e, 0, 10, 2);
    t.bad = UINT64_MAX;
    take(e, 1, 100, 64);
    gw_expected_free(e);
    gw_expected_free(NULL);
    free(dst);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_in_order, up, down),
        cmocka_unit_test_setup_teardown(test_any_order, up, down),
        cmocka_unit_test_setup_teardown(test_together, up, down),
        cmocka_unit_test_setup_teardown(test_cannot_be_read, up, down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
