/* SPDX-License-Identifier: MIT */
#include "image/snapshots.h"

#include "base/sized.h"
#include "channel/nbd.h"
#include "disk/node/qcow2.h"

int gw_snapshots_open(const char *disk, bool write, struct gw_snapshots **ret_snapshots, struct gw_error *err)
{
    const struct gw_node_options options = {.format = gw_nbd_meant(disk) ? "nbd" : "raw", .read_only = !write};
    struct gw_snapshots *s = calloc(1, sizeof *s);
    struct gw_node *file;
    int r = s ? gw_node_open(disk, &options, &file, err) : gw_nomem(err, "snapshots");

    /* The backing is not needed, and opening it would access other files of this host. */
    if (r >= 0)
        r = gw_qcow2_open(file, NULL, GW_QCOW2_ALONE | (write ? 0 : GW_QCOW2_READ_ONLY), &s->disk, err);
    if (r < 0)
        free(s);
    else
        *ret_snapshots = s;
    return r;
}

unsigned gw_snapshots_count(const struct gw_snapshots *snapshots)
{
    const struct gw_qcow2_snapshot *list;

    return gw_qcow2_snapshots(snapshots->disk, &list);
}

int gw_snapshots_get_sized(const struct gw_snapshots *snapshots, unsigned index, struct gw_snapshot *ret_snapshot,
                           size_t snapshot_bytes, struct gw_error *err)
{
    const struct gw_qcow2_snapshot *list, *s;
    unsigned n = gw_qcow2_snapshots(snapshots->disk, &list);
    struct gw_snapshot own;

    if (index >= n)
        return gw_fail(err, -ENOENT, GW_BLAME_CALLER, "%s: there is no snapshot %u, it has %u", snapshots->disk->name, index, n);
    s = &list[index];
    own = (struct gw_snapshot){s->id, s->name, s->seconds, s->nanoseconds, s->ran_ns, s->state_bytes, s->disk_bytes};
    gw_sized_out(ret_snapshot, snapshot_bytes, &own, sizeof own);
    return 0;
}

int gw_snapshots_change(struct gw_snapshots *s, struct gw_error *err)
{
    int r = s->changed || s->disk->read_only
                ? 0 /* the change itself reports the error */
                : gw_qcow2_bitmaps_load(s->disk, &s->bitmaps, &s->bitmap_count, err);

    s->changed |= r >= 0 && !s->disk->read_only;
    return r;
}

int gw_snapshots_delete(struct gw_snapshots *snapshots, const char *what, struct gw_error *err)
{
    unsigned index = 0;
    int r = gw_qcow2_snapshot_find(snapshots->disk, what, &index, err);

    if (r >= 0)
        r = gw_snapshots_change(snapshots, err);
    return r < 0 ? r : gw_qcow2_snapshot_delete(snapshots->disk, index, err);
}

int gw_snapshots_free(struct gw_snapshots *snapshots, struct gw_error *err)
{
    int r = 0, e;

    if (!snapshots)
        return 0;
    if (snapshots->changed && snapshots->bitmap_count)
        r = gw_qcow2_bitmaps_store(snapshots->disk, snapshots->bitmaps, snapshots->bitmap_count, err);
    if (snapshots->changed && r >= 0)
        r = gw_node_flush(snapshots->disk, err);
    gw_qcow2_bitmaps_free(snapshots->bitmaps, snapshots->bitmap_count);
    e = gw_node_free(snapshots->disk, r < 0 ? NULL : err);
    free(snapshots);
    return r < 0 ? r : e;
}
