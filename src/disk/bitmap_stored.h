/* SPDX-License-Identifier: MIT
 *
 * bitmap_stored: persistent dirty bitmaps in the qcow2 image of their disk (gw_disk.image).
 *
 *     the disk is taken over   those in the image become bitmaps of the disk; in the file they are in use from then on
 *     it is given up, freed    the persistent ones of the disk become those of the image, good again
 *
 * So a process that is killed leaves them in use, which is inconsistent for whoever opens the image next. One that migrates
 * with its machine (not_stored) is left out: its destination stores it. One of a name that the disk has already is not loaded: it is
 * what that was when it was stored. What is not understood is kept as it is.
 *
 * Threads: disk->owning is held, or no other code uses the disk; no other call on the image is in progress.
 */
#ifndef GW_DISK_BITMAP_STORED_H
#define GW_DISK_BITMAP_STORED_H

#include "disk/disk.h"

/* Whether a bitmap of this disk can be persistent. 0 also where the image is not known: the embedder stores it then.
 * -ENOTSUP. */
int gw_disk_bitmaps_check_image(const struct gw_disk *d, struct gw_error *err);
/* These do nothing for an image without bitmaps, or one that cannot be written. */
int gw_disk_bitmaps_load(struct gw_disk *d, struct gw_error *err);
int gw_disk_bitmaps_store(struct gw_disk *d, struct gw_error *err);
/* After a store, when another host gets the image: its bitmaps are no longer those of this disk, until the disk is
 * taken over again. */
void gw_disk_bitmaps_given(struct gw_disk *d);
/* Frees what load kept for store. */
void gw_disk_bitmaps_forget(struct gw_disk *d);

#endif
