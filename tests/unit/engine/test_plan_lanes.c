/* SPDX-License-Identifier: MIT
 *
 * Which lanes there are, and which codecs are in them.
 */
#include "plan_rig.h"

/* Its cache follows the parameter for as long as the plan is open, and no longer. */
static void test_xbzrle(void **state)
{
    struct gw_error err = GW_ERROR_INIT;

    rig_cap("xbzrle");
    assert_int_equal(gw_plan_send(&plan, rig.vm, &pages, NULL), 0);
    assert_non_null(plan.xbzrle);
    rig_param("xbzrle-cache-size", "8192");
    assert_int_equal(plan.xbzrle->barrier(plan.xbzrle, GW_BARRIER_ROUND, NULL), 0); /* from the next pass on */
    assert_int_equal(gw_plan_progress(&plan).xbzrle.cache_bytes, 8192);
    gw_plan_close(&plan);
    assert_null(plan.xbzrle);
    assert_int_equal(gw_options_set_parameter(gw_vm_options(rig.vm), "xbzrle-cache-size", "16384", &err), 0);
}

static void test_compress(void **state)
{
    rig_cap("compress");
    rig_param("compress-threads", "3");
    assert_int_equal(gw_plan_send(&plan, rig.vm, &pages, NULL), 0);
    assert_int_equal(gw_plan_progress(&plan).compression.threads, 3);
}

static int never_open(void *opaque, unsigned i, struct gw_channel **ret, struct gw_error *err)
{
    return -EINVAL;
}

/* A multifd channel is a lane; on the receiving side too. */
static void test_multifd(void **state)
{
    rig_cap("multifd");
    pages.count = 3;
    pages.lanes.open = never_open;
    assert_int_equal(gw_plan_send(&plan, rig.vm, &pages, NULL), 0);
    assert_non_null(ram()->lanes);
    gw_plan_close(&plan);
    assert_int_equal(gw_plan_recv(&plan, rig.vm, &pages, NULL), 0);
    assert_non_null(ram()->lanes_in);
    gw_plan_close(&plan);
    pages.count = 0;
    assert_int_equal(gw_plan_recv(&plan, rig.vm, &pages, NULL), 0);
    assert_null(ram()->lanes_in);
}

/* What always copies, or has no way of asking the kernel not to, is not where zero-copy can be. */
static void test_zero_copy(void **state)
{
    rig_cap("multifd");
    rig_cap("zero-copy-send");
    pages.copies = "unix:/x";
    pages.count = 2;
    send_fails(-ENOTSUP, "capability zero-copy-send needs tcp:, not unix:/x: send to a tcp: address, or turn the capability off");
}

#define T(f) cmocka_unit_test_setup_teardown(f, up, down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_xbzrle), T(test_compress), T(test_multifd), T(test_zero_copy),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
