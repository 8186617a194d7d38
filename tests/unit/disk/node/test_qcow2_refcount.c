/* SPDX-License-Identifier: MIT
 *
 * Counts of all widths, what is free, and tables that grow.
 */
#include "disk/node/qcow2_inner.h"
#include "qcow2_rig.h"

static void test_widths(void **state)
{
    for (unsigned order = 0; order < 7; order++) {
        uint64_t max = order == 6 ? UINT64_MAX : (1ull << (1u << order)) - 1;
        uint8_t p[512] = {0};

        for (uint64_t i = 0; i < 32; i++)
            gw_qcow2_bits_set(p, order, i, i % 3 ? max - i % max : 0);
        gw_qcow2_bits_set(p, order, 5, max);
        for (uint64_t i = 0; i < 32; i++)
            assert_int_equal(gw_qcow2_bits_get(p, order, i), i == 5 ? max : i % 3 ? max - i % max : 0);
    }
    {
        uint8_t p[2] = {0};

        gw_qcow2_bits_set(p, 0, 9, 1); /* the lowest bit of a byte is the first */
        gw_qcow2_bits_set(p, 2, 1, 0xa);
        assert_int_equal(p[0], 0xa0);
        assert_int_equal(p[1], 2);
    }
}

/* 64 counts in a block of 512 bytes, and 64 blocks in a table: the table moves. */
static void test_the_table_moves(void **state)
{
    struct gw_qcow2_config c = {.bytes = 8 << 20, .cluster_bits = 9, .refcount_set = true, .refcount_order = 6};
    struct gw_node *n;
    struct rig_file f;
    uint64_t before;

    rig_new(&f);
    rig_create(&f, &c);
    before = gw_load_be64(f.data + 48);
    n = rig_open(&f, NULL, 0);
    rig_fill(n, 3, n->bytes, 0);
    rig_clean(n);
    rig_ok(gw_node_free(n, &err));
    assert_int_not_equal(gw_load_be64(f.data + 48), before);
    assert_true(gw_load_be32(f.data + 56) > 4);
    n = rig_open(&f, NULL, 0);
    assert_int_equal(rig_byte(n, (8 << 20) - 1), 3);
    rig_clean(n);
    rig_ok(gw_node_free(n, &err));
    rig_done(&f);
}

static void test_what_is_freed_is_used_again(void **state)
{
    struct rig_file f;
    struct gw_node *n = rig_image(&f, 1 << 20, 12);
    uint64_t longest = 0;

    for (unsigned i = 0; i < 20; i++) {
        rig_fill(n, 9, 1 << 19, 0);
        rig_ok(gw_node_discard(n, 1 << 20, 0, &err));
        rig_ok(gw_node_flush(n, &err));
        longest = GW_MAX(longest, gw_qcow2_of(n)->high);
    }
    assert_true(longest < 300);
    rig_clean(n);
    gw_node_free(n, NULL);
    rig_done(&f);
}

static void test_counts_that_are_wrong(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    struct rig_file f;
    struct gw_node *n = rig_image(&f, 1 << 20, 12);
    uint64_t block = gw_load_be64(f.data + gw_load_be64(f.data + 48));

    gw_node_free(n, NULL);
    gw_store_be16(f.data + block, 0); /* the header's own */
    n = rig_open(&f, NULL, 0);
    assert_int_equal(gw_node_write(n, "x", 1, 0, 0, &err), -EPROTO);
    assert_non_null(strstr(err.text, "refcount"));
    gw_node_free(n, NULL);
    assert_int_equal(f.data[79], 2);
    rig_done(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_widths),
        cmocka_unit_test(test_the_table_moves),
        cmocka_unit_test(test_what_is_freed_is_used_again),
        cmocka_unit_test(test_counts_that_are_wrong),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
