/* SPDX-License-Identifier: MIT
 *
 * How packets of multifd channels are compressed.
 */
#include "plan_rig.h"

#include "engine/plan_lanes.h"

static struct gw_packing *packing;

static void packer(unsigned i)
{
    struct gw_error err = GW_ERROR_INIT;

    packing = NULL;
    pages.count = 2;
    if (gw_plan_packer(rig.vm, &pages, i, &packing, &err) < 0)
        fail_msg("%s", err.text);
}

static void gone(void)
{
    if (packing)
        packing->free(packing);
    packing = NULL;
}

static void test_none(void **state)
{
    packer(0);
    assert_null(packing);
    rig_cap("multifd");
    rig_cap("x-godwit-adaptive-compression"); /* nothing to choose from */
    packer(0);
    assert_null(packing);
    assert_int_equal(gw_plan_packing(rig.vm, true, 2, &packing, NULL), 0);
    assert_null(packing);
}

static void coded(const char *name, enum gw_packet_coding coding)
{
    if (!gw_packing_known(coding))
        return;
    rig_param("multifd-compression", name);
    packer(1);
    assert_int_equal(packing->coding, coding);
    assert_null(packing->sent); /* it is not asked how much to compress */
    gone();
    assert_int_equal(gw_plan_packing(rig.vm, true, 2, &packing, NULL), 0);
    assert_int_equal(packing->coding, coding);
    gone();
}

static void test_coded(void **state)
{
    coded("zlib", GW_PACKET_ZLIB);
    coded("zstd", GW_PACKET_ZSTD);
}

/* The source chooses; the destination takes what comes. */
static void test_adaptive(void **state)
{
    if (!gw_packing_known(GW_PACKET_ZLIB))
        return;
    rig_cap("multifd");
    rig_param("multifd-compression", "zlib");
    rig_cap("x-godwit-adaptive-compression");
    packer(0);
    assert_int_equal(packing->coding, GW_PACKET_ZLIB);
    assert_non_null(packing->sent);
    gone();
    assert_int_equal(gw_plan_packing(rig.vm, true, 2, &packing, NULL), 0);
    assert_null(packing->sent);
    gone();
}

#define T(f) cmocka_unit_test_setup_teardown(f, up, down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_none), T(test_coded), T(test_adaptive),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
