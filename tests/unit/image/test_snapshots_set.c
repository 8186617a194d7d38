/* SPDX-License-Identifier: MIT
 *
 * Snapshots of stopped disks, together. How they are all or nothing: tests/unit/disk/node/test_snapshot_set.c.
 */
#include "disks.h"

#include "godwit/snapshot.h"

static struct gw_snapshots *get(void)
{
    struct gw_snapshots *s = NULL;

    disk_ok(gw_snapshots_open(disk_path, true, &s, &err));
    return s;
}

static void put(struct gw_snapshots *s)
{
    disk_ok(gw_snapshots_free(s, &err));
}

static void write_first(const char *text)
{
    struct gw_node *n = disk_open();

    disk_ok(gw_node_write(n, text, 8, 0, 0, &err));
    disk_close(n);
}

static void test_there_and_back(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_snapshots *s = get();

    disk_ok(gw_snapshots_save(&s, 1, "one", &err));
    assert_int_equal(gw_snapshots_save(&s, 1, "one", &err), -EEXIST);
    put(s);
    write_first("changed ");
    s = get();
    assert_int_equal(gw_snapshots_load(&s, 1, "two", &err), -ENOENT);
    disk_ok(gw_snapshots_load(&s, 1, "one", &err));
    put(s);
    disk_clean(1);
}

/* The machine in a snapshot stays there. */
static void test_with_state(void **state)
{
    struct gw_snapshots *s;
    struct gw_node *n;
    char got[6];

    disk_snapshot("vm", "state", 6);
    write_first("changed ");
    s = get();
    disk_ok(gw_snapshots_load(&s, 1, "vm", &err));
    put(s);
    disk_clean(1);
    n = disk_open();
    disk_ok(gw_qcow2_snapshot_state_read(n, 0, got, 6, 0, &err));
    assert_string_equal(got, "state");
    disk_close(n);
}

/* Those that are stored stay, unless the disk would go back under them. */
static void test_bitmaps(void **state)
{
    uint64_t bits = 5;
    const struct gw_qcow2_bitmap made = {
        .name = (char[]){"b"}, .flags = GW_QCOW2_BITMAP_AUTO, .granularity_bits = 16, .bit_count = DISK_BYTES >> 16, .bits = &bits};
    struct gw_error err = GW_ERROR_INIT;
    struct gw_qcow2_bitmap *found = NULL;
    struct gw_snapshots *s;
    struct gw_node *n = disk_open();
    unsigned count;

    disk_ok(gw_qcow2_bitmaps_store(n, &made, 1, &err));
    disk_close(n);
    s = get();
    disk_ok(gw_snapshots_save(&s, 1, "one", &err));
    assert_int_equal(gw_snapshots_load(&s, 1, "one", &err), -EBUSY);
    put(s);
    n = disk_open();
    disk_ok(gw_qcow2_bitmaps_load(n, &found, &count, &err));
    assert_int_equal(count, 1);
    assert_int_equal(found->flags, GW_QCOW2_BITMAP_AUTO);
    assert_int_equal(*found->bits, 5);
    gw_qcow2_bitmaps_free(found, count);
    gw_node_free(n, NULL);
}

#define T(f) cmocka_unit_test_setup_teardown(f, disk_up, disk_down)

int main(void)
{
    const struct CMUnitTest tests[] = {T(test_there_and_back), T(test_with_state), T(test_bitmaps)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
