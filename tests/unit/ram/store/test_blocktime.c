/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "ram/store/blocktime.h"

static struct gw_blocktime_figures figures(struct gw_blocktime *t, uint64_t now, struct gw_blocktime_vcpu *v, unsigned max)
{
    struct gw_blocktime_figures f;

    gw_blocktime_figures(t, now, &f, v, max);
    return f;
}

/* Two vCPUs and a thread that is none. */
static void who_waits(void **state)
{
    const int32_t threads[] = {11, 12};
    struct gw_blocktime_figures f;
    struct gw_blocktime_vcpu v[3];
    struct gw_blocktime *t;

    assert_int_equal(gw_blocktime_new(threads, 2, &t, NULL), 0);
    f = figures(t, 5, v, 2);
    assert_int_equal(f.faults + f.latency_ns + f.total_ns + f.others_latency_ns, 0);
    assert_int_equal(f.vcpus, 2);
    gw_blocktime_begin(t, 11, 100, 1000);
    gw_blocktime_begin(t, 99, 100, 2000);
    gw_blocktime_begin(t, 12, 200, 3000); /* all wait from here on */
    f = figures(t, 5000, v, 2);
    assert_int_equal(f.total_ns, 2000);
    assert_int_equal(f.faults, 0);
    assert_int_equal(v[0].blocked_ns, 4000);
    assert_int_equal(v[1].blocked_ns, 2000);
    gw_blocktime_end(t, 100, 9000); /* one page, two that waited */
    gw_blocktime_end(t, 100, 9500); /* nobody */
    gw_blocktime_end(t, 200, 11000);
    f = figures(t, 20000, v, 2);
    assert_int_equal(f.total_ns, 6000);
    assert_int_equal(f.faults, 3);
    assert_int_equal(f.others_faults, 1);
    assert_int_equal(f.others_latency_ns, 7000);
    assert_int_equal(f.latency_ns, (8000 + 7000 + 8000) / 3);
    assert_int_equal(v[0].blocked_ns, 8000);
    assert_int_equal(v[0].latency_ns, 8000);
    assert_int_equal(v[1].blocked_ns, 8000);
    assert_int_equal(v[1].faults, 1);
    assert_int_equal(f.latency_dist[3], 2);
    assert_int_equal(f.latency_dist[2], 1);
    memset(v, 0x5a, sizeof v);
    figures(t, 20000, v, 1); /* no more than there is room for */
    assert_int_equal(v[1].faults, 0x5a5a5a5a5a5a5a5a);
    assert_null(gw_blocktime_free(t));
    assert_null(gw_blocktime_free(NULL));
}

/* Woken for nothing: the wait goes on. Told to wait elsewhere: it had ended, and nobody knows when the page came. */
static void again_and_elsewhere(void **state)
{
    const int32_t threads[] = {11};
    struct gw_blocktime_figures f;
    struct gw_blocktime_vcpu v;
    struct gw_blocktime *t;

    assert_int_equal(gw_blocktime_new(threads, 1, &t, NULL), 0);
    gw_blocktime_begin(t, 11, 1, 1000);
    gw_blocktime_begin(t, 11, 1, 5000);
    gw_blocktime_end(t, 1, 9000);
    f = figures(t, 9000, &v, 1);
    assert_int_equal(f.latency_ns, 8000);
    gw_blocktime_begin(t, 11, 2, 10000);
    gw_blocktime_begin(t, 11, 3, 14000);
    gw_blocktime_end_all(t, 16000);
    f = figures(t, 20000, &v, 1);
    assert_int_equal(f.faults, 1);
    assert_int_equal(f.total_ns, 8000 + 4000 + 2000);
    assert_int_equal(v.blocked_ns, 14000);
    /* A clock that stands, or goes back. */
    gw_blocktime_begin(t, 11, 2, 30000);
    gw_blocktime_end(t, 2, 29000);
    f = figures(t, 29000, &v, 1);
    assert_int_equal(f.faults, 2);
    assert_int_equal(f.latency_dist[0], 1);
    gw_blocktime_free(t);
}

/* Where the kernel does not tell who waits, or no thread is known, all are others; any number of them. */
static void nobody_known(void **state)
{
    struct gw_blocktime_figures f;
    struct gw_blocktime *t;

    assert_int_equal(gw_blocktime_new((const int32_t[]){0}, 1, &t, NULL), 0);
    for (unsigned i = 0; i < 1000; i++)
        assert_int_equal(gw_blocktime_begin(t, i < 500 ? 0 : (int32_t)i, i / 2, 0), 0);
    for (unsigned i = 0; i < 500; i++)
        gw_blocktime_end(t, i, 1000);
    f = figures(t, 5000, NULL, 0);
    assert_int_equal(f.faults, 1000);
    assert_int_equal(f.others_faults, 1000);
    assert_int_equal(f.total_ns, 0);
    assert_int_equal(f.latency_dist[0], 1000);
    gw_blocktime_free(t);
    /* A machine without vCPUs is never blocked. */
    assert_int_equal(gw_blocktime_new(NULL, 0, &t, NULL), 0);
    assert_int_equal(figures(t, 5000, NULL, 0).total_ns, 0);
    gw_blocktime_free(t);
}

static void buckets(void **state)
{
    static const struct {
        uint64_t ns;
        unsigned bucket;
    } rows[] = {{0, 0},           {999, 0},          {1000, 0},           {1999, 0},           {2000, 1},
                {3999, 1},        {4000, 2},         {255999, 7},         {256000, 8},         {511999, 8},
                {512000, 9},      {1048576000, 20},  {8388607999ull, 22}, {8388608000ull, 23}, {UINT64_MAX / 2, 23}};

    for (size_t i = 0; i < GW_ARRAY_LEN(rows); i++) {
        struct gw_blocktime *t;

        assert_int_equal(gw_blocktime_new(NULL, 0, &t, NULL), 0);
        gw_blocktime_begin(t, 1, 7, 1000);
        gw_blocktime_end(t, 7, 1000 + rows[i].ns);
        assert_int_equal(figures(t, 0, NULL, 0).latency_dist[rows[i].bucket], 1);
        gw_blocktime_free(t);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_waits),
        cmocka_unit_test(again_and_elsewhere),
        cmocka_unit_test(nobody_known),
        cmocka_unit_test(buckets),
    };

    return cmocka_run_group_tests_name("blocktime", tests, NULL, NULL);
}
