/* SPDX-License-Identifier: MIT
 *
 * Disks that grow.
 */
#include "qcow2_rig.h"

static void test_refused(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    struct rig_file f;
    struct gw_node *n = rig_image(&f, 1 << 20, 9);

    assert_int_equal(gw_node_resize(n, 1 << 19, &err), -ENOTSUP);
    assert_int_equal(gw_node_resize(n, (1 << 20) + 1, &err), -EINVAL);
    assert_int_equal(gw_node_resize(n, 1ull << 61, &err), -EFBIG);
    assert_int_equal(gw_node_resize(n, 1ull << 63, &err), -EFBIG);
    gw_node_use(n);
    assert_int_equal(gw_node_resize(n, 1 << 21, &err), -EBUSY);
    gw_node_unuse(n);
    rig_ok(gw_node_resize(n, 1 << 26, &err));
    rig_clean(n);
    gw_node_free(n, NULL);
    rig_done(&f);
}

/* What lay behind the end, in the last cluster and as a machine's state, does not come to light. */
static void test_new_is_zeros(void **state)
{
    struct rig_file f;
    struct gw_node *n;
    uint64_t l2, host;

    rig_new(&f);
    rig_create(&f, &(struct gw_qcow2_config){.bytes = 512, .cluster_bits = 12});
    n = rig_open(&f, NULL, 0);
    rig_fill(n, 1, 512, 0);
    rig_ok(gw_qcow2_state_write(n, "state", 5, 0, &err));
    rig_ok(gw_node_free(n, &err));
    l2 = gw_load_be64(f.data + gw_load_be64(f.data + 40)) & ~(1ull << 63);
    host = gw_load_be64(f.data + l2) & ~(1ull << 63);
    memset(f.data + host + 512, 0xaa, 4096 - 512);
    n = rig_open(&f, NULL, 0);
    rig_ok(gw_node_resize(n, 8 << 20, &err));
    assert_int_equal(rig_byte(n, 511), 1);
    for (uint64_t at = 512; at < 8192; at++)
        assert_int_equal(rig_byte(n, at), 0);
    assert_int_equal(rig_byte(n, 512 * 4096), 0);
    rig_clean(n);
    gw_node_free(n, NULL);
    rig_done(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_new_is_zeros),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
