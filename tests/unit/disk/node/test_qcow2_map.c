/* SPDX-License-Identifier: MIT
 *
 * Entries that lead out of the file, and packed ones.
 */
#include "disk/node/qcow2_inner.h"
#include "qcow2_rig.h"

static void test_spans(void **state)
{
    struct gw_qcow2 q = {.h.cluster_bits = 16, .cluster_bytes = 65536};
    uint64_t first, count;

    gw_qcow2_entry_span(&q, 0, &first, &count);
    assert_int_equal(count, 0);
    gw_qcow2_entry_span(&q, GW_QCOW2_ZERO, &first, &count);
    assert_int_equal(count, 0);
    gw_qcow2_entry_span(&q, GW_QCOW2_COPIED | 0x30000, &first, &count);
    assert_int_equal(first, 3);
    assert_int_equal(count, 1);
    /* 54 bits of offset; 3 more sectors behind the one that it is in */
    gw_qcow2_entry_span(&q, GW_QCOW2_PACKED | 3ull << 54 | (0x30000 - 1000), &first, &count);
    assert_int_equal(first, 2);
    assert_int_equal(count, 2);
}

static void damage(uint64_t entry, bool l1, const char *word)
{
    struct gw_error err = GW_ERROR_INIT;
    struct rig_file f;
    struct gw_node *n = rig_image(&f, 1 << 20, 12);
    uint64_t at;
    char byte;

    rig_fill(n, 1, 4096, 0);
    gw_node_free(n, NULL);
    at = gw_load_be64(f.data + 40);
    if (!l1)
        at = gw_load_be64(f.data + at) & GW_QCOW2_OFFSET;
    gw_store_be64(f.data + at, entry);
    n = rig_open(&f, NULL, GW_QCOW2_READ_ONLY);
    assert_int_equal(gw_node_read(n, &byte, 1, 0, &err), -EPROTO);
    if (!strstr(err.text, word))
        fail_msg("%s", err.text);
    gw_node_free(n, NULL);
    rig_done(&f);
}

static void test_damage(void **state)
{
    damage(1ull << 40, true, "L2 table");
    damage(512, true, "L2 table");
    damage(1ull << 40, false, "behind the end");
    damage(512, false, "no cluster begins");
    damage(GW_QCOW2_PACKED | 1ull << 40, false, "behind the end");
    damage(GW_QCOW2_PACKED | 4096, false, "compressed cluster");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_spans),
        cmocka_unit_test(test_damage),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
