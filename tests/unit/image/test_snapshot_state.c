/* SPDX-License-Identifier: MIT
 *
 * The machine in a snapshot is the one that was put there; what is none is refused.
 */
#include "disks.h"

#include "image/snapshots.h"

#define CAPTURE "precopy-microvm-10.0.bin.gz"

static void test_machine(void **state)
{
    struct bytes stream = stream_load(CAPTURE);
    struct gw_image *want = open_capture(CAPTURE), *got = NULL;

    disk_snapshot("other", "QEVMnothing", 11);
    disk_snapshot("one", stream.data, stream.bytes);
    disk_ok(gw_image_open_snapshot(disk_path, "one", disk_folder, &got, &err));
    assert_same_image(got, want);
    assert_int_equal(gw_image_kind(got), GW_IMAGE_STREAM);
    assert_int_equal(gw_image_lock(got, NULL), -EINVAL);
    gw_image_free(got);
    gw_image_free(want);
    free(stream.data);
    disk_clean(2);
}

static void test_bytes(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_bytes *b = NULL;
    char room[4];

    disk_snapshot("one", "QEVMnothing", 11);
    disk_ok(gw_snapshot_bytes_new(disk_path, "1", &b, &err));
    assert_int_equal(b->size, 11);
    disk_ok(gw_bytes_read(b, room, 4, 7, &err));
    assert_memory_equal(room, "hing", 4);
    assert_int_equal(gw_bytes_read(b, room, 1, 11, &err), -EPROTO);
    gw_bytes_free(b);
}

static void refused(const char *what, int code, const char *why)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_image *image = NULL;

    assert_int_equal(gw_image_open_snapshot(disk_path, what, disk_folder, &image, &err), code);
    if (!strstr(err.text, why) || !strstr(err.text, disk_path))
        fail_msg("'%s' is not in '%s'", why, err.text);
    assert_null(image);
}

static void test_refused(void **state)
{
    static const uint8_t short_of_all[] = "QEV";
    struct bytes stream = stream_load(CAPTURE);
    struct gw_error err = GW_ERROR_INIT;
    struct gw_image *image = NULL;

    disk_snapshot("disk", "", 0);
    disk_snapshot("text", "some text", 9);
    disk_snapshot("short", short_of_all, 3);
    disk_snapshot("cut", stream.data, stream.bytes / 2);
    refused("none", -ENOENT, "no snapshot none");
    refused("disk", -ENOENT, "snapshot disk has no machine state");
    refused("text", -EPROTO, "snapshot text: its state is not a migration stream");
    refused("short", -EPROTO, "snapshot short: its state is not a migration stream");
    refused("cut", -EPROTO, "snapshot cut");
    assert_int_equal(gw_image_open_snapshot("/nowhere/at all", "one", NULL, &image, &err), -ENOENT);
    assert_int_equal(gw_image_open_snapshot(disk_path, "cut", "/nowhere", &image, &err), -ENOENT);
    assert_int_equal(gw_image_open(disk_path, &image, &err), -EPROTO); /* says where the machines are */
    assert_non_null(strstr(err.text, "godwit snapshot list"));
    free(stream.data);
}

#define CASE(name) cmocka_unit_test_setup_teardown(test_##name, disk_up, disk_down)

int main(void)
{
    const struct CMUnitTest tests[] = {CASE(machine), CASE(bytes), CASE(refused)};

    return cmocka_run_group_tests_name("snapshot_state", tests, NULL, NULL);
}
