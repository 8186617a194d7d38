/* SPDX-License-Identifier: MIT
 *
 * Waits for pages as query-migrate tells them: which members, in which units, and nothing where they are not measured.
 */
#include "fake_engine.h"
#include "rig.h"

static void test_measured(void **state)
{
    struct gw_postcopy_waits waits = {.blocktime_ns = 7999999, .latency_ns = 732044, .others_latency_ns = 15, .vcpus = 2};
    struct gw_recv recv = {0};
    struct gw_error err = GW_ERROR_INIT;
    json_t *o, *list;

    waits.latency_dist[0] = 3;
    waits.latency_dist[GW_WAIT_BUCKETS - 1] = 4;
    recv.s.waits = &waits;
    assert_int_equal(gw_waits_build(&recv, &o, &err), 0);
    assert_int_equal(json_object_size(o), 6);
    assert_int_equal(json_integer_value(json_object_get(o, "postcopy-blocktime")), 7);
    assert_int_equal(json_integer_value(json_object_get(o, "postcopy-latency")), 732044);
    assert_int_equal(json_integer_value(json_object_get(o, "postcopy-non-vcpu-latency")), 15);
    list = json_object_get(o, "postcopy-vcpu-blocktime");
    assert_int_equal(json_array_size(list), 2);
    assert_int_equal(json_integer_value(json_array_get(list, 1)), 2);
    list = json_object_get(o, "postcopy-vcpu-latency");
    assert_int_equal(json_array_size(list), 2);
    assert_int_equal(json_integer_value(json_array_get(list, 1)), 2000);
    list = json_object_get(o, "postcopy-latency-dist");
    assert_int_equal(json_array_size(list), GW_WAIT_BUCKETS);
    assert_int_equal(json_integer_value(json_array_get(list, 0)), 3);
    assert_int_equal(json_integer_value(json_array_get(list, GW_WAIT_BUCKETS - 1)), 4);
    json_decref(o);
    waits.vcpus = 0;
    assert_int_equal(gw_waits_build(&recv, &o, &err), 0);
    assert_int_equal(json_array_size(json_object_get(o, "postcopy-vcpu-blocktime")), 0);
    json_decref(o);
}

static void test_not_measured(void **state)
{
    struct gw_recv recv = {0};
    json_t *o = (json_t *)&recv;

    assert_int_equal(gw_waits_build(&recv, &o, NULL), 0);
    assert_null(o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_measured),
        cmocka_unit_test(test_not_measured),
    };

    return cmocka_run_group_tests_name("waits", tests, NULL, NULL);
}
