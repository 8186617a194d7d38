/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/base.h"
#include "engine/history.h"

#define MS GW_NS_PER_MS

static int setup(void **state)
{
    struct gw_history_keeper *k = calloc(1, sizeof *k);

    gw_history_begin(k, 1000 * MS);
    *state = k;
    return k ? 0 : -1;
}

static int teardown(void **state)
{
    free(*state);
    return 0;
}

static void test_few(void **state)
{
    struct gw_history_keeper *k = *state;

    gw_history_begin_round(k, 1000 * MS, 4096);
    gw_history_sample(k, (struct gw_sample){.at_ns = 1000 * MS, .transferred_bytes = 1}, false);
    gw_history_sample(k, (struct gw_sample){.at_ns = 1001 * MS, .transferred_bytes = 2}, false); /* too soon */
    gw_history_sample(k, (struct gw_sample){.at_ns = 1001 * MS, .transferred_bytes = 3}, true);
    gw_history_end_round(k, 1500 * MS, &(struct gw_round){.bytes = 5, .pages = 6, .zero_pages = 7}, 8);
    gw_history_begin_round(k, 1500 * MS, 99);
    gw_history_limit(k, 100);
    gw_history_stopped(k, 1600 * MS);
    assert_int_equal(k->h.samples, 2);
    assert_int_equal(k->h.sample[0].at_ns, 0);
    assert_int_equal(k->h.sample[1].at_ns, MS);
    assert_int_equal(k->h.sample[1].transferred_bytes, 3);
    assert_int_equal(k->h.sample[1].round, 1);
    assert_int_equal(k->h.rounds, 2);
    assert_int_equal(k->h.round[0].remaining_bytes, 4096);
    assert_int_equal(k->h.round[0].limit_bytes, 0);
    assert_int_equal(k->h.round[0].duration_ns, 500 * MS);
    assert_int_equal(k->h.round[0].bytes, 5);
    assert_int_equal(k->h.round[0].dirty_bytes, 8);
    assert_int_equal(k->h.round[1].first, 2);
    assert_int_equal(k->h.round[1].began_ns, 500 * MS);
    assert_int_equal(k->h.round[1].duration_ns, 0);
    assert_int_equal(k->h.round[1].limit_bytes, 100);
    assert_int_equal(k->h.stopped_ns, 600 * MS);
}

/* However many there are: all are in it, in order, without a gap, and it is never emptier than half. */
static void test_many(void **state)
{
    struct gw_history_keeper *k = *state;
    const struct gw_history *h = &k->h;

    for (uint64_t n = 1; n <= 10000; n++) {
        uint64_t bytes = 0, next = 1, t = 1000 * MS + (n - 1) * 30 * MS;

        gw_history_begin_round(k, t, 10000 - n);
        gw_history_limit(k, n);
        gw_history_end_round(k, t + 30 * MS, &(struct gw_round){.bytes = n, .pages = 1}, 2);
        gw_history_sample(k, (struct gw_sample){.at_ns = t + 30 * MS, .transferred_bytes = n * (n + 1) / 2}, false);
        if (n % 97 && n != 10000)
            continue;
        for (uint32_t i = 0; i < h->rounds; i++) {
            const struct gw_past_round *r = &h->round[i];

            assert_int_equal(r->first, next);
            assert_int_equal(r->began_ns, (next - 1) * 30 * MS);
            assert_int_equal(r->duration_ns, r->count * 30 * MS);
            assert_int_equal(r->pages, r->count);
            assert_int_equal(r->dirty_bytes, 2 * r->count);
            assert_int_equal(r->remaining_bytes, 10000 - r->first);
            assert_int_equal(r->limit_bytes, r->first);
            bytes += r->bytes;
            next += r->count;
        }
        assert_int_equal(next, n + 1);
        assert_int_equal(bytes, n * (n + 1) / 2);
        for (uint32_t i = 1; i < h->samples; i++) {
            assert_true(h->sample[i].at_ns > h->sample[i - 1].at_ns);
            assert_true(h->sample[i].transferred_bytes > h->sample[i - 1].transferred_bytes);
        }
    }
    assert_in_range(h->rounds, GW_HISTORY_ROUNDS / 2, GW_HISTORY_ROUNDS);
    assert_in_range(h->samples, GW_HISTORY_SAMPLES / 2, GW_HISTORY_SAMPLES);
}

/* Nothing has begun: nothing happens. */
static void test_none(void **state)
{
    struct gw_history_keeper *k = *state;

    gw_history_limit(k, 5);
    gw_history_end_round(k, 2000 * MS, &(struct gw_round){.bytes = 1}, 1);
    assert_int_equal(k->h.rounds, 0);
    assert_int_equal(k->h.stopped_ns, 0);
    gw_history_stopped(k, 1000 * MS); /* at once: still not the same as never */
    assert_true(k->h.stopped_ns > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_few, setup, teardown),
        cmocka_unit_test_setup_teardown(test_many, setup, teardown),
        cmocka_unit_test_setup_teardown(test_none, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
