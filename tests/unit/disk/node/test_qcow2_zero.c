/* SPDX-License-Identifier: MIT
 *
 * Zeros without data: room that is kept, room that is given back, version 2.
 */
#include "disk/node/qcow2_inner.h"
#include "qcow2_rig.h"

static void test_room(void **state)
{
    struct rig_file f;
    struct gw_node *n = rig_image(&f, 1 << 20, 12);
    struct gw_qcow2 *q = gw_qcow2_of(n);
    uint64_t entry, parts;

    rig_fill(n, 1, 8192, 0);
    rig_ok(gw_node_zero(n, 4096, 0, 0, &err));
    rig_ok(gw_node_zero(n, 4096, 4096, GW_NODE_UNMAP, &err));
    rig_ok(gw_qcow2_entry(q, 0, &entry, &parts, &err));
    assert_int_equal(entry & 1, 1);
    assert_int_not_equal(entry & GW_QCOW2_OFFSET, 0);
    rig_ok(gw_qcow2_entry(q, 1, &entry, &parts, &err));
    assert_int_equal(entry & GW_QCOW2_OFFSET, 0);
    rig_fill(n, 2, 1, 100); /* the room that was kept had other bytes */
    assert_int_equal(rig_byte(n, 99), 0);
    assert_int_equal(rig_byte(n, 101), 0);
    rig_clean(n);
    gw_node_free(n, NULL);
    rig_done(&f);
}

/* Zeros over the whole of a disk that has nothing cost no tables. */
static void test_nothing(void **state)
{
    struct rig_file f;
    struct gw_node *n;
    uint64_t before;

    rig_new(&f);
    rig_create(&f, &(struct gw_qcow2_config){.bytes = 1ull << 40, .cluster_bits = 16});
    n = rig_open(&f, NULL, 0);
    before = f.bytes;
    rig_ok(gw_node_zero(n, n->bytes - 1000, 500, 0, &err));
    rig_ok(gw_node_discard(n, n->bytes, 0, &err));
    assert_int_equal(f.bytes, before);
    gw_node_free(n, NULL);
    rig_done(&f);
}

static void test_version_2(void **state)
{
    struct gw_qcow2_config c = {
        .bytes = 1 << 20, .cluster_bits = 12, .version = 2, .backing = "b", .backing_format = "raw"};
    struct rig_file f, below;
    struct gw_node *n;

    rig_new(&f);
    rig_new(&below);
    below.bytes = 1 << 20;
    memset(below.data, 7, below.bytes);
    rig_create(&f, &c);
    n = rig_open(&f, rig_node(&below), 0);
    rig_ok(gw_node_zero(n, 8192, 0, GW_NODE_UNMAP, &err));
    assert_int_equal(rig_byte(n, 5000), 0);
    assert_int_equal(rig_byte(n, 9000), 7);
    rig_ok(gw_node_discard(n, 8192, 0, &err));
    assert_int_equal(rig_byte(n, 5000), 0); /* and not what the backing has */
    rig_clean(n);
    gw_node_free(n, NULL);
    rig_done(&f);
    rig_done(&below);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_room),
        cmocka_unit_test(test_nothing),
        cmocka_unit_test(test_version_2),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
