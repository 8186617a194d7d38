/* SPDX-License-Identifier: MIT
 *
 * disks: disk images in a folder, with snapshots.
 */
#ifndef TEST_DISKS_H
#define TEST_DISKS_H

#include "files.h"

#include "disk/node/qcow2.h"

#define DISK_BYTES (1u << 20)

static char disk_folder[] = "/tmp/gw-disks-XXXXXX", disk_path[64];

#define disk_ok(call)                                                                                                  \
    do {                                                                                                               \
        _Pragma("GCC diagnostic push") _Pragma("GCC diagnostic ignored \"-Wshadow\"") /* call names err */             \
            struct gw_error err = GW_ERROR_INIT;                                                                       \
        _Pragma("GCC diagnostic pop") if ((call) < 0) fail_msg("%s:%d: %s", __FILE__, __LINE__, err.text);             \
    } while (0)

static inline struct gw_node *disk_open(void)
{
    struct gw_node *file, *n = NULL;

    disk_ok(gw_node_open(disk_path, &(struct gw_node_options){.format = "raw"}, &file, &err));
    disk_ok(gw_qcow2_open(file, NULL, GW_QCOW2_ALONE, &n, &err));
    return n;
}

static inline void disk_close(struct gw_node *n)
{
    disk_ok(gw_node_flush(n, &err));
    disk_ok(gw_node_free(n, &err));
}

/* An empty image, with its first bytes written. */
static int disk_up(void **state)
{
    static const char first[] = "the disk";
    struct gw_node *n;
    int fd;

    strcpy(disk_folder, "/tmp/gw-disks-XXXXXX");
    if (!mkdtemp(disk_folder))
        return -1;
    snprintf(disk_path, sizeof disk_path, "%s/disk", disk_folder);
    fd = open(disk_path, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
    if (fd < 0)
        return -1;
    close(fd);
    disk_ok(gw_node_open(disk_path, &(struct gw_node_options){.format = "raw"}, &n, &err));
    disk_ok(gw_qcow2_create(n, &(struct gw_qcow2_config){.bytes = DISK_BYTES, .cluster_bits = 12}, &err));
    disk_ok(gw_node_free(n, &err));
    n = disk_open();
    disk_ok(gw_node_write(n, first, sizeof first, 0, 0, &err));
    disk_close(n);
    return 0;
}

static int disk_down(void **state)
{
    unlink(disk_path);
    return rmdir(disk_folder);
}

static inline void disk_snapshot(const char *name, const void *state, uint64_t state_bytes)
{
    struct gw_qcow2_snapshot s = {.name = (char *)name, .seconds = 1234567890, .nanoseconds = 55, .ran_ns = 777,
                                  .state_bytes = state_bytes};
    struct gw_node *n = disk_open();

    disk_ok(gw_qcow2_state_write(n, state, state_bytes, 0, &err));
    disk_ok(gw_qcow2_snapshot_create(n, &s, &err));
    disk_close(n);
}

/* Nothing is lost, and nothing left over; so many snapshots. */
static inline void disk_clean(unsigned snapshots)
{
    const struct gw_qcow2_snapshot *list;
    struct gw_node *n = disk_open();
    struct gw_qcow2_report report;
    char first[9] = "";

    disk_ok(gw_qcow2_check(n, &report, &err));
    if (report.leaks || report.corruptions || report.missing_copied)
        fail_msg("%s", report.first);
    assert_int_equal(gw_qcow2_snapshots(n, &list), snapshots);
    disk_ok(gw_node_read(n, first, sizeof first, 0, &err));
    assert_string_equal(first, "the disk");
    disk_ok(gw_qcow2_state_read(n, first, sizeof first, 0, &err));
    assert_memory_equal(first, "\0\0\0\0\0\0\0\0", sizeof first); /* states belong to snapshots */
    disk_close(n);
}

#endif
