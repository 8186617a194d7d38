/* SPDX-License-Identifier: MIT
 *
 * What back ends found goes into the maps of a block: against a map of bytes, with what is discarded, at every end.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "ram/tracker/tracker.h"

#define PAGES  (2 * GW_CHUNK_PAGES + 100)
#define CHUNKS 3u

/* The words behind the maps must stay as they are. */
static struct rig {
    struct gw_ram ram;
    struct gw_tracker t;
    struct gw_ram_block b;
    uint64_t dirty[PAGES / 64 + 2], counted[PAGES / 64 + 2], discarded[PAGES / 64 + 2], unclean[2];
    uint8_t want[PAGES], want_counted[PAGES];
} rig;

static uint64_t rnd(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005ull + 1442695040888963407ull;
    return *seed ^ *seed >> 31;
}

static void open_rig(bool discarded, bool counting)
{
    memset(&rig, 0, sizeof rig);
    rig.t.ram = &rig.ram;
    rig.b.pages = PAGES;
    rig.b.dirty = rig.dirty;
    rig.b.unclean = rig.unclean;
    rig.b.discarded = discarded ? rig.discarded : NULL;
    rig.b.counted = rig.counted;
    rig.t.counting = counting;
}

static void compare(void)
{
    uint64_t dirty = 0;

    for (uint64_t i = 0; i < PAGES; i++) {
        if (gw_bitmap_test(rig.dirty, i) != rig.want[i])
            fail_msg("page %" PRIu64 " is %d instead of %d", i, !rig.want[i], rig.want[i]);
        assert_int_equal(gw_bitmap_test(rig.counted, i), rig.want_counted[i]);
        dirty += rig.want[i];
    }
    assert_int_equal(gw_bitmap_count(rig.dirty, sizeof rig.dirty * 8), dirty);
    assert_int_equal(rig.ram.dirty_pages, dirty);
}

static uint64_t model(uint64_t first, uint64_t pages, const uint64_t *map)
{
    uint64_t found = 0;

    for (uint64_t i = first; i < PAGES && i - first < pages; i++) {
        if ((map && !gw_bitmap_test(map, i - first)) || (rig.b.discarded && gw_bitmap_test(rig.discarded, i)))
            continue;
        found += !rig.want[i];
        rig.want[i] = 1;
        if (rig.t.counting)
            rig.want_counted[i] = 1;
    }
    return found;
}

static void random_ways(bool discarded, bool counting)
{
    uint64_t seed = 3 + discarded + 2 * counting;

    open_rig(discarded, counting);
    for (unsigned i = 0; discarded && i < 200; i++) {
        uint64_t from = rnd(&seed) % PAGES;

        gw_bitmap_set_range(rig.discarded, from, GW_MIN(rnd(&seed) % 100, PAGES - from));
    }
    for (unsigned i = 0; i < 300; i++) {
        uint64_t first = rnd(&seed) % (PAGES + 50), pages = rnd(&seed) % (i % 10 ? 70 : 2 * PAGES);

        if (i % 3) {
            uint64_t want = model(first, pages, NULL);

            assert_int_equal(gw_tracker_found(&rig.t, &rig.b, first, pages, true), want);
        } else {
            uint64_t map[PAGES / 64 + 2] = {0}, want;

            first &= ~63ull;
            pages = GW_MIN(pages, PAGES);
            for (unsigned k = 0; k < 40; k++)
                gw_bitmap_set(map, rnd(&seed) % (pages + 1)); /* also the bit behind them */
            want = model(first, pages, map);
            assert_int_equal(gw_tracker_found_map(&rig.t, &rig.b, first, pages, map, true), want);
        }
        if (i % 50 == 0) /* a round is sent */
            for (uint64_t p = 0; p < PAGES; p++)
                if (gw_bitmap_test_clear(rig.dirty, p)) {
                    rig.want[p] = 0;
                    rig.ram.dirty_pages--;
                }
    }
    compare();
}

static void test_random(void **state)
{
    for (unsigned i = 0; i < 4; i++)
        random_ways(i & 1, i & 2);
}

