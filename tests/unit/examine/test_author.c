/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "engine/features.h"
#include "examine/author.h"
#include "wire/numbers.h"

#define BLOCKS 3u
#define PAGES  5000u /* of a block */

struct machine {
    unsigned blocks;
    uint8_t zero[BLOCKS][PAGES], dirty[BLOCKS][PAGES];
};

static uint64_t seed;

static uint32_t roll(uint32_t below)
{
    seed = seed * 6364136223846793005ull + 1442695040888963407ull;
    return (uint32_t)((seed >> 33) % below);
}

static const char *name(struct gw_author *a)
{
    gw_author_section(a, true);
    a->ended = true;
    return gw_author_name(gw_author_marks(a)) ? gw_author_name(gw_author_marks(a)) : "unknown";
}

/* Pages of block 0 in one section; upper case: zeros. "bA": page 1, then page 0, which is zeros. */
static const char *name_of(const char *pages)
{
    struct gw_author a = {0};

    for (; *pages; pages++)
        gw_author_page(&a, &a, (uint64_t)((*pages | 0x20) - 'a'), *pages < 'a');
    return name(&a);
}

static void test_order(void **state)
{
    assert_string_equal(name_of("BDac"), "godwit");
    assert_string_equal(name_of("abCEdf"), "godwit");
    assert_string_equal(name_of("aBcdefgh"), "QEMU");
    assert_string_equal(name_of("abcDeFgh"), "QEMU");
    assert_string_equal(name_of("abcdefgh"), "unknown");
    assert_string_equal(name_of("ABCDEFGH"), "unknown");
    assert_string_equal(name_of("abcdEFGH"), "unknown"); /* a batch could begin at E */
    assert_string_equal(name_of("BDac" "aBcDefghijk"), "unknown");
    assert_string_equal(name_of("BDace" "d"), "godwit"); /* d was sent again */
}

/* All pages at first, then some; few zeros or many, in pieces or one by one. */
static void change(struct machine *m, bool all)
{
    uint32_t often = 1 + roll(100), zeros = roll(101), piece = 1 + roll(roll(2) ? 3 : 300);

    for (unsigned b = 0; b < m->blocks; b++)
        for (uint32_t i = 0; i < PAGES; i++) {
            m->dirty[b][i] = all || roll(100) < often;
            m->zero[b][i] = i % piece && i ? m->zero[b][i - 1] : roll(100) < zeros;
        }
}

static void put(struct gw_author *a, struct machine *m, unsigned b, uint32_t page, uint32_t *left)
{
    gw_author_page(a, m->zero[b], page, m->zero[b][page]);
    m->dirty[b][page] = 0;
    *left -= GW_MIN(*left, m->zero[b][page] ? 0u : 1u);
}

/* A pass as ram/live.c and its sources make it, whatever the rate: batches of one block and one piece of it, and a section ends
 * behind the batch with which its share of bytes is spent. */
static void godwit_sends(struct gw_author *a, struct machine *m)
{
    uint32_t cut = roll(2) ? 128 : 4096, max = roll(2) ? 512 : 1 + roll(roll(2) ? 512 : 8), page[512], n;
    uint32_t share = max == 512 ? UINT32_MAX : max, left = share; /* the END has no share, and large batches */

    for (unsigned b = 0; b < m->blocks; b++)
        for (uint32_t at = 0; at < PAGES;) {
            for (n = 0; at < PAGES && n < max && (!n || at / cut == page[0] / cut); at++)
                if (m->dirty[b][at])
                    page[n++] = at;
            for (uint32_t i = 0, zero; i < 2 * n; i++)
                if ((zero = i < n) == m->zero[b][page[i % n]])
                    put(a, m, b, page[i % n], &left);
            if (!left && n) {
                gw_author_section(a, false);
                left = share;
            }
        }
    gw_author_section(a, false);
}

