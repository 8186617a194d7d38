/* SPDX-License-Identifier: MIT
 *
 * Target pages that are not as large as the host's: put together beside the memory, placed whole, 2 MiB pages for real.
 */
#include "uffd_rig.h"

#include "ram/page/batch.h"
#include "../../../privilege.h"

#define PAGE  4096u
#define PAGES 64u

static void all_is(const uint8_t *p, uint8_t value, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        if (p[i] != value)
            fail_msg("byte %zu is 0x%x and not 0x%x", i, p[i], value);
}

/* Target pages of a host page come one by one, and the guest sees all of it at once. 3 units, the last one cut. */
static void put_together(enum memory kind, uint32_t page, size_t host)
{
    unsigned n = (unsigned)(host / page);
    struct gw_error err = GW_ERROR_INIT;
    struct gw_store *lane;
    struct touch t;
    struct rig rig;

    assert_true(rig_open(&rig, kind, page, host, 3 * host - page, 0));
    if (rig.b->pages != 3 * n - 1)
        fail_msg("%" PRIu64 " pages", rig.b->pages);
    rig_listen(&rig);
    assert_int_equal(gw_uffd_lane(rig.store, &lane, NULL), 0);
    touch(&t, &rig, host + 1, false);
    assert_int_equal(rig_asked(&rig, 0), 1);
    for (unsigned i = 0; i < n; i++) { /* a zero page among others, also as the first, and one that comes twice */
        assert_int_equal(rig.store->missing(rig.store, rig.b), 3 * n - 1);
        assert_int_equal(gw_uffd_waiting(rig.store), 1);
        if (i % 3 == 0)
            assert_int_equal(lane->zero(lane, rig.b, n + i, NULL), 0);
        else
            assert_int_equal(rig_put(&rig, lane, n + i, (uint8_t)(i | 1), NULL), 0);
        if (i == 1)
            assert_int_equal(rig_put(&rig, lane, n + i, 0x77, NULL), 0);
    }
    assert_int_equal(touched(&t), 0);
    for (unsigned i = 0; i < n; i++)
        all_is(rig.host + host + i * page, i % 3 == 0 ? 0 : i == 1 ? 0x77 : (uint8_t)(i | 1), page);
    assert_int_equal(lane->missing(lane, rig.b), 2 * n - 1);
    /* All of it zeros; and a unit of which a part is behind the end. */
    for (unsigned i = 0; i < n; i++)
        assert_int_equal(lane->zero(lane, rig.b, i, NULL), 0);
    all_is(rig.host, 0, host);
    for (unsigned i = 0; i + 1 < n; i++)
        assert_int_equal(rig_put(&rig, lane, 2 * n + i, 9, NULL), 0);
    all_is(rig.host + 2 * host, 9, host - page);
    all_is(rig.host + 3 * host - page, 0, page);
    assert_int_equal(rig.store->missing(rig.store, rig.b), 0);
    assert_int_equal(rig_figures(&rig).requests, 1);
    lane->free(lane);

    /* Another host page before the end. What came of the first is forgotten with the lane. */
    rig.store->reset(rig.store);
    assert_int_equal(rig.store->add(rig.store, rig.b, NULL), 0);
    rig_listen(&rig);
    assert_int_equal(gw_uffd_lane(rig.store, &lane, NULL), 0);
    assert_int_equal(rig_put(&rig, lane, 0, 1, NULL), 0);
    assert_int_equal(lane->zero(lane, rig.b, 1, NULL), n == 2);
    if (n > 2) {
        assert_int_equal(rig_put(&rig, lane, n, 1, &err), -EPROTO);
        assert_int_equal(err.blame, GW_BLAME_PEER);
        assert_non_null(strstr(err.text, "comes while the host page at 0x0 of block ram is not complete (2 of "));
    }
    lane->free(lane);
    assert_int_equal(gw_bitmap_count(gw_uffd_received(rig.store, rig.b), rig.b->pages), 0);
    assert_int_equal(gw_uffd_lane(rig.store, &lane, NULL), 0);
    for (unsigned i = 0; i < n; i++)
        assert_int_equal(rig_put(&rig, lane, i, 5, NULL), 0);
    all_is(rig.host, 5, host);
    lane->free(lane);
    rig_close(&rig);
}

static void small_pages_put_together(void **state)
{
    put_together(ANONYMOUS, 1024, PAGE);
    put_together(MEMFD, 1024, PAGE);
    put_together(ANONYMOUS, 4096, 16 * PAGE);
    put_together(MEMFD, 4096, HUGE);
}

