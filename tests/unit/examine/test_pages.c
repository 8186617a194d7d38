/* SPDX-License-Identifier: MIT
 *
 * What pages hold, counted: zeros, those that came before, how much there is in them; also when the table cannot grow.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include <math.h>

#include "examine/pages.h"

#define FAILING_COUNTDOWN
#include "../../failing.h"

#define PAGE 1024u

static void put(uint8_t *page, uint64_t what)
{
    memset(page, 0, PAGE);
    memcpy(page + PAGE - 8, &what, 8);
}

static void test_counts(void **state)
{
    struct gw_pages p = {0};
    uint8_t page[PAGE];

    for (unsigned turn = 0; turn < 2; turn++)
        for (uint64_t i = 0; i < 20000; i++) {
            put(page, i);
            gw_pages_add(&p, page, PAGE);
        }
    assert_int_equal(p.pages, 40000);
    assert_int_equal(p.zero, 2);
    assert_int_equal(p.distinct, 19999);
    assert_int_equal(p.duplicate, 19999);
    gw_pages_close(&p);
    assert_int_equal(p.pages, 0);
    gw_pages_close(&p);
}

/* Each single bit makes another page, and so does its place. */
static void test_bits(void **state)
{
    struct gw_pages p = {0};
    uint8_t page[PAGE] = {0};

    for (unsigned bit = 0; bit < PAGE * 8; bit++) {
        page[bit / 8] = (uint8_t)(1u << bit % 8);
        gw_pages_add(&p, page, PAGE);
        page[bit / 8] = 0;
    }
    assert_int_equal(p.distinct, PAGE * 8);
    assert_int_equal(p.duplicate, 0);
    assert_int_equal(p.zero, 0);
    gw_pages_close(&p);
}

static void test_entropy(void **state)
{
    struct gw_pages p = {0};
    uint8_t page[PAGE];

    assert_true(gw_pages_entropy(&p) == 0);
    memset(page, 0, PAGE);
    gw_pages_add(&p, page, PAGE);
    assert_true(gw_pages_entropy(&p) == 0);
    memset(page, 'x', PAGE);
    gw_pages_add(&p, page, PAGE); /* one byte only */
    assert_true(gw_pages_entropy(&p) == 0);
    gw_pages_close(&p);
    for (unsigned i = 0; i < PAGE; i++)
        page[i] = (uint8_t)i;
    gw_pages_add(&p, page, PAGE);
    assert_true(fabs(gw_pages_entropy(&p) - 8) < 1e-9);
    gw_pages_close(&p);
    for (unsigned i = 0; i < PAGE; i++)
        page[i] = i & 1;
    gw_pages_add(&p, page, PAGE);
    assert_true(fabs(gw_pages_entropy(&p) - 1) < 1e-9);
    gw_pages_close(&p);
}

/* A table that cannot grow counts what it knows, and nothing is taken for another. */
static void test_nomem(void **state)
{
    struct gw_pages p = {0};
    uint8_t page[PAGE];
    uint64_t known;

    put(page, 1);
    countdown = 1;
    gw_pages_add(&p, page, PAGE);
    countdown = 0;
    assert_true(p.full);
    gw_pages_add(&p, page, PAGE);
    assert_int_equal(p.pages, 2);
    assert_int_equal(p.distinct + p.duplicate, 0);
    gw_pages_close(&p);
    for (uint64_t i = 1; !p.full; i++) {
        put(page, i);
        countdown = i > 1;
        gw_pages_add(&p, page, PAGE);
        countdown = 0;
        assert_true(i < 10000);
    }
    known = p.distinct;
    assert_int_equal(known, 4096 * 3 / 4);
    for (uint64_t i = 1; i <= 2 * known; i++) {
        put(page, i);
        gw_pages_add(&p, page, PAGE);
    }
    assert_int_equal(p.distinct, known);
    assert_int_equal(p.duplicate, known);
    assert_int_equal(p.pages, 3 * known + 1);
    gw_pages_close(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_counts),
        cmocka_unit_test(test_bits),
        cmocka_unit_test(test_entropy),
        cmocka_unit_test(test_nomem),
    };

    return cmocka_run_group_tests_name("pages", tests, NULL, NULL);
}
