/* SPDX-License-Identifier: MIT
 *
 * Working sets of many guests become one: which pages come first, which count as asked for, and what does not belong together.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "ram/source/working_set.h"

static struct gw_working_tally *tally;
static struct gw_working_set *guest, *all;
static struct gw_error err;

static int up(void **state)
{
    err = (struct gw_error)GW_ERROR_INIT;
    return gw_working_tally_new(&tally, NULL) | gw_working_set_new(&guest, NULL) | gw_working_set_new(&all, NULL);
}

static int down(void **state)
{
    tally = gw_working_tally_free(tally);
    guest = gw_working_set_free(guest);
    all = gw_working_set_free(all);
    return 0;
}

/* Pages of block "a", or of "b" where they are capitals; '+': the next one was sent beside another. */
static void wanted(const char *pages)
{
    bool beside = false;

    for (const char *p = pages; *p; p++) {
        bool b = *p >= 'A' && *p <= 'Z';

        if (*p != '+')
            assert_int_equal(gw_working_set_add(guest, 4096, b ? "b" : "a", 26, beside, (uint64_t)(*p - (b ? 'A' : 'a')), 1, &err), 0);
        beside = *p == '+';
    }
    assert_int_equal(gw_working_tally_add(tally, guest, &err), 0);
    guest = gw_working_set_free(guest);
    assert_int_equal(gw_working_set_new(&guest, NULL), 0);
}

static void is(const char *want)
{
    char got[256] = "";
    size_t n = 0;

    assert_int_equal(gw_working_tally_set(tally, all, &err), 0);
    for (size_t i = 0; i < all->run_count; i++)
        for (uint64_t k = 0; k < all->runs[i].count; k++) {
            bool b = !strcmp(all->blocks[all->runs[i].block].name, "b");

            n += (size_t)snprintf(got + n, sizeof got - n, "%s%c", all->runs[i].beside ? "+" : "",
                                  (char)((b ? 'A' : 'a') + (int)(all->runs[i].first + k)));
        }
    assert_string_equal(got, want);
}

static void test_one(void **state)
{
    wanted("kBa+b+Cz");
    is("kBaz+b+C");
    assert_int_equal(all->page_bytes, 4096);
    assert_int_equal(all->blocks[0].pages, 26);
}

static void test_none(void **state)
{
    wanted("");
    is("");
    assert_int_equal(gw_working_set_pages(all), 0);
}

/* Those that half of them wanted come in their order on average, whether all did or not. */
static void test_common(void **state)
{
    wanted("abc");
    wanted("bca");
    wanted("bac");
    wanted("bdac");
    is("bacd"); /* places 0.25, 1.25, 2, 1: and d is one guest's only */
}

static void test_rare(void **state)
{
    wanted("xyza");
    wanted("qya");
    wanted("aqr");
    wanted("as");
    wanted("at");
    /* y and q are wanted by two of five, the others by one. */
    is("aqyxstrz");
}

/* Half of an odd number is more than half. */
static void test_half(void **state)
{
    wanted("ba");
    wanted("ca");
    wanted("da");
    is("abcd");
    down(NULL);
    up(NULL);
    wanted("ba");
    wanted("cd");
    is("bcad");
}

/* One that was asked for once is no neighbour any more. */
static void test_beside(void **state)
{
    wanted("a+b+c");
    wanted("ab+c");
    is("ab+c");
}

static void test_twice(void **state)
{
    wanted("ab+aca");
    wanted("b");
    is("abc");
    assert_int_equal(gw_working_set_pages(all), 3);
}

/* Sets that do not name the same blocks in the same order. */
static void test_blocks(void **state)
{
    wanted("Aa");
    wanted("aA");
    wanted("A");
    is("Aa");
}

static void test_more_later(void **state)
{
    wanted("ab");
    is("ab");
    wanted("ba");
    wanted("ba");
    all = gw_working_set_free(all);
    assert_int_equal(gw_working_set_new(&all, NULL), 0);
    is("ba");
}

static void test_other_pages(void **state)
{
    wanted("a");
    assert_int_equal(gw_working_set_add(guest, 16384, "a", 26, false, 0, 1, &err), 0);
    assert_int_equal(gw_working_tally_add(tally, guest, &err), -EINVAL);
    assert_string_equal(err.text, "its pages have 16384 bytes, and those of the other guests 4096");
    is("a");
}

#define T(f) cmocka_unit_test_setup_teardown(f, up, down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_one), T(test_none), T(test_common), T(test_rare), T(test_half), T(test_beside), T(test_twice), T(test_blocks),
        T(test_more_later), T(test_other_pages),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
