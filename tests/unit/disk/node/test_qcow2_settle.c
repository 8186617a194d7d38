/* SPDX-License-Identifier: MIT
 *
 * Freed clusters are given to others when nothing points to them any more, on the disk and in memory.
 */
#include "disk/node/qcow2_inner.h"
#include "qcow2_rig.h"

static void test_not_before(void **state)
{
    struct rig_file f;
    struct gw_node *n = rig_image(&f, 1 << 20, 12);
    struct gw_qcow2 *q = gw_qcow2_of(n);
    struct gw_qcow2_run run;
    uint64_t count = 0;

    rig_fill(n, 1, 4096, 0);
    rig_ok(gw_node_flush(n, &err));
    pthread_mutex_lock(&q->lock);
    rig_ok(gw_qcow2_lookup(q, 0, 4096, &run, &err));
    pthread_mutex_unlock(&q->lock);
    rig_ok(gw_node_discard(n, 4096, 0, &err));
    assert_int_equal(q->freed_count, 1);
    rig_fill(n, 2, 65536, 65536);
    assert_int_equal(f.data[run.host], 1);
    rig_ok(gw_node_flush(n, &err));
    pthread_mutex_lock(&q->lock);
    rig_ok(gw_qcow2_ref_get(q, run.host >> 12, &count, &err));
    pthread_mutex_unlock(&q->lock);
    assert_int_equal(count, 0);
    assert_int_equal(f.data[run.host], 0xd1); /* given back */
    gw_node_free(n, NULL);
    rig_done(&f);
}

/* More of them than fit into the list. */
static void test_many(void **state)
{
    struct rig_file f;
    struct gw_node *n = rig_image(&f, 8 << 20, 9);

    rig_fill(n, 1, 8 << 20, 0);
    for (uint64_t at = 0; at < 8 << 20; at += 1024)
        rig_ok(gw_node_discard(n, 512, at, &err));
    rig_clean(n);
    gw_node_free(n, NULL);
    rig_done(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_not_before),
        cmocka_unit_test(test_many),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
