/* SPDX-License-Identifier: MIT
 *
 * disk/node/qcow2: a qcow2 image (versions 2 and 3) as a node over the node of its file, and its other contents:
 * internal snapshots, the state of a machine after the end of the disk, stored dirty bitmaps.
 *
 * Not supported: encrypted images, external data files (both are refused), writing where there are subclusters
 * (extended L2 entries; opened read-only only), writing compressed clusters.
 *
 * Order on the disk: a cluster's refcount is written before any pointer to it, its data before the table entry, and it
 * can be reused only after no pointer is left; a flush of the file separates these steps. An image whose writer was
 * killed has leaked clusters at worst. While snapshots change, the dirty bit is set (version 3): the next opener counts
 * the clusters again.
 *
 * Memory: bounded by the tables of the image, which are bounded when it is opened (GW_QCOW2_L1_MAX and others below),
 * and caches of a few MiB.
 *
 * Threads: the calls of a node as node.h says. All functions here: no other call may be in progress. Runs of find are
 * valid until the next zero, discard, resize, free, or call of a function here, since freed clusters may be reused
 * then. A flush flushes the file also if only users of a run have written to it.
 */
#ifndef GW_DISK_QCOW2_H
#define GW_DISK_QCOW2_H

#include "disk/node/node.h"

#define GW_QCOW2_CLUSTER_BITS_MIN 9u
#define GW_QCOW2_CLUSTER_BITS_MAX 21u
#define GW_QCOW2_L1_MAX           (32u << 20) /* bytes */
#define GW_QCOW2_REFTABLE_MAX     (8u << 20)  /* bytes */
#define GW_QCOW2_SNAPSHOTS_MAX    65536u
#define GW_QCOW2_TABLE_MAX        (16u << 20) /* bytes of the snapshot table, and of the directory of bitmaps */
#define GW_QCOW2_BITMAPS_MAX      65535u
#define GW_QCOW2_BACKING_MAX      1023u /* bytes of a name */

/* ---- images ------------------------------------------------------------------------------------------------------ */

/* What the header says about the image. */
struct gw_qcow2_about {
    unsigned version, cluster_bits, refcount_order, snapshots;
    uint64_t bytes;
    char backing[GW_QCOW2_BACKING_MAX + 1]; /* "": none */
    char backing_format[64];                /* "": not recorded */
    bool dirty, corrupt, lazy_refcounts, extended_l2, zstd;
};
int gw_qcow2_about(struct gw_node *file, struct gw_qcow2_about *ret, struct gw_error *err);

enum gw_qcow2_flags {
    GW_QCOW2_READ_ONLY = 1,
    GW_QCOW2_INACTIVE = 4, /* as after gw_node_inactivate; the file's node is inactive too */
    GW_QCOW2_ALONE = 2,    /* without the backing that it names: to check it, or to list its snapshots */
};
/* The node owns file and backing from here on, also on failure (then they are freed). backing: the one that the image
 * names, NULL if it names none. Opened for writing, an image with the dirty bit has its refcounts rebuilt first; one
 * with the corrupt bit is refused (-EROFS). -EPROTO: damaged. -ENOTSUP: an unsupported feature. */
int gw_qcow2_open(struct gw_node *take_file, struct gw_node *take_backing, unsigned flags, struct gw_node **ret,
                  struct gw_error *err);

/* By path, with all that is below it (qcow2_chain.c): for the table of formats. The format of each backing must be
 * recorded in the image over it. -ELOOP: the chain contains a file twice, or has more than GW_QCOW2_CHAIN_MAX images. */
#define GW_QCOW2_CHAIN_MAX 64u
int gw_qcow2_open_path(const char *path, const struct gw_node_options *options, struct gw_node **ret,
                       struct gw_error *err);

struct gw_qcow2_config {
    uint64_t bytes;          /* a multiple of 512 */
    unsigned version;        /* 2 or 3; 0: 3 */
    unsigned cluster_bits;   /* 0: 16 */
    unsigned refcount_order; /* width is 1 << order; version 2 has 4 */
    bool refcount_set;       /* else the order is 4 */
    bool lazy_refcounts;
    const char *backing, *backing_format; /* or NULL; a backing needs its format */
};
/* Makes an empty image in a file, whose old contents are lost. */
int gw_qcow2_create(struct gw_node *file, const struct gw_qcow2_config *config, struct gw_error *err);

/* The result of a check. */
struct gw_qcow2_report {
    uint64_t leaks;          /* clusters with a refcount that is too high: space is lost, nothing else */
    uint64_t missing_copied; /* entries without the COPIED flag whose cluster is used once: a write makes an unnecessary copy */
    uint64_t corruptions;    /* refcounts that are too low, shared clusters with COPIED, overlapping tables, invalid entries */
    uint64_t clusters;       /* clusters in use */
    char first[256];         /* the first corruption, or else the first of the other findings */
};
/* The node must be one that gw_qcow2_open returned. */
int gw_qcow2_check(struct gw_node *n, struct gw_qcow2_report *ret, struct gw_error *err);
/* Counts all clusters and writes new refcounts, which clears the dirty bit and removes leaks. -EPROTO: damage that this
 * cannot repair. */
