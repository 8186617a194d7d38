/* SPDX-License-Identifier: MIT */
#include "machine/disk.h"

static int disk_read(void *disk, uint64_t offset, void *buf, size_t bytes, struct gw_error *err)
{
    return gw_node_read(disk, buf, bytes, offset, err);
}

static int disk_write(void *disk, uint64_t offset, const void *buf, size_t bytes, struct gw_error *err)
{
    return gw_node_write(disk, buf, bytes, offset, 0, err);
}

static int disk_flush(void *disk, struct gw_error *err)
{
    return gw_node_flush(disk, err);
}

static void disk_close(void *disk)
{
    gw_node_free(disk, NULL);
}

static int disk_activate(void *disk, struct gw_error *err)
{
    return gw_node_activate(disk, err);
}

static int disk_inactivate(void *disk, struct gw_error *err)
{
    return gw_node_inactivate(disk, err);
}

static const struct gw_machine_disk_ops disk_ops = {
    .read = disk_read,
    .write = disk_write,
    .flush = disk_flush,
    .close = disk_close,
    .activate = disk_activate,
    .inactivate = disk_inactivate,
};

int gw_machine_disk_open(const char *what, const struct gw_node_options *options, struct gw_machine_disk *ret_disk,
                         struct gw_error *err)
{
    struct gw_node *n = NULL;
    int r = gw_node_open(what, options, &n, err);

    if (r < 0) {
        gw_context(err, "disk");
        return r;
    }
    *ret_disk = (struct gw_machine_disk){
        .ops = &disk_ops, .opaque = n, .bytes = gw_node_bytes(n) / 512 * 512, .readonly = gw_node_read_only(n)};
    return 0;
}
