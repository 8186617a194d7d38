/* SPDX-License-Identifier: MIT
 *
 * Units are put together in any way in which their pages may come, and no other.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "ram/page/batch.h"
#include "ram/store/staging.h"

#define PAGE 4096u

struct two { /* blocks: one of small pages, one of units of 4 */
    struct gw_ram ram;
    struct gw_ram_block block[2];
    struct gw_units of[2];
    struct gw_unit_table table;
    struct gw_staging *s;
};

static void open_two(struct two *w)
{
    memset(w, 0, sizeof *w);
    w->ram.page_bytes = PAGE;
    w->ram.page_bits = 12;
    w->table = (struct gw_unit_table){.ram = &w->ram, .of = w->of, .count = 2};
    for (unsigned i = 0; i < 2; i++) {
        w->block[i].name[0] = (char)('a' + i);
        w->block[i].index = i;
        w->block[i].pages = 2000 - i;
        w->of[i].block = &w->block[i];
        w->of[i].unit_pages = i ? 4 : 1;
        w->of[i].unit_bytes = w->of[i].unit_pages * PAGE;
        w->of[i].count = gw_div_up(w->block[i].pages, w->of[i].unit_pages);
    }
    assert_int_equal(gw_staging_new(&w->table, &w->s, NULL), 0);
}

static int put(struct two *w, unsigned block, uint64_t page, int value, const uint8_t **from, struct gw_error *err)
{
    if (value)
        memset(gw_staging_where(w->s, &w->of[block], page), value, PAGE);
    return gw_staging_put(w->s, &w->of[block], page, !value, from, err);
}

/* One after the other they come from the same memory, which stays in the caches. */
static void one_by_one(void **state)
{
    const uint8_t *from, *first = NULL;
    struct two w;

    open_two(&w);
    for (unsigned i = 0; i < 1000; i++) {
        assert_int_equal(put(&w, 0, i * 7 % 2000, (int)(i % 255 + 1), &from, NULL), 1);
        assert_int_equal(from[PAGE - 1], i % 255 + 1);
        assert_ptr_equal(from, first ? first : from);
        first = from;
        assert_int_equal(put(&w, 0, i, 0, &from, NULL), 1);
        assert_null(from);
    }
    gw_staging_free(w.s);
    assert_null(gw_staging_free(NULL));
}

/* As many places as a batch has pages may be given ahead, and are put in any order; more are not. */
static void ahead(void **state)
{
    static uint8_t *at[2 * GW_BATCH_PAGES];
    struct gw_error err = GW_ERROR_INIT;
    const uint8_t *from;
    struct two w;

    open_two(&w);
    for (unsigned turn = 0; turn < 3; turn++) {
        for (unsigned i = 0; i < GW_BATCH_PAGES; i++)
            memset(at[i] = gw_staging_where(w.s, &w.of[0], i), (int)i, PAGE);
        assert_ptr_equal(gw_staging_where(w.s, &w.of[0], 5), at[5]);
        for (unsigned i = GW_BATCH_PAGES; i-- > 0;) {
            unsigned page = turn == 1 ? i : turn == 2 ? i ^ 1 : GW_BATCH_PAGES - 1 - i;

            assert_int_equal(gw_staging_put(w.s, &w.of[0], page, false, &from, NULL), 1);
            assert_ptr_equal(from, at[page]);
            assert_int_equal(from[9], page % 256);
        }
    }
    for (unsigned i = 0; i <= GW_BATCH_PAGES; i++)
        memset(gw_staging_where(w.s, &w.of[0], i), 1, PAGE);
    assert_int_equal(gw_staging_put(w.s, &w.of[0], GW_BATCH_PAGES, false, &from, &err), -EPROTO);
    assert_int_equal(err.blame, GW_BLAME_PEER);
    gw_staging_forget(w.s);
    assert_int_equal(put(&w, 1, 0, 0, &from, NULL), 0);
    gw_staging_free(w.s);
}

/* Units of several pages: pages in any order, zeros among them, some twice; the last unit is cut. */
static void in_pieces(void **state)
{
    static const unsigned orders[][4] = {{0, 1, 2, 3}, {3, 2, 1, 0}, {2, 0, 3, 1}};
    const uint8_t *from;
    struct two w;

    open_two(&w);
    for (unsigned mask = 0; mask < 16; mask++) /* which are zeros */
        for (unsigned o = 0; o < 3; o++) {
            for (unsigned i = 0; i < 4; i++) {
                unsigned page = orders[o][i], value = mask >> page & 1 ? 0 : page + 1;

                if (i == 2) /* again, as something else at first */
                    assert_int_equal(put(&w, 1, 40 + orders[o][0], 0x99, &from, NULL), 0);
                if (i == 2)
                    assert_int_equal(put(&w, 1, 40 + orders[o][0], mask >> orders[o][0] & 1 ? 0 : (int)orders[o][0] + 1, &from, NULL), 0);
                assert_int_equal(put(&w, 1, 40 + page, (int)value, &from, NULL), i == 3);
            }
            for (unsigned at = 0; from && at < 4 * PAGE; at++)
                assert_int_equal(from[at], mask >> at / PAGE & 1 ? 0 : at / PAGE + 1);
            assert_non_null(from); /* 0x99 was there */
        }
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(put(&w, 1, 8 + i, 0, &from, NULL), i == 3);
    assert_null(from);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(put(&w, 1, 1996 + i, 7, &from, NULL), i == 2);
    for (unsigned at = 0; at < 4 * PAGE; at++)
        assert_int_equal(from[at], at < 3 * PAGE ? 7 : 0);
    gw_staging_free(w.s);
}

static void out_of_order(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    const uint8_t *from;
    struct two w;

    open_two(&w);
    assert_int_equal(put(&w, 1, 5, 1, &from, NULL), 0);
    assert_int_equal(put(&w, 1, 8, 1, &from, &err), -EPROTO);
    assert_string_equal(err.text, "RAM block b: the page at 0x8000 comes while the host page at 0x4000 of block b is not complete (1 of 4 "
                                  "pages)");
    assert_int_equal(put(&w, 0, 0, 1, &from, &err), -EPROTO);
    assert_string_equal(err.text, "RAM block a: the page at 0x0 comes while the host page at 0x4000 of block b is not complete (1 of 4 "
                                  "pages)");
    gw_staging_forget(w.s);
    /* A place that was asked for is no page that has come. */
    gw_staging_where(w.s, &w.of[1], 5);
    assert_int_equal(put(&w, 0, 0, 0, &from, &err), -EPROTO);
    gw_staging_forget(w.s);
    assert_int_equal(put(&w, 0, 0, 3, &from, &err), 1);
    /* The same page twice in a packet. */
    gw_staging_where(w.s, &w.of[0], 5);
    assert_int_equal(gw_staging_put(w.s, &w.of[0], 5, false, &from, &err), 1);
    assert_int_equal(gw_staging_put(w.s, &w.of[0], 5, false, &from, &err), -EPROTO);
    assert_string_equal(err.text, "RAM block a: the page at 0x5000 comes twice at the same time");
    gw_staging_free(w.s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_by_one),
        cmocka_unit_test(ahead),
        cmocka_unit_test(in_pieces),
        cmocka_unit_test(out_of_order),
    };

    return cmocka_run_group_tests_name("staging", tests, NULL, NULL);
}
