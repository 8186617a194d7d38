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
 * Order against reads: a write is reported when it has ended. So a reader that first clears a dirty bit and then reads
 * either reads the new data, or sees the bit set again later.
 */
#ifndef GW_DISK_DISK_H
#define GW_DISK_DISK_H

#include <pthread.h>

#include "base/base.h"
#include "godwit/disk.h"
#include "godwit/node.h"

#define GW_DISK_NAME     256u /* bytes, with the NUL */
#define GW_DISK_BLOCKERS 8u

struct gw_disk_bitmap;
struct gw_qcow2_bitmap;

/* Called for each write: offset and bytes lie inside the disk, bytes is not 0. Cannot fail. */
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
    struct gw_node *image; /* the node that ops read and write; NULL: not known */
    struct gw_qcow2_bitmap *stored; /* bitmap_stored.h: the stored_count bitmaps that were in the image. Under owning */
    unsigned stored_count;

    atomic_uint listening;  /* number of listeners; 0: a write needs no lock */
    pthread_mutex_t owning; /* serialises activate and inactivate; taken before lock */
    pthread_mutex_t lock;   /* protects the fields below */
    struct gw_disk_listener *listeners;
    bool active;
    const char *blockers[GW_DISK_BLOCKERS]; /* constant texts: "in use by migration" */
    unsigned blocker_count;
    struct gw_disk_bitmap *bitmaps; /* disk/bitmap.h, in the order of their creation */
    bool begun; /* this host owns the arriving machine: bitmaps that become complete now record at once */
};

int gw_disk_new(const struct gw_disk_desc *desc, struct gw_disk **ret, struct gw_error *err);
/* All blockers must be gone. Takes NULL, returns NULL. */
struct gw_disk *gw_disk_free(struct gw_disk *d);

/* The device name, else the node name: used on the wire and in messages. */
const char *gw_disk_name(const struct gw_disk *d);

/* They check the range (-EINVAL); the error names the disk and the offset. Listeners are told of all writes, also of
 * failed ones. -EROFS: read-only, or no write function; -EPERM: not active. */
int gw_disk_read(struct gw_disk *d, void *to, uint64_t bytes, uint64_t offset, struct gw_error *err);
int gw_disk_write(struct gw_disk *d, const void *from, uint64_t bytes, uint64_t offset, struct gw_error *err);
int gw_disk_zero(struct gw_disk *d, uint64_t bytes, uint64_t offset, bool unmap, struct gw_error *err);
int gw_disk_discard(struct gw_disk *d, uint64_t bytes, uint64_t offset, struct gw_error *err);
int gw_disk_find(struct gw_disk *d, uint64_t bytes, uint64_t offset, struct gw_disk_run *ret, struct gw_error *err);
int gw_disk_flush(struct gw_disk *d, struct gw_error *err);

bool gw_disk_active(struct gw_disk *d);
/* A second call does nothing. A failure leaves the state as it was. */
int gw_disk_activate(struct gw_disk *d, struct gw_error *err);
int gw_disk_inactivate(struct gw_disk *d, struct gw_error *err);

/* Until unblocked, the disk can be neither resized nor removed. The text is constant; the same reason may be added
 * several times. -ENOSPC. */
int gw_disk_block(struct gw_disk *d, const char *reason, struct gw_error *err);
void gw_disk_unblock(struct gw_disk *d, const char *reason);
/* -EBUSY with the first reason. what: for the message, e.g. "cannot be removed". */
int gw_disk_check_unblocked(struct gw_disk *d, const char *what, struct gw_error *err);

void gw_disk_listen(struct gw_disk *d, struct gw_disk_listener *l);
void gw_disk_unlisten(struct gw_disk *d, struct gw_disk_listener *l);
/* For listeners whose owner already holds disk->lock. */
void gw_disk_listen_locked(struct gw_disk *d, struct gw_disk_listener *l);
void gw_disk_unlisten_locked(struct gw_disk *d, struct gw_disk_listener *l);

#endif
