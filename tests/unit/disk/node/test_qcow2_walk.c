/* SPDX-License-Identifier: MIT
 *
 * Flags that say whether a cluster is used once, and tables that would take for ever.
 */
#include "disk/node/qcow2_inner.h"
#include "qcow2_rig.h"

static void test_flags(void **state)
{
    struct rig_file f;
    struct gw_node *n = rig_image(&f, 1 << 20, 12);
    struct gw_qcow2 *q = gw_qcow2_of(n);
    struct gw_qcow2_report report;

    rig_fill(n, 1, 40960, 0);
    pthread_mutex_lock(&q->lock);
    rig_ok(gw_qcow2_fix_copied(q, q->l1, q->h.l1_entries, true, &err));
    pthread_mutex_unlock(&q->lock);
    rig_ok(gw_qcow2_check(n, &report, &err));
    assert_int_equal(report.missing_copied, 11);
    pthread_mutex_lock(&q->lock);
    rig_ok(gw_qcow2_fix_copied(q, q->l1, q->h.l1_entries, false, &err));
    pthread_mutex_unlock(&q->lock);
    rig_clean(n);
    gw_node_free(n, NULL);
    rig_done(&f);
}

static int never(struct gw_qcow2 *q, void *opaque, uint64_t first, uint64_t count, struct gw_error *err)
{
    return 0;
}

static void test_more_tables_than_clusters(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    struct rig_file f;
    struct gw_node *n = rig_image(&f, 1 << 20, 12);
    struct gw_qcow2 *q = gw_qcow2_of(n);
    uint64_t l1[1000];

    for (unsigned i = 0; i < 1000; i++)
        l1[i] = 4096;
    assert_int_equal(gw_qcow2_walk(q, l1, 1000, never, NULL, &err), -EPROTO);
    gw_node_free(n, NULL);
    rig_done(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_flags),
        cmocka_unit_test(test_more_tables_than_clusters),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
