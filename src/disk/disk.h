/* SPDX-License-Identifier: MIT
 *
 * disk: a disk of a machine inside the library (godwit/disk.h is what the embedder sees).
 *
 * Around the embedder's calls it has: listeners, which hear of each write; blockers, which keep the disk from being
 * resized or removed; and whether this host owns it (active). Trackers (disk/tracker.h) and bitmaps (disk/bitmap.h) are
 * listeners.
 *
 * Threads: all functions on any thread, except gw_disk_new and gw_disk_free. disk->lock protects the lists and
 * everything that listeners keep; a listener is called with it held and must not call the disk.
 *
 * Order against reads: a write is reported when it has ended. So whoever first clears a dirty bit and then reads has
 * read the write, or sees the bit set again later.
 */
#ifndef GW_DISK_DISK_H
#define GW_DISK_DISK_H

#include <pthread.h>

#include "base/base.h"
#include "godwit/disk.h"
#include "godwit/node.h"

#define GW_DISK_NAME     256u /* with its NUL */
#define GW_DISK_BLOCKERS 8u

struct gw_disk_bitmap;
struct gw_qcow2_bitmap;

/* Hears of each write: offset and bytes lie inside the disk, bytes is not 0. Cannot fail. */
struct gw_disk_listener {
    void (*wrote)(struct gw_disk_listener *l, uint64_t offset, uint64_t bytes);
    struct gw_disk_listener *next;
};

struct gw_disk {
    char device[GW_DISK_NAME], node[GW_DISK_NAME]; /* "": none */
    _Atomic uint64_t bytes;
    uint32_t request_bytes, cluster_bytes;
    bool read_only;
    struct gw_disk_ops ops;
    void *opaque;
    struct gw_node *image; /* what ops reads and writes; NULL: not known */
    struct gw_qcow2_bitmap *stored; /* bitmap_stored.h: stored_count that were in the image. Under owning */
    unsigned stored_count;

    atomic_uint listening;  /* how many listeners there are: 0 needs no lock */
    pthread_mutex_t owning; /* one activate or inactivate at a time; taken before lock */
    pthread_mutex_t lock;   /* what follows */
    struct gw_disk_listener *listeners;
    bool active;
    const char *blockers[GW_DISK_BLOCKERS]; /* constant texts: "in use by migration" */
    unsigned blocker_count;
    struct gw_disk_bitmap *bitmaps; /* disk/bitmap.h, in the order of their creation */
    bool begun; /* the machine that arrives belongs here: bitmaps that are completed now record at once */
};

int gw_disk_new(const struct gw_disk_desc *desc, struct gw_disk **ret, struct gw_error *err);
/* No blocker is left. Takes NULL, returns NULL. */
struct gw_disk *gw_disk_free(struct gw_disk *d);

/* The device name, else the node name: for the wire and for messages. */
const char *gw_disk_name(const struct gw_disk *d);

/* Range checked (-EINVAL), the error names the disk and the offset. Writes are reported to the listeners, also failed
 * ones. -EROFS: it is read-only or cannot be written; -EPERM: not active. */
int gw_disk_read(struct gw_disk *d, void *to, uint64_t bytes, uint64_t offset, struct gw_error *err);
int gw_disk_write(struct gw_disk *d, const void *from, uint64_t bytes, uint64_t offset, struct gw_error *err);
int gw_disk_zero(struct gw_disk *d, uint64_t bytes, uint64_t offset, bool unmap, struct gw_error *err);
int gw_disk_discard(struct gw_disk *d, uint64_t bytes, uint64_t offset, struct gw_error *err);
int gw_disk_find(struct gw_disk *d, uint64_t bytes, uint64_t offset, struct gw_disk_run *ret, struct gw_error *err);
int gw_disk_flush(struct gw_disk *d, struct gw_error *err);

bool gw_disk_active(struct gw_disk *d);
/* Once each, however often they are called. A failure leaves the state as it was. */
int gw_disk_activate(struct gw_disk *d, struct gw_error *err);
int gw_disk_inactivate(struct gw_disk *d, struct gw_error *err);

/* While a reason stands the disk can be neither resized nor removed. The text is constant, and a reason may stand
 * several times. -ENOSPC. */
int gw_disk_block(struct gw_disk *d, const char *reason, struct gw_error *err);
void gw_disk_unblock(struct gw_disk *d, const char *reason);
/* -EBUSY with the first reason. what: "cannot be removed". */
int gw_disk_check_unblocked(struct gw_disk *d, const char *what, struct gw_error *err);

void gw_disk_listen(struct gw_disk *d, struct gw_disk_listener *l);
void gw_disk_unlisten(struct gw_disk *d, struct gw_disk_listener *l);
/* For a listener whose owner holds disk->lock. */
void gw_disk_listen_locked(struct gw_disk *d, struct gw_disk_listener *l);
void gw_disk_unlisten_locked(struct gw_disk *d, struct gw_disk_listener *l);

#endif