/* Nothing behind the end, whatever is said. */
static void test_ends(void **state)
{
    static const struct {
        uint64_t first, pages, want;
    } rows[] = {
        {0, 0, 0},          {PAGES, 1, 0},         {UINT64_MAX, UINT64_MAX, 0}, {PAGES - 1, 1, 1},
        {PAGES - 1, 64, 1}, {0, UINT64_MAX, PAGES}, {PAGES - 3, UINT64_MAX, 3},
    };

    for (size_t i = 0; i < GW_ARRAY_LEN(rows); i++) {
        open_rig(false, false);
        assert_int_equal(gw_tracker_found(&rig.t, &rig.b, rows[i].first, rows[i].pages, true), rows[i].want);
        assert_int_equal(gw_bitmap_count(rig.dirty, sizeof rig.dirty * 8), rows[i].want);
        assert_int_equal(rig.ram.dirty_pages, rows[i].want);
        assert_int_equal(rig.unclean[0] >> CHUNKS, 0);
        assert_int_equal(rig.unclean[1], 0);
        /* Again: not new. */
        assert_int_equal(gw_tracker_found(&rig.t, &rig.b, rows[i].first, rows[i].pages, true), 0);
    }
    open_rig(false, false);
    uint64_t all[PAGES / 64 + 2];
    memset(all, 0xff, sizeof all);
    assert_int_equal(gw_tracker_found_map(&rig.t, &rig.b, PAGES / 64 * 64 + 64, 64, all, true), 0);
    assert_int_equal(gw_tracker_found_map(&rig.t, &rig.b, 0, 0, all, true), 0);
    assert_int_equal(gw_tracker_found_map(&rig.t, &rig.b, GW_CHUNK_PAGES, 1, all, true), 1);
    assert_int_equal(gw_tracker_found_map(&rig.t, &rig.b, 0, UINT64_MAX, all, true), PAGES - 1);
    assert_int_equal(gw_bitmap_count(rig.dirty, sizeof rig.dirty * 8), PAGES);
}

/* Chunks in which something was found, and only those; none where the caller has cleaned them itself. */
static void test_chunks(void **state)
{
    const uint64_t map[2] = {0, 1};

    open_rig(false, false);
    gw_tracker_found(&rig.t, &rig.b, GW_CHUNK_PAGES - 1, 1, true);
    assert_int_equal(rig.unclean[0], 1);
    gw_tracker_found(&rig.t, &rig.b, 2 * GW_CHUNK_PAGES - 1, 2, true);
    assert_int_equal(rig.unclean[0], 7);
    open_rig(false, false);
    gw_tracker_found(&rig.t, &rig.b, 0, PAGES, false);
    gw_tracker_found_map(&rig.t, &rig.b, 0, 128, map, false);
    assert_int_equal(rig.unclean[0], 0);
    gw_tracker_found_map(&rig.t, &rig.b, GW_CHUNK_PAGES - 64, 128, map, true);
    assert_int_equal(rig.unclean[0], 2);
}

/* A page that is discarded is neither sent nor counted, and its dirty bit does not come back. */
static void test_discarded(void **state)
{
    open_rig(true, true);
    gw_bitmap_set_range(rig.discarded, 0, PAGES);
    assert_int_equal(gw_tracker_found(&rig.t, &rig.b, 0, PAGES, true), 0);
    gw_bitmap_clear(rig.discarded, PAGES - 1);
    gw_bitmap_clear(rig.discarded, 0);
    assert_int_equal(gw_tracker_found(&rig.t, &rig.b, 0, PAGES, true), 2);
    assert_int_equal(gw_bitmap_count(rig.dirty, PAGES), 2);
    assert_int_equal(gw_bitmap_count(rig.counted, PAGES), 2);
    assert_true(gw_bitmap_test(rig.dirty, 0) && gw_bitmap_test(rig.dirty, PAGES - 1));
}

/* A block that is not counted, as no count had room for it. */
static void test_not_counted(void **state)
{
    const uint64_t map = 3;

    open_rig(false, true);
    rig.b.counted = NULL;
    assert_int_equal(gw_tracker_found(&rig.t, &rig.b, 0, 1, true), 1);
    assert_int_equal(gw_tracker_found_map(&rig.t, &rig.b, 0, 64, &map, true), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random),    cmocka_unit_test(test_ends),        cmocka_unit_test(test_chunks),
        cmocka_unit_test(test_discarded), cmocka_unit_test(test_not_counted),
    };

    return cmocka_run_group_tests_name("found", tests, NULL, NULL);
}