/* A section goes on where the one before it ended, from page to page, and ends anywhere. */
static void qemu_sends(struct gw_author *a, struct machine *m, uint32_t *at)
{
    uint32_t all = m->blocks * PAGES, left = 1 + roll(roll(2) ? all : 500);

    for (uint32_t i = 0; i < all && left; i++, *at = (*at + 1) % all)
        if (m->dirty[*at / PAGES][*at % PAGES])
            put(a, m, *at / PAGES, *at % PAGES, &left);
    gw_author_section(a, false);
}

/* However the pages fall, no stream is said to be the other's. Most are told. */
static void test_never_the_other(void **state)
{
    struct machine *m = malloc(sizeof *m);
    unsigned told[2] = {0};

    assert_non_null(m);
    for (seed = 1; seed < 1u << 20; seed = seed * 2 + 1)
        for (unsigned qemu = 0; qemu < 2; qemu++) {
            uint64_t of_run = seed;

            for (unsigned run = 0; run < 25; run++) {
                struct gw_author a = {0};
                uint32_t at = 0;
                const char *found;

                m->blocks = 1 + roll(BLOCKS);
                for (unsigned pass = 0; pass < 6; pass++) {
                    change(m, !pass);
                    if (qemu)
                        qemu_sends(&a, m, &at);
                    else
                        godwit_sends(&a, m);
                }
                found = name(&a);
                if (gw_author_marks(&a) & 1u << (qemu ? GW_AUTHOR_BATCHES : GW_AUTHOR_PAGE_BY_PAGE))
                    fail_msg("seed %" PRIu64 ", run %u: a stream of %s has a mark of the other", of_run, run, qemu ? "QEMU" : "godwit");
                told[qemu] += strcmp(found, "unknown") != 0;
            }
            seed = of_run;
        }
    assert_true(told[0] > 250 && told[1] > 250); /* of 500 */
    free(m);
}

static void test_where_order_says_nothing(void **state)
{
    struct gw_author a = {.unordered = true}, cut = {0}, snapshot = {0};

    for (unsigned i = 0; i < 64; i++)
        gw_author_page(&a, &a, i, i % 2);
    assert_string_equal(name(&a), "unknown");
    gw_author_page(&cut, &cut, 1, true);
    gw_author_page(&cut, &cut, 0, false);
    gw_author_section(&cut, false);
    assert_int_equal(gw_author_marks(&cut), 0); /* the stream may still become a background snapshot */
    gw_author_section(&snapshot, false);
    snapshot.ended = true;
    assert_int_equal(gw_author_marks(&snapshot), 0); /* both make such */
}

static void test_commands(void **state)
{
    struct gw_author plain = {0}, cookie = {0}, commit = {0}, postcopy = {0}, colo = {0};

    gw_author_command(&plain, GW_COMMAND_OPEN_RETURN_PATH, 0);
    gw_author_command(&plain, GW_COMMAND_PING, 1);
    gw_author_command(&plain, GW_COMMAND_SWITCHOVER_START, 0);
    assert_string_equal(name(&plain), "unknown");
    gw_author_command(&cookie, GW_COMMAND_PING, GW_PING_COOKIE);
    assert_string_equal(name(&cookie), "godwit");
    gw_author_command(&commit, GW_COMMAND_GODWIT_COMMIT, 0);
    assert_string_equal(name(&commit), "godwit");
    gw_author_command(&postcopy, GW_COMMAND_POSTCOPY_LISTEN, 0);
    assert_string_equal(name(&postcopy), "unknown");
    assert_true(postcopy.postcopy);
    gw_author_command(&colo, GW_COMMAND_ENABLE_COLO, 0);
    assert_string_equal(name(&colo), "QEMU");
}

/* These marks are QEMU's for as long as godwit cannot do it. One that it learns is taken out of GW_AUTHOR_MARKS. */
static void test_what_only_qemu_does(void **state)
{
    static const enum gw_capability only[] = {GW_CAP_COLO};

    for (size_t i = 0; i < GW_ARRAY_LEN(only); i++)
        assert_false(gw_feature(only[i])->supported);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order),    cmocka_unit_test(test_never_the_other),     cmocka_unit_test(test_where_order_says_nothing),
        cmocka_unit_test(test_commands), cmocka_unit_test(test_what_only_qemu_does),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
