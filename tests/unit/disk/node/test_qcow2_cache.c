/* SPDX-License-Identifier: MIT
 *
 * Slices: those that were changed are written as far as they were changed, and forgotten ones are not.
 */
#include "disk/node/qcow2_inner.h"
#include "qcow2_rig.h"

static void test_slices(void **state)
{
    struct rig_file f;
    struct gw_node *n = rig_image(&f, 1 << 20, 16);
    struct gw_qcow2 *q = gw_qcow2_of(n);
    struct gw_qcow2_slice *s, *again;
    uint8_t *at;

    gw_qcow2_reach(q, 1 << 20, NULL);
    rig_ok(gw_qcow2_cache_at(q, &q->refs, 65536 + 20000, &s, &at, &err));
    assert_int_equal(s->offset, 65536 + 16384);
    assert_ptr_equal(at, s->data + 20000 - 16384);
    memcpy(at, "ab", 2);
    gw_qcow2_cache_dirty(&q->refs, s, at, 2);
    assert_int_equal(q->refs.dirty, 1);
    rig_ok(gw_qcow2_cache_at(q, &q->refs, 65536 + 16384, &again, &at, &err));
    assert_ptr_equal(s, again);
    f.record = true;
    rig_ok(gw_qcow2_cache_write(q, &q->refs, &err));
    assert_int_equal(f.count, 1);
    assert_int_equal(f.events[0].offset, 65536 + 20000);
    assert_int_equal(f.events[0].bytes, 2);
    gw_qcow2_cache_dirty(&q->refs, s, s->data, 1);
    gw_qcow2_cache_forget(q, &q->refs, 65536);
    assert_int_equal(q->refs.dirty, 0);
    rig_ok(gw_qcow2_cache_write(q, &q->refs, &err));
    assert_int_equal(f.count, 1);
    memset(f.data + 65536, 0, 65536); /* the refcount table, as it was */
    gw_store_be64(f.data + 65536, 131072);
    gw_node_free(n, NULL);
    rig_done(&f);
}

/* More tables than the cache has room for. */
static void test_more_than_fits(void **state)
{
    struct rig_file f;
    struct gw_node *n;

    rig_new(&f);
    rig_create(&f, &(struct gw_qcow2_config){.bytes = 1ull << 28, .cluster_bits = 9});
    n = rig_open(&f, NULL, 0);
    for (uint64_t at = 0; at < n->bytes; at += 32768)
        rig_ok(gw_node_write(n, &at, 8, at, 0, &err));
    for (uint64_t at = 0; at < n->bytes; at += 32768) {
        uint64_t got;

        rig_ok(gw_node_read(n, &got, 8, at, &err));
        assert_int_equal(got, at);
    }
    rig_clean(n);
    gw_node_free(n, NULL);
    rig_done(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_slices),
        cmocka_unit_test(test_more_than_fits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
