/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "policy/predict.h"

static void test_first_pass(void **state)
{
    struct gw_predict_in in = {.pending_bytes = 2000, .bytes_per_s = 1000};
    struct gw_predict_out out;

    gw_predict(&in, &out);
    assert_int_equal(out.converges, GW_PREDICT_UNKNOWN);
    assert_int_equal(out.eta_ns, 2 * GW_NS_PER_S);
    in.bytes_per_s = 0;
    gw_predict(&in, &out);
    assert_true(out.eta_ns == UINT64_MAX);
}

static void test_converges(void **state)
{
    struct gw_predict_in in = {.pending_bytes = 1000,
                               .rate_known = true,
                               .dirty_bytes_per_s = 500,
                               .bytes_per_s = 1000,
                               .threshold_bytes = 200};
    struct gw_predict_out out;

    gw_predict(&in, &out);
    assert_int_equal(out.converges, GW_PREDICT_YES);
    assert_int_equal(out.passes, 3); /* 1000 -> 500 -> 250 -> 125 */
    assert_int_equal(out.rest_bytes, 125);
    assert_int_equal(out.eta_ns, 1750 * GW_NS_PER_MS);
}

static void test_never(void **state)
{
    struct gw_predict_in in = {.pending_bytes = 1000,
                               .rate_known = true,
                               .dirty_bytes_per_s = 1500,
                               .bytes_per_s = 1000,
                               .threshold_bytes = 200};
    struct gw_predict_out out;

    gw_predict(&in, &out);
    assert_int_equal(out.converges, GW_PREDICT_NO);
    assert_true(out.eta_ns == UINT64_MAX);
    in.set_bytes = 150; /* but the set as a whole fits */
    gw_predict(&in, &out);
    assert_int_equal(out.converges, GW_PREDICT_YES);
}

static void test_extremes(void **state)
{
    static const uint64_t v[] = {0, 1, 1ull << 40, UINT64_MAX};
    struct gw_predict_out out;

    for (unsigned i = 0; i < 256; i++) {
        uint64_t a = v[i % 4], b = v[i / 4 % 4], c = v[i / 16 % 4], d = v[i / 64];
        struct gw_predict_in in = {a, b, true, c, d, b, a, c};

        gw_predict(&in, &out);
    }
}

static void test_expected_downtime(void **state)
{
    assert_int_equal(gw_predict_expected_downtime_ns(0, 1000, 7), 7);
    assert_int_equal(gw_predict_expected_downtime_ns(1000, 0, 7), 7);
    assert_int_equal(gw_predict_expected_downtime_ns(1000, 1000, 7), GW_NS_PER_S);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_first_pass), cmocka_unit_test(test_converges),         cmocka_unit_test(test_never),
        cmocka_unit_test(test_extremes),   cmocka_unit_test(test_expected_downtime),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