/* A target page may be larger than the host's. */
static void large_target_pages(void **state)
{
    struct touch t;
    struct rig rig;

    assert_true(rig_open(&rig, ANONYMOUS, 16 * 1024, PAGE, PAGES * PAGE, 0));
    rig_listen(&rig);
    touch(&t, &rig, 7 * PAGE, false);
    assert_int_equal(rig_asked(&rig, 0), 1);
    assert_int_equal(rig_put(&rig, rig.store, 1, 0x31, NULL), 0);
    assert_int_equal(touched(&t), 0x31);
    all_is(rig.host + 4 * PAGE, 0x31, 4 * PAGE);
    assert_int_equal(rig.store->zero(rig.store, rig.b, 3, NULL), 0);
    all_is(rig.host + 12 * PAGE, 0, 4 * PAGE);
    assert_int_equal(rig_asks(&rig), 1);
    rig_close(&rig);
}

/* What a unit that came in part holds stays; the rest of it does not come any more. */
static void came_in_part(void **state)
{
    struct rig rig;

    assert_true(rig_open(&rig, ANONYMOUS, 1024, PAGE, PAGES * PAGE, 0));
    assert_int_equal(rig_put(&rig, rig.store, 5, 0x5, NULL), 0);
    assert_int_equal(rig_put(&rig, rig.store, 9, 0x9, NULL), 0);
    assert_int_equal(gw_uffd_discard(rig.store, rig.b, 8, 4, NULL), 0);
    rig_listen(&rig);
    all_is(rig.host + PAGE, 0, 1024);
    all_is(rig.host + PAGE + 1024, 5, 1024);
    assert_int_equal(rig.store->missing(rig.store, rig.b), PAGES * 4 - 4);
    assert_int_equal(rig_asks(&rig), 0);
    rig_close(&rig);
}

/* Places may be given ahead: all pages of a packet, then their contents. */
static void packets(void **state)
{
    struct rig rig;
    struct gw_store *lane;
    uint8_t *at[128];

    for (unsigned turn = 0; turn < 2; turn++) {
        assert_true(rig_open(&rig, ANONYMOUS, turn ? 1024 : PAGE, PAGE, 128 * PAGE, 0));
        rig_listen(&rig);
        assert_int_equal(gw_uffd_lane(rig.store, &lane, NULL), 0);
        for (unsigned from = 0; from < rig.b->pages; from += 128) {
            for (unsigned i = 0; i < 128; i++)
                at[i] = lane->where(lane, rig.b, from + i, GW_STORE_OVERWRITE);
            for (unsigned i = 0; i < 128; i++)
                memset(at[i], (int)i, rig.ram.page_bytes);
            for (unsigned i = 0; i < 128; i++)
                assert_int_equal(lane->place(lane, rig.b, from + i, NULL), 0);
        }
        for (unsigned i = 0; i < rig.b->pages; i++)
            all_is(rig.host + i * rig.ram.page_bytes, i % 128, rig.ram.page_bytes);
        lane->free(lane);
        rig_close(&rig);
    }
}

static void huge_pages(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    struct touch t;
    struct rig rig;
    char before[32];
    int knob = huge_reserve(6, before);

    if (knob < 0)
        skip();
    for (unsigned i = 0; i < 2; i++) {
        enum memory kind = i ? HUGE_SHARED : HUGE_PRIVATE;

        put_together(kind, PAGE, HUGE);
        /* What came before, what was discarded, what never comes. */
        assert_true(rig_open(&rig, kind, PAGE, HUGE, 3 * HUGE, 0));
        assert_int_equal(rig_put(&rig, rig.store, 700, 0x70, NULL), 0);
        assert_int_equal(rig_put(&rig, rig.store, 1300, 0x13, NULL), 0);
        assert_int_equal(gw_uffd_discard(rig.store, rig.b, 1024, 1, &err), -EPROTO);
        assert_int_equal(gw_uffd_discard(rig.store, rig.b, 1025, 512, &err), -EPROTO);
        assert_int_equal(gw_uffd_discard(rig.store, rig.b, 1024, 512, NULL), 0);
        rig_listen(&rig);
        all_is(rig.host + 700 * PAGE, 0x70, PAGE);
        assert_int_equal(rig.store->missing(rig.store, rig.b), 1024);
        touch(&t, &rig, 2 * HUGE + 5, false);
        assert_int_equal(rig_asked(&rig, 0), 2);
        assert_int_equal(gw_uffd_finish(rig.store, NULL), 0);
        assert_int_equal(touched(&t), 0);
        assert_int_equal(rig.host[5], 0);
        rig_close(&rig);
        /* Its size was not told. */
        assert_true(rig_open(&rig, kind, PAGE, HUGE, HUGE, 0));
        rig.b->page_bytes = PAGE;
        assert_int_equal(gw_uffd_listen(rig.store, &err), -EINVAL);
        assert_non_null(strstr(err.text, "RAM block ram cannot do postcopy: it is of huge TLB pages"));
        rig_close(&rig);
    }
    huge_give_back(knob, before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(small_pages_put_together),
        cmocka_unit_test(large_target_pages),
        cmocka_unit_test(came_in_part),
        cmocka_unit_test(packets),
        cmocka_unit_test(huge_pages),
    };

    if (!may_answer_faults())
        return EXIT_SKIPPED;
    return cmocka_run_group_tests_name("host pages in the uffd store", tests, NULL, NULL);
}
