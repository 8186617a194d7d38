/* SPDX-License-Identifier: MIT */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "human.h"
#include "report.h"

static void headline(struct gw_report *r, const char *first, const char *second)
{
    char a[100], b[100];

    gw_report_headline(r, a, b, sizeof a);
    assert_string_equal(a, first);
    assert_string_equal(b, second);
}

static void test_headline(void **state)
{
    struct gw_report r;

    gw_report_init(&r);
    headline(&r, "How this migration ended is not known", "");
    r.end = GW_REPORT_COMPLETED;
    headline(&r, "Migrated", "");
    r.total_ms = 3210;
    r.memory = 2147483648.0;
    r.downtime_ms = 12.4;
    headline(&r, "Migrated a machine of 2.00 GiB in 3.2 s", "it was stopped for 12 ms");
    r.end = GW_REPORT_CANCELLED;
    headline(&r, "Migration cancelled after 3.2 s", "");
    r.end = GW_REPORT_FAILED;
    headline(&r, "Migration failed after 3.2 s", "");
    gw_report_fini(&r);
}

static void test_split(void **state)
{
    struct gw_report_split s = {0};

    gw_report_split_add(&s, "zero", 0);
    gw_report_split_add(&s, "less", -1);
    gw_report_split_add(&s, "none", NAN);
    assert_int_equal(s.count, 0);
    for (int i = 0; i < 25; i++)
        gw_report_split_add(&s, "part", 2);
    assert_int_equal(s.count, GW_REPORT_PARTS);
    assert_string_equal(s.name[GW_REPORT_PARTS - 1], "other");
    assert_true(gw_report_split_sum(&s) == 50);
}

/* Nothing is lost: sums, the first and the last stay. */
static void thin(size_t rounds, size_t most)
{
    struct gw_report r;
    double sent = 0, next = 1;

    gw_report_init(&r);
    r.round = calloc(rounds + 1, sizeof *r.round);
    r.sample = calloc(rounds + 1, sizeof *r.sample);
    for (size_t i = 0; i < rounds; i++) {
        r.round[i] = (struct gw_report_round){.first = (double)i + 1, .count = 1, .began_s = (double)i, .duration_s = 1, .sent = 3, .remaining = (double)(rounds - i), .dirty_per_s = 8};
        r.sample[i] = (struct gw_report_sample){(double)i, (double)i * 3, NAN};
    }
    r.round_count = r.samples = rounds;
    gw_report_thin(&r, most, most);
    assert_true(r.round_count <= most && r.samples <= most);
    assert_true(rounds == 0 || (r.round_count > 0 && 2 * r.round_count >= (rounds < most ? rounds : most)));
    for (size_t i = 0; i < r.round_count; i++) {
        assert_true(r.round[i].first == next && r.round[i].dirty_per_s == 8);
        assert_true(r.round[i].duration_s == r.round[i].count && r.round[i].remaining == (double)rounds - next + 1);
        next += r.round[i].count;
        sent += r.round[i].sent;
    }
    assert_true(next == (double)rounds + 1 && sent == 3 * (double)rounds);
    if (rounds) {
        assert_true(r.sample[0].at_s == 0);
        assert_true(r.sample[r.samples - 1].at_s == (double)rounds - 1);
    }
    for (size_t i = 1; i < r.samples; i++)
        assert_true(r.sample[i].at_s > r.sample[i - 1].at_s);
    gw_report_fini(&r);
}

static void test_thin(void **state)
{
    for (size_t most = 2; most < 12; most++)
        for (size_t rounds = 0; rounds < 60; rounds++)
            thin(rounds, most);
    thin(10000, 200);
}

static void test_human(void **state)
{
    char buf[GW_HUMAN];

    assert_string_equal(gw_human_bytes(buf, 999), "999 B");
    assert_string_equal(gw_human_bytes(buf, 1536), "1.50 KiB");
    assert_string_equal(gw_human_bytes(buf, 1e300), gw_human_bytes((char[GW_HUMAN]){0}, 1e300)); /* cut off, not beyond the end */
    assert_string_equal(gw_human_ms(buf, 0.25), "0.25 ms");
    assert_string_equal(gw_human_ms(buf, 130000), "2 min 10 s");
    assert_string_equal(gw_human_ms(buf, 7200000), "2.0 h");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_headline), cmocka_unit_test(test_split), cmocka_unit_test(test_thin),
                                       cmocka_unit_test(test_human)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