int gw_qcow2_repair(struct gw_node *n, struct gw_error *err);

/* ---- snapshots --------------------------------------------------------------------------------------------------- */

struct gw_qcow2_snapshot {
    char *id, *name;
    uint32_t seconds, nanoseconds; /* when it was taken, since 1970 */
    uint64_t ran_ns;               /* how long the machine had run, ns */
    uint64_t state_bytes;          /* size of the machine's state; 0: the disk alone */
    uint64_t disk_bytes;
};
/* The list belongs to the node, and is valid until the next change. */
unsigned gw_qcow2_snapshots(struct gw_node *n, const struct gw_qcow2_snapshot **ret);
/* Calls f with the i-th snapshot, which does not change meanwhile; f must not call functions of this header. May run
 * beside any other call. -ENOENT, without a text. */
int gw_qcow2_snapshot_look(struct gw_node *n, unsigned i, void (*f)(void *opaque, const struct gw_qcow2_snapshot *s), void *opaque);
/* Finds it by ID first, then by name; -ENOENT. */
int gw_qcow2_snapshot_find(struct gw_node *n, const char *what, unsigned *ret, struct gw_error *err);
/* snapshot->id NULL: the next number. state_bytes: the size of the state that gw_qcow2_state_write has written, which
 * then belongs to the snapshot alone. -EEXIST: the ID exists. -EOVERFLOW: the refcounts of this image are too narrow. */
int gw_qcow2_snapshot_create(struct gw_node *n, const struct gw_qcow2_snapshot *snapshot, struct gw_error *err);
/* Resets the disk to the snapshot, including its length; its state can be read then. */
int gw_qcow2_snapshot_apply(struct gw_node *n, unsigned index, struct gw_error *err);
int gw_qcow2_snapshot_delete(struct gw_node *n, unsigned index, struct gw_error *err);

/* The machine's state: bytes after the end of the disk. Unwritten parts read as zeros. */
int gw_qcow2_state_write(struct gw_node *n, const void *from, uint64_t bytes, uint64_t offset, struct gw_error *err);
int gw_qcow2_state_read(struct gw_node *n, void *to, uint64_t bytes, uint64_t offset, struct gw_error *err);
/* Drops the state: it reads as never written. */
int gw_qcow2_state_drop(struct gw_node *n, struct gw_error *err);
/* Reads a snapshot's state, within its state_bytes; changes nothing. Any number of these calls at once. -EPROTO: the
 * state is not there. */
int gw_qcow2_snapshot_state_read(struct gw_node *n, unsigned index, void *to, uint64_t bytes, uint64_t offset,
                                 struct gw_error *err);

/* ---- bitmaps ----------------------------------------------------------------------------------------------------- */

enum gw_qcow2_bitmap_flags {
    GW_QCOW2_BITMAP_IN_USE = 1,   /* it was not stored at the end, so its contents are invalid */
    GW_QCOW2_BITMAP_AUTO = 2,     /* every write to the disk is to set bits in it */
    GW_QCOW2_BITMAP_EXTRA_OK = 4, /* usable even if its extra data is not understood */
};
struct gw_qcow2_bitmap {
    char *name;
    uint32_t flags;
    unsigned granularity_bits; /* one bit per 1 << granularity_bits bytes of the disk */
    uint64_t bit_count;
    uint64_t *bits; /* base/bitmap.h. NULL: the bitmap is in use or not understood, and is kept as it is */
    void *kept;     /* unknown data of the image */
    uint32_t kept_bytes;
};
/* All bitmaps of the image; none if a writer without support for bitmaps made them stale. On an image that is open for
 * writing they are marked as in use, until they are stored: call it before the first write, else those with AUTO become
 * invalid with it. */
int gw_qcow2_bitmaps_load(struct gw_node *n, struct gw_qcow2_bitmap **ret, unsigned *ret_count, struct gw_error *err);
/* These replace the bitmaps of the image. Needs version 3. */
int gw_qcow2_bitmaps_store(struct gw_node *n, const struct gw_qcow2_bitmap *bitmaps, unsigned count,
                           struct gw_error *err);
/* Whether its version supports bitmaps; it must not be inactive. */
bool gw_qcow2_can_bitmaps(struct gw_node *n);
/* Whether the image has any that are not stale. */
bool gw_qcow2_has_bitmaps(struct gw_node *n);
void gw_qcow2_bitmaps_free(struct gw_qcow2_bitmap *bitmaps, unsigned count);

#endif
