/* SPDX-License-Identifier: MIT
 *
 * Faults are told as what they are, and a repair takes away what it can.
 */
#include "qcow2_rig.h"

static uint8_t *count_of(struct rig_file *f, uint64_t cluster)
{
    return f->data + gw_load_be64(f->data + gw_load_be64(f->data + 48)) + 2 * cluster;
}

static struct gw_qcow2_report report_of(struct rig_file *f)
{
    struct gw_node *n = rig_open(f, NULL, GW_QCOW2_READ_ONLY);
    struct gw_qcow2_report report;

    rig_ok(gw_qcow2_check(n, &report, &err));
    gw_node_free(n, NULL);
    return report;
}

static void test_faults(void **state)
{
    struct rig_file f;
    struct gw_node *n = rig_image(&f, 1 << 20, 12);
    uint64_t l2, host;

    rig_fill(n, 1, 8192, 0);
    gw_node_free(n, NULL);
    l2 = gw_load_be64(f.data + gw_load_be64(f.data + 40)) & ~(1ull << 63);
    host = gw_load_be64(f.data + l2) & ~(1ull << 63);
    assert_int_equal(report_of(&f).corruptions + report_of(&f).leaks + report_of(&f).missing_copied, 0);
    gw_store_be64(f.data + l2 + 8, 0);
    assert_int_equal(report_of(&f).leaks, 1);
    gw_store_be64(f.data + l2, host);
    assert_int_equal(report_of(&f).missing_copied, 1);
    gw_store_be64(f.data + l2, host | 1ull << 63);
    gw_store_be16(count_of(&f, host >> 12), 2);
    assert_int_equal(report_of(&f).corruptions, 1); /* the flag */
    assert_int_equal(report_of(&f).leaks, 2);
    gw_store_be16(count_of(&f, host >> 12), 0);
    assert_int_equal(report_of(&f).corruptions, 2);
    assert_non_null(strstr(report_of(&f).first, "refcount is 0"));
    n = rig_open(&f, NULL, 0);
    rig_ok(gw_qcow2_repair(n, &err));
    rig_clean(n);
    assert_int_equal(rig_byte(n, 0), 1);
    gw_node_free(n, NULL);
    gw_store_be64(f.data + l2 + 16, 1ull << 40);
    assert_int_equal(report_of(&f).corruptions, 1);
    assert_non_null(strstr(report_of(&f).first, "behind the end"));
    rig_done(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_faults),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
