/* SPDX-License-Identifier: MIT
 *
 * The file of an image: zeros behind its end, and a flush only where something was written.
 */
#include "disk/node/qcow2_inner.h"
#include "qcow2_rig.h"

static void test_behind_the_end(void **state)
{
    struct rig_file f;
    struct gw_node *n = rig_image(&f, 1 << 20, 12);
    uint8_t room[16];

    memset(room, 9, sizeof room);
    rig_ok(gw_qcow2_get(gw_qcow2_of(n), room, 16, f.bytes - 8, &err));
    assert_int_equal(room[15], 0);
    rig_ok(gw_qcow2_get(gw_qcow2_of(n), room, 16, 1ull << 60, &err));
    gw_node_free(n, NULL);
    rig_done(&f);
}

static void test_flushes(void **state)
{
    struct rig_file f;
    struct gw_node *n = rig_image(&f, 1 << 20, 12);

    f.record = true;
    rig_ok(gw_node_flush(n, &err));
    assert_int_equal(f.count, 0);
    rig_fill(n, 1, 4096, 0);
    rig_ok(gw_node_flush(n, &err));
    rig_forget_events(&f);
    rig_fill(n, 2, 4096, 0); /* in place: no metadata */
    rig_ok(gw_node_flush(n, &err));
    assert_int_equal(f.count, 2);
    assert_int_equal(f.events[1].what, RIG_FLUSH);
    rig_ok(gw_node_flush(n, &err));
    assert_int_equal(f.count, 2);
    gw_node_free(n, NULL);
    rig_done(&f);
}

/* Somebody may have written by the file descriptor that find told: a flush is passed on. */
static void test_flushes_of_what_others_wrote(void **state)
{
    struct rig_file f;
    struct gw_node *n = rig_image(&f, 1 << 20, 12);
    struct gw_node_run run;

    rig_fill(n, 1, 4096, 0);
    rig_ok(gw_node_flush(n, &err));
    f.fd = 1000;
    f.record = true;
    rig_ok(gw_node_flush(n, &err));
    assert_int_equal(f.count, 0);
    rig_ok(gw_node_find(n, 4096, 0, &run, &err));
    assert_int_equal(run.fd, 1000);
    assert_false(run.file_read_only);
    for (unsigned i = 1; i < 4; i++) {
        rig_ok(gw_node_flush(n, &err));
        assert_int_equal(f.count, i);
    }
    gw_node_free(n, NULL);
    rig_done(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_behind_the_end),
        cmocka_unit_test(test_flushes),
        cmocka_unit_test(test_flushes_of_what_others_wrote),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
