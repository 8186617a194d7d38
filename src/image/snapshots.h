/* SPDX-License-Identifier: MIT
 *
 * snapshots: internal snapshots of a disk image (godwit/snapshot.h), and the machine state in a snapshot as bytes.
 *
 * Before an image is changed, its bitmaps are loaded into memory, and stored again afterwards: changing snapshots does not change
 * the contents of the disk, so the bitmaps stay valid.
 */
#ifndef GW_IMAGE_SNAPSHOTS_H
#define GW_IMAGE_SNAPSHOTS_H

#include "godwit/snapshot.h"
#include "image/bytes.h"

struct gw_node;
struct gw_qcow2_bitmap;

struct gw_snapshots {
    struct gw_node *disk;
    struct gw_qcow2_bitmap *bitmaps;
    unsigned bitmap_count;
    bool changed;
};

/* To be called before the first change. */
int gw_snapshots_change(struct gw_snapshots *s, struct gw_error *err);

/* The state of a snapshot. *ret owns the disk that it reads from. -ENOENT: no such snapshot, or it has no machine
 * state. */
int gw_snapshot_bytes_new(const char *disk, const char *what, struct gw_bytes **ret, struct gw_error *err);
/* The same in an unnamed file, from offset 0 on. */
int gw_snapshot_unpack(const char *disk, const char *what, const char *temporary_folder, int *ret_fd, struct gw_error *err);

#endif
