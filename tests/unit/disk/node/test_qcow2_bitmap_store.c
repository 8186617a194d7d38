/* SPDX-License-Identifier: MIT
 *
 * Bitmaps are replaced: no cluster is lost, all ones need none, and those that are not understood stay.
 */
#include "qcow2_rig.h"

static void test_replaced(void **state)
{
    struct gw_qcow2_bitmap b[2] = {{.name = (char[]){"a"}, .granularity_bits = 9, .bit_count = 2048},
                                   {.name = (char[]){"b"}, .granularity_bits = 16, .bit_count = 16}};
    uint64_t many[32] = {1}, few[1] = {0xffff};
    struct rig_file f;
    struct gw_node *n = rig_image(&f, 1 << 20, 9);

    b[0].bits = many;
    b[1].bits = few;
    for (unsigned count = 2;; count--) {
        rig_ok(gw_qcow2_bitmaps_store(n, b, count, &err));
        rig_clean(n);
        if (!count)
            break;
    }
    assert_int_equal(f.data[95], 0);
    gw_node_free(n, NULL);
    rig_done(&f);
}

static void test_kept(void **state)
{
    struct gw_qcow2_bitmap b = {
        .name = (char[]){"a"}, .flags = GW_QCOW2_BITMAP_IN_USE, .granularity_bits = 9, .bit_count = 2048};
    struct gw_qcow2_bitmap *loaded;
    uint64_t bits[32] = {1};
    struct rig_file f;
    struct gw_node *n = rig_image(&f, 1 << 20, 9);
    unsigned count;

    b.bits = bits;
    rig_ok(gw_qcow2_bitmaps_store(n, &b, 1, &err));
    for (unsigned i = 0; i < 3; i++) {
        rig_ok(gw_qcow2_bitmaps_load(n, &loaded, &count, &err));
        assert_int_equal(count, 1);
        assert_null(loaded->bits);
        rig_ok(gw_qcow2_bitmaps_store(n, loaded, count, &err));
        gw_qcow2_bitmaps_free(loaded, count);
        rig_clean(n);
    }
    gw_node_free(n, NULL);
    rig_done(&f);
}

static void test_refused(void **state)
{
    struct gw_qcow2_bitmap b[2] = {{.name = (char[]){"a"}, .granularity_bits = 16, .bit_count = 16},
                                   {.name = (char[]){"a"}, .granularity_bits = 16, .bit_count = 16}};
    struct gw_error err = GW_ERROR_INIT;
    uint64_t bits[1] = {1};
    struct rig_file f;
    struct gw_node *n = rig_image(&f, 1 << 20, 12);

    b[0].bits = b[1].bits = bits;
    assert_int_equal(gw_qcow2_bitmaps_store(n, b, 2, &err), -EEXIST);
    b[0].bit_count = 17;
    assert_int_equal(gw_qcow2_bitmaps_store(n, b, 1, &err), -EINVAL);
    b[0].granularity_bits = 8;
    assert_int_equal(gw_qcow2_bitmaps_store(n, b, 1, &err), -EINVAL);
    rig_clean(n);
    gw_node_free(n, NULL);
    rig_empty(&f);
    rig_create(&f, &(struct gw_qcow2_config){.bytes = 1 << 20, .version = 2});
    n = rig_open(&f, NULL, 0);
    assert_int_equal(gw_qcow2_bitmaps_store(n, b, 1, &err), -ENOTSUP);
    gw_node_free(n, NULL);
    rig_done(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_replaced),
        cmocka_unit_test(test_kept),
        cmocka_unit_test(test_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
