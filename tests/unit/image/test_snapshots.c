/* SPDX-License-Identifier: MIT
 *
 * The snapshots of a disk image: listed, deleted, refused; the bitmaps of the disk stay true.
 */
#include "disks.h"

#include "image/snapshots.h"

static struct gw_snapshots *get(bool write)
{
    struct gw_snapshots *s = NULL;

    disk_ok(gw_snapshots_open(disk_path, write, &s, &err));
    return s;
}

static void test_list(void **state)
{
    struct gw_snapshots *s;
    struct gw_snapshot one;
    struct gw_error err = GW_ERROR_INIT;

    disk_snapshot("first", "abc", 3);
    disk_snapshot("second", "", 0);
    s = get(false);
    assert_int_equal(gw_snapshots_count(s), 2);
    disk_ok(gw_snapshots_get(s, 0, &one, &err));
    assert_string_equal(one.id, "1");
    assert_string_equal(one.name, "first");
    assert_int_equal(one.seconds, 1234567890);
    assert_int_equal(one.nanoseconds, 55);
    assert_int_equal(one.ran_ns, 777);
    assert_int_equal(one.state_bytes, 3);
    assert_int_equal(one.disk_bytes, DISK_BYTES);
    disk_ok(gw_snapshots_get(s, 1, &one, &err));
    assert_string_equal(one.name, "second");
    assert_int_equal(one.state_bytes, 0);
    assert_int_equal(gw_snapshots_get(s, 2, &one, &err), -ENOENT);
    assert_int_equal(gw_snapshots_delete(s, "first", &err), -EROFS);
    disk_ok(gw_snapshots_free(s, &err));
    disk_clean(2);
}

static void test_delete(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_snapshots *s;

    disk_snapshot("first", "abc", 3);
    disk_snapshot("second", "", 0);
    s = get(true);
    assert_int_equal(gw_snapshots_delete(s, "third", &err), -ENOENT);
    disk_ok(gw_snapshots_delete(s, "2", &err));
    disk_ok(gw_snapshots_delete(s, "first", &err));
    assert_int_equal(gw_snapshots_count(s), 0);
    disk_ok(gw_snapshots_free(s, &err));
    disk_clean(0);
    assert_int_equal(gw_snapshots_free(NULL, NULL), 0);
}

/* One that must see all writes has seen all that there were. */
static void test_bitmaps_stay(void **state)
{
    uint64_t bits = 5;
    const struct gw_qcow2_bitmap made = {
        .name = (char[]){"b"}, .flags = GW_QCOW2_BITMAP_AUTO, .granularity_bits = 16, .bit_count = DISK_BYTES >> 16, .bits = &bits};
    struct gw_qcow2_bitmap *found = NULL;
    struct gw_snapshots *s;
    struct gw_node *n;
    unsigned count;

    disk_snapshot("first", "abc", 3);
    n = disk_open();
    disk_ok(gw_qcow2_bitmaps_store(n, &made, 1, &err));
    disk_close(n);
    s = get(true);
    disk_ok(gw_snapshots_delete(s, "first", &err));
    disk_ok(gw_snapshots_free(s, &err));
    s = get(true); /* without a change nothing is touched */
    disk_ok(gw_snapshots_free(s, &err));
    n = disk_open();
    disk_ok(gw_qcow2_bitmaps_load(n, &found, &count, &err));
    assert_int_equal(count, 1);
    assert_int_equal(found->flags, GW_QCOW2_BITMAP_AUTO);
    assert_non_null(found->bits);
    assert_int_equal(*found->bits, 5);
    gw_qcow2_bitmaps_free(found, count);
    gw_node_free(n, NULL);
}

static void test_refused(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_snapshots *s = NULL, *other = NULL;
    int fd;

    s = get(true);
    assert_int_equal(gw_snapshots_open(disk_path, false, &other, &err), -EBUSY);
    assert_int_equal(gw_snapshots_open(disk_path, true, &other, &err), -EBUSY);
    disk_ok(gw_snapshots_free(s, &err));
    s = get(false);
    disk_ok(gw_snapshots_open(disk_path, false, &other, &err));
    disk_ok(gw_snapshots_free(other, &err));
    disk_ok(gw_snapshots_free(s, &err));
    assert_int_equal(gw_snapshots_open("/nowhere/at all", false, &s, &err), -ENOENT);
    fd = open(disk_path, O_WRONLY | O_CLOEXEC);
    assert_int_equal(pwrite(fd, "some", 4, 0), 4);
    close(fd);
    assert_true(gw_snapshots_open(disk_path, false, &s, &err) < 0);
    assert_non_null(strstr(err.text, disk_path));
}

#define CASE(name) cmocka_unit_test_setup_teardown(test_##name, disk_up, disk_down)

int main(void)
{
    const struct CMUnitTest tests[] = {CASE(list), CASE(delete), CASE(bitmaps_stay), CASE(refused)};

    return cmocka_run_group_tests_name("snapshots", tests, NULL, NULL);
}
