/* SPDX-License-Identifier: MIT
 *
 * Options by their type.
 */
#include "options_rig.h"

static void test_typed(void **state)
{
    struct gw_options *o = *state;
    struct gw_error err = GW_ERROR_INIT;
    char text[16];
    uint64_t n = 0;
    bool on = false;

    assert_int_equal(gw_options_set_bool(o, "events", true, &err), 0);
    assert_int_equal(gw_options_get_bool(o, "events", &on, &err), 0);
    assert_true(on && gw_options_cap(o, GW_CAP_EVENTS));
    assert_int_equal(gw_options_set_bool(o, "cpu-throttle-tailslow", true, &err), 0);
    on = false;
    assert_int_equal(gw_options_get_bool(o, "cpu-throttle-tailslow", &on, &err), 0);
    assert_true(on);
    assert_int_equal(gw_options_set_u64(o, "max-bandwidth", UINT64_MAX, &err), 0);
    assert_int_equal(gw_options_get_u64(o, "max-bandwidth", &n, &err), 0);
    assert_true(n == UINT64_MAX);
    assert_int_equal(gw_options_set_str(o, "multifd-compression", "zlib", &err), 0);
    assert_int_equal(gw_options_get_str(o, "multifd-compression", text, sizeof text, &err), 0);
    assert_string_equal(text, "zlib");
    assert_int_equal(gw_options_set_str(o, "tls-creds", "", &err), 0);

    /* Of another type, out of range, unknown. */
    assert_int_equal(gw_options_set_bool(o, "max-bandwidth", true, &err), -EINVAL);
    assert_non_null(strstr(err.text, "is a number, not on or off"));
    assert_int_equal(gw_options_set_u64(o, "events", 1, &err), -EINVAL);
    assert_non_null(strstr(err.text, "capability 'events'"));
    assert_int_equal(gw_options_set_u64(o, "multifd-compression", 1, &err), -EINVAL);
    assert_int_equal(gw_options_set_str(o, "max-bandwidth", "1", &err), -EINVAL);
    assert_int_equal(gw_options_get_u64(o, "tls-creds", &n, &err), -EINVAL);
    assert_int_equal(gw_options_get_bool(o, "max-bandwidth", &on, &err), -EINVAL);
    assert_int_equal(gw_options_get_str(o, "max-bandwidth", text, sizeof text, &err), -EINVAL);
    assert_int_equal(gw_options_set_u64(o, "downtime-limit", 2000001, &err), -ERANGE);
    assert_int_equal(gw_options_set_bool(o, "nothing", true, &err), -ENOENT);
    assert_int_equal(gw_options_get_u64(o, "nothing", &n, &err), -ENOENT);
    expect_text(o, "downtime-limit", "300");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_typed, fresh, gone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
