/* SPDX-License-Identifier: MIT
 *
 * A machine becomes a snapshot of a disk, and is the same when it is read back; or nothing of it is there.
 */
#include "../disks.h"

#include "godwit/snapshot.h"

#define CAPTURE "precopy-microvm-10.0.bin.gz"

static struct gw_image *image;
static unsigned stop_at, steps; /* 0: never */

static bool step(void *opaque, uint64_t done_bytes, uint64_t total_bytes)
{
    assert_true(done_bytes <= total_bytes);
    return ++steps == stop_at;
}

static int put(const char *name)
{
    const struct gw_snapshot_options options = {.progress = step, .temporary_folder = disk_folder};
    struct gw_error err = GW_ERROR_INIT;
    int r = gw_snapshot_write(image, disk_path, name, &options, &err);

    if (r < 0)
        assert_true(r == err.code && *err.text);
    return r;
}

static void has(const char *name)
{
    struct gw_image *got = NULL;

    disk_ok(gw_image_open_snapshot(disk_path, name, disk_folder, &got, &err));
    assert_same_image(got, image);
    gw_image_free(got);
}

static void test_written(void **state)
{
    struct gw_snapshots *list = NULL;
    struct gw_snapshot s;

    steps = stop_at = 0;
    assert_int_equal(put("one"), 0);
    assert_true(steps > 0);
    has("one");
    disk_clean(1);
    assert_int_equal(put("two"), 0);
    has("one");
    has("2");
    disk_clean(2);
    disk_ok(gw_snapshots_open(disk_path, false, &list, &err));
    disk_ok(gw_snapshots_get(list, 1, &s, &err));
    assert_string_equal(s.name, "two");
    assert_true(s.seconds > 1700000000);
    disk_ok(gw_snapshots_free(list, &err));
}

/* Wherever it is stopped. */
static void test_interrupted(void **state)
{
    steps = stop_at = 0;
    assert_int_equal(put("all"), 0);
    for (unsigned all = steps, i = 1; i <= all; i++) {
        steps = 0;
        stop_at = i;
        assert_int_equal(put("one"), -ECANCELED);
        disk_clean(1);
    }
    steps = stop_at = 0;
    assert_int_equal(put("one"), 0);
    has("one");
}

static void test_refused(void **state)
{
    char name[257];
    struct gw_node *n;

    steps = stop_at = 0;
    memset(name, 'n', 256);
    name[256] = 0;
    assert_int_equal(put(name), -EINVAL);
    assert_int_equal(put(""), -EINVAL);
    name[255] = 0;
    assert_int_equal(put(name), 0);
    assert_int_equal(put(name), -EEXIST);
    assert_int_equal(put("1"), -EEXIST); /* an ID */
    n = disk_open();
    assert_int_equal(put("one"), -EBUSY);
    disk_close(n);
    disk_clean(1);
}

static int up(void **state)
{
    image = open_capture(CAPTURE);
    return disk_up(state);
}

static int down(void **state)
{
    gw_image_free(image);
    return disk_down(state);
}

#define CASE(name) cmocka_unit_test_setup_teardown(test_##name, up, down)

int main(void)
{
    const struct CMUnitTest tests[] = {CASE(written), CASE(interrupted), CASE(refused)};

    return cmocka_run_group_tests_name("snapshot_write", tests, NULL, NULL);
}
