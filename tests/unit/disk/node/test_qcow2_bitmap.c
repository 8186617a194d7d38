/* SPDX-License-Identifier: MIT
 *
 * Bitmaps that were stored are loaded as they were; which of them say nothing; directories that are refused.
 */
#include "qcow2_rig.h"

static struct gw_node *with_bitmap(struct rig_file *f, uint32_t flags)
{
    struct gw_qcow2_bitmap b = {.name = (char[]){"dirty"}, .flags = flags, .granularity_bits = 9, .bit_count = 2048};
    uint64_t bits[32] = {0x123456789abcdef0, 0, UINT64_MAX};
    struct gw_node *n = rig_image(f, 1 << 20, 9);

    b.bits = bits;
    rig_ok(gw_qcow2_bitmaps_store(n, &b, 1, &err));
    gw_node_free(n, NULL);
    return rig_open(f, NULL, 0);
}

static void test_loaded(void **state)
{
    struct gw_qcow2_bitmap *b;
    struct rig_file f;
    struct gw_node *n = with_bitmap(&f, GW_QCOW2_BITMAP_AUTO);
    unsigned count;

    rig_ok(gw_qcow2_bitmaps_load(n, &b, &count, &err));
    assert_int_equal(count, 1);
    assert_string_equal(b->name, "dirty");
    assert_int_equal(b->flags, GW_QCOW2_BITMAP_AUTO);
    assert_int_equal(b->bits[0], 0x123456789abcdef0);
    assert_int_equal(b->bits[2], UINT64_MAX);
    assert_int_equal(b->bits[31], 0);
    gw_qcow2_bitmaps_free(b, count);
    gw_node_free(n, NULL);
    n = rig_open(&f, NULL, 0); /* they were not stored again */
    rig_ok(gw_qcow2_bitmaps_load(n, &b, &count, &err));
    assert_null(b->bits);
    assert_int_equal(b->flags, GW_QCOW2_BITMAP_AUTO | GW_QCOW2_BITMAP_IN_USE);
    gw_qcow2_bitmaps_free(b, count);
    rig_clean(n);
    gw_node_free(n, NULL);
    rig_done(&f);
}

static void untracked(uint32_t flags, bool good)
{
    struct gw_qcow2_bitmap *b;
    struct rig_file f;
    struct gw_node *n = with_bitmap(&f, flags);
    unsigned count;

    rig_fill(n, 1, 10, 0);
    gw_node_free(n, NULL);
    n = rig_open(&f, NULL, GW_QCOW2_READ_ONLY);
    rig_ok(gw_qcow2_bitmaps_load(n, &b, &count, &err));
    assert_int_equal(b->bits != NULL, good);
    gw_qcow2_bitmaps_free(b, count);
    gw_node_free(n, NULL);
    rig_done(&f);
}

static void test_not_loaded_before_a_write(void **state)
{
    untracked(GW_QCOW2_BITMAP_AUTO, false);
    untracked(0, true);
}

static void test_refused(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_qcow2_bitmap *b;
    struct rig_file f;
    struct gw_node *n = with_bitmap(&f, 0);
    uint64_t directory;
    unsigned count;

    gw_node_free(n, NULL);
    assert_int_equal(gw_load_be32(f.data + 112), 0x23852875);
    directory = gw_load_be64(f.data + 112 + 24);
    f.data[directory + 11]++; /* entries of the table */
    n = rig_open(&f, NULL, GW_QCOW2_READ_ONLY);
    assert_int_equal(gw_qcow2_bitmaps_load(n, &b, &count, &err), -EPROTO);
    gw_node_free(n, NULL);
    f.data[directory + 18] = 9; /* bytes of the name */
    n = rig_open(&f, NULL, GW_QCOW2_READ_ONLY);
    assert_int_equal(gw_qcow2_bitmaps_load(n, &b, &count, &err), -EPROTO);
    gw_node_free(n, NULL);
    assert_int_equal(gw_qcow2_open(rig_node(&f), NULL, 0, &n, &err), -EPROTO);
    f.data[95] = 0; /* stale */
    n = rig_open(&f, NULL, 0);
    rig_ok(gw_qcow2_bitmaps_load(n, &b, &count, &err));
    assert_int_equal(count, 0);
    gw_qcow2_bitmaps_free(b, count);
    gw_node_free(n, NULL);
    rig_done(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_loaded),
        cmocka_unit_test(test_not_loaded_before_a_write),
        cmocka_unit_test(test_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
