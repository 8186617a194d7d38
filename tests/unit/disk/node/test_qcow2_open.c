/* SPDX-License-Identifier: MIT
 *
 * Which images are opened for writing, and what that changes.
 */
#include "qcow2_rig.h"

static void test_marked_as_corrupt(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    struct rig_file f;
    struct gw_node *n = rig_image(&f, 1 << 20, 12);

    gw_node_free(n, NULL);
    f.data[79] = 2;
    assert_int_equal(gw_qcow2_open(rig_node(&f), NULL, 0, &n, &err), -EROFS);
    n = rig_open(&f, NULL, GW_QCOW2_READ_ONLY);
    assert_int_equal(gw_node_write(n, "x", 1, 0, 0, &err), -EROFS);
    gw_node_free(n, NULL);
    rig_done(&f);
}

/* Bits that say that something unknown is right are cleared before the first write. */
static void test_autoclear(void **state)
{
    struct rig_file f;
    struct gw_node *n = rig_image(&f, 1 << 20, 12);

    gw_node_free(n, NULL);
    f.data[95] = 0x10;
    gw_node_free(rig_open(&f, NULL, GW_QCOW2_READ_ONLY), NULL);
    assert_int_equal(f.data[95], 0x10);
    gw_node_free(rig_open(&f, NULL, 0), NULL);
    assert_int_equal(f.data[95], 0);
    rig_done(&f);
}

/* Of a writer that kept no counts: they are made again. */
static void test_dirty(void **state)
{
    struct rig_file f;
    struct gw_node *n = rig_image(&f, 1 << 20, 12);
    uint64_t block = gw_load_be64(f.data + gw_load_be64(f.data + 48));

    rig_fill(n, 5, 100000, 3000);
    rig_ok(gw_node_free(n, &err));
    memset(f.data + block + 6, 0, 4090);
    f.data[79] = 1;
    n = rig_open(&f, NULL, GW_QCOW2_READ_ONLY);
    assert_int_equal(rig_byte(n, 3000), 5);
    gw_node_free(n, NULL);
    assert_int_equal(f.data[79], 1);
    n = rig_open(&f, NULL, 0);
    assert_int_equal(f.data[79], 0);
    rig_fill(n, 6, 4096, 500000);
    assert_int_equal(rig_byte(n, 3000), 5);
    rig_clean(n);
    gw_node_free(n, NULL);
    rig_done(&f);
}

/* What the file grew by is given back. */
static void test_the_file_is_trimmed(void **state)
{
    struct rig_file f;
    struct gw_node *n = rig_image(&f, 1 << 20, 12);

    rig_fill(n, 5, 4096, 0);
    assert_true(f.bytes > 1 << 20);
    rig_ok(gw_node_free(n, &err));
    assert_true(f.bytes < 50000);
    rig_done(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_marked_as_corrupt),
        cmocka_unit_test(test_autoclear),
        cmocka_unit_test(test_dirty),
        cmocka_unit_test(test_the_file_is_trimmed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
