/* SPDX-License-Identifier: MIT
 *
 * Snapshots of several disks: all or nothing, with a failure of each write of the second one, and a kill at each write of either.
 */
#include "qcow2_rig.h"

#include "disk/node/snapshot_set.h"

#define DISK_BYTES (1u << 20)

static struct rig_file file[2], left;
static struct gw_node *node[2];
static const char *const names[2] = {"a", "b"};
static struct gw_snapshot_set set;

static int up(void **state)
{
    for (unsigned i = 0; i < 2; i++) {
        node[i] = rig_image(&file[i], DISK_BYTES, 12);
        rig_fill(node[i], 1 + (int)i, 300000, 5000);
        rig_ok(gw_node_flush(node[i], &err));
    }
    rig_new(&left);
    set = (struct gw_snapshot_set){.node = node, .disk = names, .count = 2, .state = 0};
    return 0;
}

static int down(void **state)
{
    for (unsigned i = 0; i < 2; i++) {
        gw_node_free(node[i], NULL);
        rig_done(&file[i]);
    }
    rig_done(&left);
    return 0;
}

static int take(const char *name, struct gw_error *err)
{
    const struct gw_qcow2_snapshot what = {.name = (char *)name, .state_bytes = 5, .seconds = 7, .ran_ns = 9};
    int r = gw_snapshot_set_check_new(&set, name, err);

    if (r >= 0)
        r = gw_qcow2_state_write(node[0], "state", 5, 0, err);
    if (r >= 0)
        r = gw_snapshot_set_take(&set, &what, err);
    if (r < 0)
        gw_qcow2_state_drop(node[0], NULL);
    return r;
}

static void fails(int r, int code, const struct gw_error *err, const char *text)
{
    assert_int_equal(r, code);
    if (!strstr(err->text, text))
        fail_msg("%s", err->text);
}

static void test_there_and_back(void **state)
{
    const struct gw_qcow2_snapshot *list;
    unsigned index;

    rig_ok(take("1", &err)); /* also the ID of the first */
    rig_ok(take("two", &err));
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(gw_qcow2_snapshots(node[i], &list), 2);
        assert_int_equal(list[0].state_bytes, i ? 0 : 5);
        assert_int_equal(list[0].seconds, 7);
        assert_int_equal(list[0].ran_ns, 9);
        rig_fill(node[i], 9, 300000, 5000);
    }
    rig_ok(gw_snapshot_set_check_old(&set, "two", &index, &err));
    assert_int_equal(index, 1);
    rig_ok(gw_snapshot_set_apply(&set, "two", &err));
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(rig_byte(node[i], 6000), 1 + i);
    rig_ok(gw_snapshot_set_delete(&set, "1", &err));
    rig_ok(gw_snapshot_set_delete(&set, "1", &err));
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(gw_qcow2_snapshots(node[i], &list), 1);
        assert_string_equal(list[0].name, "two");
        rig_clean(node[i]);
    }
}

static void test_refused(void **state)
{
    struct gw_node *raw = gw_node_memory(DISK_BYTES, 4096), *second = node[1];
    char long_name[GW_SNAPSHOT_NAME_MAX + 2];
    struct gw_error err = GW_ERROR_INIT;
    unsigned index;

    memset(long_name, 'x', sizeof long_name - 1);
    long_name[sizeof long_name - 1] = 0;
    fails(take(long_name, &err), -EINVAL, &err, "1 to 255 bytes, not 256");
    fails(take("", &err), -EINVAL, &err, "not 0");
    node[1] = raw;
    fails(take("s", &err), -ENOTSUP, &err, "disk b can have no snapshots: it is memory");
    node[1] = NULL;
    fails(take("s", &err), -ENOTSUP, &err, "disk b can have no snapshots");
    node[1] = node[0];
    fails(take("s", &err), -EINVAL, &err, "disk b is named twice");
    node[1] = second;
    fails(gw_snapshot_set_check_old(&set, "s", &index, &err), -ENOENT, &err, "disk a has no snapshot 's'");
    rig_ok(take("s", &err));
    fails(take("s", &err), -EEXIST, &err, "disk a has a snapshot 's' already");
    set.state = 1;
    fails(gw_snapshot_set_check_old(&set, "s", &index, &err), -ENOENT, &err, "has the contents of the disk only");
    set.state = 0;
    rig_ok(gw_node_resize(node[1], 2 * DISK_BYTES, &err));
    fails(gw_snapshot_set_check_old(&set, "s", &index, &err), -EINVAL, &err, "disk b had 1048576 bytes in snapshot 's'");
    gw_node_free(raw, NULL);
}

