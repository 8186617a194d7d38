/* SPDX-License-Identifier: MIT
 *
 * Which page has these contents: the first number stays, however many follow, and a table that cannot grow forgets nothing.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "image/parked/dedup.h"

#define FAILING_COUNTDOWN
#include "../../../failing.h"

#define PAGE 1024u

static struct gw_dedup *dedup(size_t page_bytes)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_dedup *d = NULL;

    if (gw_dedup_new(page_bytes, &d, &err) < 0)
        fail_msg("%s", err.text);
    return d;
}

static bool same(struct gw_digest x, struct gw_digest y)
{
    return x.a == y.a && x.b == y.b;
}

/* Each bit of a page counts, and so does its place; only the contents do. */
static void test_digest(void **state)
{
    struct gw_dedup *d = dedup(PAGE);
    uint8_t page[PAGE] = {0}, copy[PAGE + 1];
    struct gw_digest zero = gw_dedup_digest(d, page), seen[8];

    for (unsigned bit = 0; bit < PAGE * 8; bit++) {
        struct gw_digest x;

        page[bit / 8] ^= (uint8_t)(1u << bit % 8);
        x = gw_dedup_digest(d, page);
        assert_false(same(x, zero));
        assert_true(x.a >> 48 == 0 && x.b >> 48 == 0);
        for (unsigned i = 0; bit >= 8 && i < 8; i++)
            assert_false(same(x, seen[i]));
        seen[bit % 8] = x;
        /* At no particular address. */
        memcpy(copy + 1, page, PAGE);
        assert_true(same(gw_dedup_digest(d, copy + 1), x));
        page[bit / 8] = 0;
    }
    memset(page, 0xff, PAGE); /* the largest sum */
    assert_false(same(gw_dedup_digest(d, page), zero));
    /* Words that change places. */
    memset(page, 0, PAGE);
    page[0] = 1;
    struct gw_digest first = gw_dedup_digest(d, page);
    page[0] = 0;
    page[4] = 1;
    assert_false(same(gw_dedup_digest(d, page), first));
    gw_dedup_free(d);
}

/* Nobody can know which pages would collide: each table draws numbers of its own. */
static void test_keys(void **state)
{
    struct gw_dedup *d = dedup(PAGE), *e = dedup(PAGE);
    uint8_t page[PAGE] = {1};

    assert_false(same(gw_dedup_digest(d, page), gw_dedup_digest(e, page)));
    gw_dedup_free(d);
    gw_dedup_free(e);
    gw_dedup_free(NULL);
}

/* Many more than the first table has room for; the number under which each was first remembered stays. */
static void test_many(void **state)
{
    enum { MANY = 100000 };
    struct gw_dedup *d = dedup(PAGE);
    struct gw_error err = GW_ERROR_INIT;
    uint32_t n;

    for (uint32_t i = 0; i < MANY; i++) {
        /* Many that begin their search at one place. */
        struct gw_digest x = {i % 7 ? (uint64_t)i << 20 : i, (uint64_t)i * 0x9e3779b9u};

        x.b &= (1ull << 48) - 1;
        assert_int_equal(gw_dedup_find(d, x, i, &n, &err), 0);
        assert_int_equal(n, i);
        assert_int_equal(gw_dedup_find(d, x, i + 1000000, &n, &err), 0);
        assert_int_equal(n, i);
    }
    for (uint32_t i = 0; i < MANY; i += 11) {
        struct gw_digest x = {i % 7 ? (uint64_t)i << 20 : i, ((uint64_t)i * 0x9e3779b9u) & ((1ull << 48) - 1)};

        assert_int_equal(gw_dedup_find(d, x, 5, &n, &err), 0);
        assert_int_equal(n, i);
    }
    gw_dedup_free(d);
}

/* All 96 bits tell digests apart; the first and the last number that can be. */
static void test_bits(void **state)
{
    struct gw_dedup *d = dedup(PAGE);
    struct gw_error err = GW_ERROR_INIT;
    uint32_t n;

    for (uint32_t bit = 0; bit < 96; bit++) {
        struct gw_digest x = {bit < 48 ? 1ull << bit : 0, bit < 48 ? 0 : 1ull << (bit - 48)};

        assert_int_equal(gw_dedup_find(d, x, bit, &n, &err), 0);
        assert_int_equal(n, bit);
    }
    assert_int_equal(gw_dedup_find(d, (struct gw_digest){0, 0}, UINT32_MAX - 1, &n, &err), 0);
    assert_int_equal(n, UINT32_MAX - 1);
    assert_int_equal(gw_dedup_find(d, (struct gw_digest){0, 0}, 7, &n, &err), 0);
    assert_int_equal(n, UINT32_MAX - 1);
    gw_dedup_free(d);
}

/* No memory for a larger table: told, and what was remembered is still known. Later it grows after all. */
static void test_nomem(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_dedup *d = NULL;
    uint32_t known = 0, n;
    int r = 0;

    for (unsigned k = 1; k <= 3; k++) {
        countdown = k;
        assert_int_equal(gw_dedup_new(PAGE, &d, &err), -ENOMEM);
        countdown = 0;
        assert_int_equal(err.blame, GW_BLAME_LOCAL);
        assert_string_equal(err.text, "out of memory (table of pages)");
        assert_null(d);
    }
    d = dedup(PAGE);
    for (; known < 1u << 16; known++) {
        countdown = 1;
        r = gw_dedup_find(d, (struct gw_digest){known, ~(uint64_t)known & 0xffff}, known, &n, &err);
        countdown = 0;
        if (r < 0)
            break;
    }
    assert_int_equal(r, -ENOMEM);
    assert_int_equal(known, (1u << 14) * 7 / 8);
    for (uint32_t i = 0; i < known; i++) {
        assert_int_equal(gw_dedup_find(d, (struct gw_digest){i, ~(uint64_t)i & 0xffff}, 9999999, &n, &err), 0);
        assert_int_equal(n, i);
    }
    assert_int_equal(gw_dedup_find(d, (struct gw_digest){known, ~(uint64_t)known & 0xffff}, known, &n, &err), 0);
    assert_int_equal(n, known);
    gw_dedup_free(d);
}

/* Digests are compared by what they are of, and the table grows. */
static void test_growing(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_dedup *d, *other;
    uint8_t page[4096] = {0};
    uint32_t number;

    assert_int_equal(gw_dedup_new(4096, &d, &err), 0);
    assert_int_equal(gw_dedup_new(4096, &other, &err), 0);
    for (uint32_t round = 0; round < 2; round++)
        for (uint32_t i = 0; i < 40000; i++) {
            memcpy(page + 8 * (i % 500), &i, 4);
            assert_int_equal(gw_dedup_find(d, gw_dedup_digest(d, page), i + 100000 * round, &number, &err), 0);
            assert_int_equal(number, i);
            memset(page + 8 * (i % 500), 0, 4);
        }
    page[5] = 1;
    /* Every object has its own key. */
    assert_int_not_equal(gw_dedup_digest(d, page).a, gw_dedup_digest(other, page).a);
    gw_dedup_free(d);
    gw_dedup_free(other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_digest), cmocka_unit_test(test_keys),  cmocka_unit_test(test_many),
        cmocka_unit_test(test_bits),   cmocka_unit_test(test_nomem), cmocka_unit_test(test_growing),
    };

    return cmocka_run_group_tests_name("dedup", tests, NULL, NULL);
}
