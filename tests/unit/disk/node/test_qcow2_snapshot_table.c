/* SPDX-License-Identifier: MIT
 *
 * The table of snapshots: its bytes, and tables that are refused.
 */
#include "qcow2_rig.h"

static void test_bytes(void **state)
{
    struct gw_qcow2_snapshot s = {
        .id = (char[]){"id"}, .name = (char[]){"name"}, .seconds = 1, .nanoseconds = 2, .ran_ns = 3};
    struct gw_error err = GW_ERROR_INIT;
    struct rig_file f;
    struct gw_node *n = rig_image(&f, 1 << 20, 12);
    uint8_t *p;

    rig_ok(gw_qcow2_snapshot_create(n, &s, &err));
    gw_node_free(n, NULL);
    assert_int_equal(gw_load_be32(f.data + 60), 1);
    p = f.data + gw_load_be64(f.data + 64);
    assert_int_equal(gw_load_be16(p + 12), 2);
    assert_int_equal(gw_load_be16(p + 14), 4);
    assert_int_equal(gw_load_be32(p + 16), 1);
    assert_int_equal(gw_load_be32(p + 20), 2);
    assert_int_equal(gw_load_be64(p + 24), 3);
    assert_int_equal(gw_load_be32(p + 36), 16);
    assert_int_equal(gw_load_be64(p + 48), 1 << 20);
    assert_memory_equal(p + 56, "idname\0\0", 8);
    p[38] = 9; /* extra data */
    assert_int_equal(gw_qcow2_open(rig_node(&f), NULL, GW_QCOW2_READ_ONLY, &n, &err), -EPROTO);
    p[38] = 0;
    p[56] = 0;
    assert_int_equal(gw_qcow2_open(rig_node(&f), NULL, GW_QCOW2_READ_ONLY, &n, &err), -EPROTO);
    p[56] = 'i';
    p[3] = 1; /* its L1 table */
    assert_int_equal(gw_qcow2_open(rig_node(&f), NULL, GW_QCOW2_READ_ONLY, &n, &err), -EPROTO);
    rig_done(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bytes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