static void test_bitmaps(void **state)
{
    uint64_t bits[4] = {1};
    const struct gw_qcow2_bitmap b = {.name = (char[]){"b0"}, .granularity_bits = 12, .bit_count = 256, .bits = bits};
    struct gw_error err = GW_ERROR_INIT;
    unsigned index;

    rig_ok(take("s", &err));
    rig_ok(gw_qcow2_bitmaps_store(node[1], &b, 1, &err));
    fails(gw_snapshot_set_check_old(&set, "s", &index, &err), -EBUSY, &err, "disk b has dirty bitmaps");
    rig_ok(gw_qcow2_bitmaps_store(node[1], NULL, 0, &err));
    rig_ok(gw_snapshot_set_check_old(&set, "s", &index, &err));
}

/* Write n of the second disk fails once; the disks are used on as they were. */
static void test_all_or_nothing(void **state)
{
    const struct gw_qcow2_snapshot *list;
    struct gw_error err = GW_ERROR_INIT;
    unsigned n = 0, failed = 0;
    int r = -1;

    while (r < 0) {
        file[1].fail_once = true;
        file[1].fail_after = ++n;
        err = (struct gw_error)GW_ERROR_INIT;
        r = take("s", &err);
        file[1].fail_after = 0;
        failed += r < 0;
        for (unsigned i = 0; i < 2; i++) {
            unsigned count = gw_qcow2_snapshots(node[i], &list);

            if (count != (r >= 0) && !strstr(err.text, "may be left on disk b"))
                fail_msg("write %u: disk %s has %u snapshots: %s", n, names[i], count, err.text);
            assert_false(r < 0 && i == 0 && count);
        }
        if (r < 0) { /* whoever failed is opened anew */
            gw_node_free(node[1], NULL);
            node[1] = rig_open(&file[1], NULL, 0);
            rig_ok(gw_snapshot_set_delete(&set, "s", &err));
            assert_int_equal(rig_byte(node[1], 6000), 2);
            rig_clean(node[0]);
        }
    }
    assert_true(failed >= 3);
    rig_ok(gw_node_flush(node[1], &err));
    rig_ok(gw_qcow2_repair(node[1], &err));
    rig_clean(node[1]);
}

static void crash(unsigned which, const struct rig_file *base, unsigned until, uint64_t *seed)
{
    struct gw_qcow2_report report;
    struct gw_node *n;

    rig_crash(base, &file[which], until, rig_random(seed) % 2, seed, &left);
    n = rig_open(&left, NULL, 0); /* counts again what has the dirty bit */
    rig_ok(gw_qcow2_check(n, &report, &err));
    if (report.corruptions)
        fail_msg("killed at write %u of disk %s: %s", until, names[which], report.first);
    for (unsigned at = 5000; at < 305000; at += 5000)
        assert_int_equal(rig_byte(n, at), 1 + which);
    gw_node_free(n, NULL);
}

/* Whatever the moment at which the writer is killed: each disk is whole, its contents are there. */
static void test_killed(void **state)
{
    struct rig_file base[2];
    uint64_t seed = 99;

    for (unsigned i = 0; i < 2; i++) {
        rig_new(&base[i]);
        memcpy(base[i].data, file[i].data, file[i].bytes);
        base[i].bytes = file[i].bytes;
        file[i].record = true;
    }
    rig_ok(take("s", &err));
    rig_ok(gw_snapshot_set_apply(&set, "s", &err));
    rig_ok(gw_snapshot_set_delete(&set, "s", &err));
    for (unsigned i = 0; i < 2; i++) {
        assert_true(file[i].count > 10);
        for (unsigned until = 0; until <= file[i].count; until++)
            crash(i, &base[i], until, &seed);
        rig_done(&base[i]);
    }
}

#define T(f) cmocka_unit_test_setup_teardown(f, up, down)

int main(void)
{
    const struct CMUnitTest tests[] = {T(test_there_and_back), T(test_refused), T(test_bitmaps), T(test_all_or_nothing), T(test_killed)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
