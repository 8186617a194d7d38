/* SPDX-License-Identifier: MIT
 *
 * What snapshots refuse; that they keep what they must is in test_qcow2_model.c.
 */
#include "qcow2_rig.h"

static void test_refused(void **state)
{
    struct gw_qcow2_snapshot s = {.id = (char[]){"7"}, .name = (char[]){"seven"}};
    struct gw_error err = GW_ERROR_INIT;
    const struct gw_qcow2_snapshot *list;
    struct rig_file f;
    struct gw_node *n = rig_image(&f, 1 << 20, 12);
    unsigned i;

    rig_ok(gw_qcow2_snapshot_create(n, &s, &err));
    assert_int_equal(gw_qcow2_snapshot_create(n, &s, &err), -EEXIST);
    s.id = NULL;
    rig_ok(gw_qcow2_snapshot_create(n, &s, &err));
    assert_int_equal(gw_qcow2_snapshots(n, &list), 2);
    assert_string_equal(list[1].id, "8");
    rig_ok(gw_qcow2_snapshot_find(n, "seven", &i, &err));
    assert_int_equal(i, 0);
    assert_int_equal(gw_qcow2_snapshot_find(n, "9", &i, &err), -ENOENT);
    assert_int_equal(gw_qcow2_snapshot_apply(n, 2, &err), -ENOENT);
    assert_int_equal(gw_qcow2_snapshot_delete(n, 2, &err), -ENOENT);
    gw_node_free(n, NULL);
    n = rig_open(&f, NULL, GW_QCOW2_READ_ONLY);
    assert_int_equal(gw_qcow2_snapshot_create(n, &s, &err), -EROFS);
    assert_int_equal(gw_qcow2_state_write(n, "x", 1, 0, &err), -EROFS);
    gw_node_free(n, NULL);
    rig_done(&f);
}

static void test_narrow_refcounts(void **state)
{
    struct gw_qcow2_config c = {.bytes = 1 << 20, .cluster_bits = 12, .refcount_set = true, .refcount_order = 0};
    struct gw_qcow2_snapshot s = {.name = (char[]){"s"}};
    struct gw_error err = GW_ERROR_INIT;
    struct rig_file f;
    struct gw_node *n;

    rig_new(&f);
    rig_create(&f, &c);
    n = rig_open(&f, NULL, 0);
    rig_fill(n, 1, 100, 0);
    assert_int_equal(gw_qcow2_snapshot_create(n, &s, &err), -EOVERFLOW);
    rig_clean(n);
    gw_node_free(n, NULL);
    rig_done(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_narrow_refcounts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
