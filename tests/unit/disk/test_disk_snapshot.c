/* SPDX-License-Identifier: MIT
 *
 * The snapshots of a disk, one after the other; a disk that can have none.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

#include "disk/disk.h"
#include "disk/node/qcow2.h"
#include "godwit/vm_snapshot.h"

static int disk_read(void *opaque, void *to, uint64_t bytes, uint64_t offset, struct gw_error *err)
{
    return gw_node_read(opaque, to, bytes, offset, err);
}

static const struct gw_disk_ops ops = {GW_SIZED(struct gw_disk_ops), .read = disk_read};

static struct gw_disk *disk_of(struct gw_node *n)
{
    const struct gw_disk_desc desc = {.device = "d", .bytes = 1 << 20, .ops = &ops, .opaque = n, .image = n};
    struct gw_disk *d;

    assert_int_equal(gw_disk_new(&desc, &d, NULL), 0);
    return d;
}

static void test_listed(void **state)
{
    const struct gw_qcow2_config config = {.bytes = 1 << 20};
    struct gw_qcow2_snapshot s = {.name = (char[300]){0}, .seconds = 3, .nanoseconds = 4, .ran_ns = 5, .state_bytes = 6};
    struct gw_node *file = gw_node_memory(0, 4096), *n = NULL;
    struct gw_disk_snapshot got;
    struct gw_disk_info info;
    struct gw_disk *d;

    memset(s.name, 'n', 299);
    assert_int_equal(gw_qcow2_create(file, &config, NULL), 0);
    assert_int_equal(gw_qcow2_open(file, NULL, 0, &n, NULL), 0);
    d = disk_of(n);
    assert_int_equal(gw_disk_snapshot_at(d, 0, &got), -ENOENT);
    assert_int_equal(gw_qcow2_state_write(n, "state!", 6, 0, NULL), 0);
    assert_int_equal(gw_qcow2_snapshot_create(n, &s, NULL), 0);
    assert_int_equal(gw_disk_snapshot_at(d, 0, &got), 0);
    assert_string_equal(got.id, "1");
    assert_int_equal(strlen(got.name), 255);
    assert_int_equal(got.seconds, 3);
    assert_int_equal(got.nanoseconds, 4);
    assert_int_equal(got.ran_ns, 5);
    assert_int_equal(got.state_bytes, 6);
    assert_int_equal(gw_disk_snapshot_at(d, 1, &got), -ENOENT);
    gw_disk_describe(d, &info);
    assert_string_equal(info.format, "qcow2");
    assert_int_equal(gw_disk_inactivate(d, NULL), 0);
    assert_int_equal(gw_disk_snapshot_at(d, 0, &got), -ENOENT);
    gw_disk_free(d);
    gw_node_free(n, NULL);
}

static void test_none(void **state)
{
    struct gw_node *n = gw_node_memory(1 << 20, 4096);
    struct gw_disk *d = disk_of(n);
    struct gw_disk_snapshot got;

    assert_int_equal(gw_disk_snapshot_at(d, 0, &got), -ENOENT);
    gw_disk_free(d);
    gw_node_free(n, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_listed), cmocka_unit_test(test_none)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
