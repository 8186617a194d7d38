/* SPDX-License-Identifier: MIT
 *
 * Runs: what is found, and where in the file.
 */
#include "qcow2_rig.h"

static struct gw_node_run find(struct gw_node *n, uint64_t offset)
{
    struct gw_node_run run;

    rig_ok(gw_node_find_here(n, n->bytes - offset, offset, &run, &err));
    return run;
}

static void test_runs(void **state)
{
    struct rig_file f;
    struct gw_node *n = rig_image(&f, 1 << 20, 12);

    rig_fill(n, 1, 3 * 4096, 4096);
    rig_ok(gw_node_zero(n, 2 * 4096, 5 * 4096, 0, &err));
    rig_ok(gw_node_zero(n, 4096, 4096, 0, &err)); /* its room is kept */
    assert_int_equal(find(n, 0).kind, GW_DISK_ABSENT);
    assert_int_equal(find(n, 0).bytes, 4096);
    assert_int_equal(find(n, 4096).kind, GW_DISK_ZERO);
    assert_int_equal(find(n, 9000).kind, GW_DISK_DATA);
    assert_int_equal(find(n, 9000).bytes, 4 * 4096 - 9000);
    assert_int_equal(find(n, 4 * 4096).kind, GW_DISK_ABSENT);
    gw_node_free(n, NULL);
    rig_done(&f);
}

/* The backing, which is shorter. */
static void test_backing(void **state)
{
    struct gw_qcow2_config c = {.bytes = 1 << 20, .cluster_bits = 12, .backing = "b", .backing_format = "raw"};
    struct rig_file f, below;
    struct gw_node *n;

    rig_new(&f);
    rig_new(&below);
    below.bytes = 10000;
    memset(below.data, 7, below.bytes);
    rig_create(&f, &c);
    n = rig_open(&f, rig_node(&below), 0);
    assert_int_equal(rig_byte(n, 9999), 7);
    assert_int_equal(rig_byte(n, 10000), 0);
    rig_fill(n, 1, 1, 9000);
    assert_int_equal(rig_byte(n, 9999), 7);
    assert_int_equal(rig_byte(n, 10001), 0);
    rig_ok(gw_node_discard(n, 1 << 20, 0, &err));
    assert_int_not_equal(rig_byte(n, 9000), 1);
    gw_node_free(n, NULL);
    rig_done(&f);
    rig_done(&below);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_runs),
        cmocka_unit_test(test_backing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
