/* SPDX-License-Identifier: MIT
 *
 * Compressed clusters: what is damaged is told.
 */
#include "disk/node/qcow2_inner.h"
#include "qcow2_rig.h"

static void test_inflate(void **state)
{
    uint8_t stored[] = {1, 4, 0, 0xfb, 0xff, 'a', 'b', 'c', 'd', 0, 0}, to[4];

    if (gw_qcow2_inflate(false, stored, sizeof stored, to, 4) == -ENOTSUP) {
        print_message("SKIP: this build has no zlib\n");
        skip();
    }
    assert_int_equal(gw_qcow2_inflate(false, stored, sizeof stored, to, 4), 0);
    assert_memory_equal(to, "abcd", 4);
    assert_int_equal(gw_qcow2_inflate(false, stored, 6, to, 4), -EPROTO);
    assert_int_equal(gw_qcow2_inflate(false, stored + 1, 6, to, 4), -EPROTO);
    assert_int_not_equal(gw_qcow2_inflate(true, stored, sizeof stored, to, 4), 0);
}

/* A cluster that only points to packed bytes, which are copied when it is written. */
static void test_read_and_copied(void **state)
{
    static const uint8_t head[] = {1, 0, 2, 0xff, 0xfd};
    struct rig_file f;
    struct gw_node *n = rig_image(&f, 1 << 20, 9);
    uint64_t l2, host;

    rig_fill(n, 1, 1024, 0); /* two clusters, beside each other */
    gw_node_free(n, NULL);
    l2 = gw_load_be64(f.data + gw_load_be64(f.data + 40)) & GW_QCOW2_OFFSET;
    host = gw_load_be64(f.data + l2) & GW_QCOW2_OFFSET;
    memcpy(f.data + host, head, sizeof head);
    memset(f.data + host + 5, 'p', 512);
    gw_store_be64(f.data + l2, GW_QCOW2_PACKED | 1ull << 61 | host);
    gw_store_be64(f.data + l2 + 8, 0); /* the second sector is the packed one's too */
    n = rig_open(&f, NULL, 0);
    rig_clean(n);
    assert_int_equal(rig_byte(n, 500), 'p');
    rig_fill(n, 2, 10, 0);
    assert_int_equal(rig_byte(n, 500), 'p');
    assert_int_equal(rig_byte(n, 9), 2);
    rig_clean(n);
    gw_node_free(n, NULL);
    rig_done(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_inflate),
        cmocka_unit_test(test_read_and_copied),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
