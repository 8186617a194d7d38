/* SPDX-License-Identifier: MIT */
#include "machine/disk.h"

static int disk_read(void *disk, void *to, uint64_t bytes, uint64_t offset, struct gw_error *err)
{
    return gw_node_read(disk, to, bytes, offset, err);
}

static int disk_write(void *disk, const void *from, uint64_t bytes, uint64_t offset, struct gw_error *err)
{
    return gw_node_write(disk, from, bytes, offset, 0, err);
}

static int disk_flush(void *disk, struct gw_error *err)
{
    return gw_node_flush(disk, err);
}

static int disk_zero(void *disk, uint64_t bytes, uint64_t offset, bool unmap, struct gw_error *err)
{
    return gw_node_zero(disk, bytes, offset, unmap ? GW_NODE_UNMAP : 0, err);
}

static int disk_find(void *disk, uint64_t bytes, uint64_t offset, struct gw_disk_run *ret, struct gw_error *err)
{
    return gw_node_look(disk, bytes, offset, ret, err);
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

static const struct gw_disk_ops disk_ops = {
    GW_SIZED(struct gw_disk_ops),
    .read = disk_read,
    .write = disk_write,
    .flush = disk_flush,
    .zero = disk_zero,
    .find = disk_find,
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
        .ops = &disk_ops, .opaque = n, .close = disk_close, .bytes = gw_node_bytes(n) / 512 * 512, .readonly = gw_node_read_only(n),
        .image = n};
    return 0;
}
