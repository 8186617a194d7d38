/* SPDX-License-Identifier: MIT
 *
 * disk/node/qcow2: a qcow2 image (versions 2 and 3) as a node over the node of its file, and what such an image has
 * besides the disk: internal snapshots, the state of a machine behind the end of the disk, stored dirty bitmaps.
 *
 * Not known: encrypted images, external data files (both are refused), writing where there are subclusters (extended L2
 * entries; opened read-only only), writing compressed clusters.
 *
 * Order on the disk: a cluster is counted before something points to it, its data is there before the disk's table
 * shows it, and it is free for others only when nothing points to it any more; a flush of the file is between them. An
 * image whose writer was killed has clusters that are counted and not used (leaks), and nothing worse. While snapshots
 * change, the dirty bit is set (version 3): whoever opens the image next counts its clusters again.
 *
 * Memory: bounded by the tables of the image, which are bounded when it is opened (GW_QCOW2_L1_MAX and others below),
 * and caches of a few MiB.
 *
 * Threads: the calls of a node as node.h says. All functions here: nothing else is under way. Runs of find are good
 * until the next zero, discard, resize, free, or call of a function here: what was freed may be another cluster's then.
 * A flush goes on to the file also when only others wrote, by a run.
 */
#ifndef GW_DISK_QCOW2_H
#define GW_DISK_QCOW2_H

#include "disk/node/node.h"

#define GW_QCOW2_CLUSTER_BITS_MIN 9u
#define GW_QCOW2_CLUSTER_BITS_MAX 21u
#define GW_QCOW2_L1_MAX           (32u << 20) /* bytes */
#define GW_QCOW2_REFTABLE_MAX     (8u << 20)  /* bytes */
#define GW_QCOW2_SNAPSHOTS_MAX    65536u
#define GW_QCOW2_TABLE_MAX        (16u << 20) /* bytes of the snapshot table, of the directory of bitmaps */
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
    GW_QCOW2_INACTIVE = 4, /* as after gw_node_inactivate; its file is too */
    GW_QCOW2_ALONE = 2,    /* without the backing that it names: to check it, or to see its snapshots */
};
/* The node owns file and backing from here on, also on failure (then they are freed). backing: what the image names,
 * NULL where it names none. Opened for writing, an image with the dirty bit is counted again first; one with the
 * corrupt bit is refused (-EROFS). -EPROTO: damaged. -ENOTSUP: has something that is not known here. */
int gw_qcow2_open(struct gw_node *take_file, struct gw_node *take_backing, unsigned flags, struct gw_node **ret,
                  struct gw_error *err);

/* By path, with all that is below it (qcow2_chain.c): for the table of formats. The format of each backing must be
 * recorded in the image over it. -ELOOP: the chain comes back to a file, or has more than GW_QCOW2_CHAIN_MAX. */
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
/* Makes an empty image of a file that is a node; what it held is gone. */
int gw_qcow2_create(struct gw_node *file, const struct gw_qcow2_config *config, struct gw_error *err);

/* What is wrong with an image. */
struct gw_qcow2_report {
    uint64_t leaks;          /* clusters that are counted too often: room is lost, nothing else */
    uint64_t missing_copied; /* entries that say shared, and are not: costs a copy */
    uint64_t corruptions;    /* counted too seldom, shared and written in place, tables over each other, bad entries */
    uint64_t clusters;       /* that are in use */
    char first[256];         /* what the first of the corruptions is, or of the rest */
};
/* The node is one that gw_qcow2_open gave. */
int gw_qcow2_check(struct gw_node *n, struct gw_qcow2_report *ret, struct gw_error *err);
/* Counts all clusters again and writes the counts; dirty bit and leaks are gone afterwards. -EPROTO: it has damage that
 * this does not repair. */
int gw_qcow2_repair(struct gw_node *n, struct gw_error *err);

/* ---- snapshots --------------------------------------------------------------------------------------------------- */

struct gw_qcow2_snapshot {
    char *id, *name;
    uint32_t seconds, nanoseconds; /* when it was taken, since 1970 */
    uint64_t ran_ns;               /* how long the machine had run */
    uint64_t state_bytes;          /* of the machine's state; 0: the disk alone */
    uint64_t disk_bytes;
};
/* The list belongs to the node, and is good until the next change. */
unsigned gw_qcow2_snapshots(struct gw_node *n, const struct gw_qcow2_snapshot **ret);
/* Calls f with the i-th of them, which does not change meanwhile; f calls nothing here. Beside any other call. -ENOENT, without a text. */
int gw_qcow2_snapshot_look(struct gw_node *n, unsigned i, void (*f)(void *opaque, const struct gw_qcow2_snapshot *s), void *opaque);
/* By ID first, then by name; -ENOENT. */
int gw_qcow2_snapshot_find(struct gw_node *n, const char *what, unsigned *ret, struct gw_error *err);
/* snapshot->id NULL: the next number. state_bytes: what gw_qcow2_state_write has written, which then belongs to the
 * snapshot alone. -EEXIST: the ID is there. -EOVERFLOW: the refcounts of this image are too narrow. */
int gw_qcow2_snapshot_create(struct gw_node *n, const struct gw_qcow2_snapshot *snapshot, struct gw_error *err);
/* The disk becomes what it was, its length too; the state can be read then. */
int gw_qcow2_snapshot_apply(struct gw_node *n, unsigned index, struct gw_error *err);
int gw_qcow2_snapshot_delete(struct gw_node *n, unsigned index, struct gw_error *err);

/* The machine's state: bytes behind the end of the disk. What was not written reads as zeros. */
int gw_qcow2_state_write(struct gw_node *n, const void *from, uint64_t bytes, uint64_t offset, struct gw_error *err);
int gw_qcow2_state_read(struct gw_node *n, void *to, uint64_t bytes, uint64_t offset, struct gw_error *err);
/* Nothing was ever written there. */
int gw_qcow2_state_drop(struct gw_node *n, struct gw_error *err);
/* Of a snapshot, within its state_bytes; nothing changes. Any number of these at once. -EPROTO: it is not there. */
int gw_qcow2_snapshot_state_read(struct gw_node *n, unsigned index, void *to, uint64_t bytes, uint64_t offset,
                                 struct gw_error *err);

/* ---- bitmaps ----------------------------------------------------------------------------------------------------- */

enum gw_qcow2_bitmap_flags {
    GW_QCOW2_BITMAP_IN_USE = 1,   /* was not stored at the end: says nothing */
    GW_QCOW2_BITMAP_AUTO = 2,     /* every write to the disk is to set bits in it */
    GW_QCOW2_BITMAP_EXTRA_OK = 4, /* may be used though its extra data is not known */
};
struct gw_qcow2_bitmap {
    char *name;
    uint32_t flags;
    unsigned granularity_bits; /* a bit is for 1 << granularity_bits bytes of the disk */
    uint64_t bit_count;
    uint64_t *bits; /* base/bitmap.h. NULL: the bitmap is in use or not understood, and is kept as it is */
    void *kept;     /* of the image: what is not understood */
    uint32_t kept_bytes;
};
/* All bitmaps of the image; none where its writer did not know about bitmaps and they are stale. On an image that is
 * open for writing they are marked as in use, until they are stored: call it before the first write, else those with
 * AUTO are lost then. */
int gw_qcow2_bitmaps_load(struct gw_node *n, struct gw_qcow2_bitmap **ret, unsigned *ret_count, struct gw_error *err);
/* These replace the bitmaps of the image. Needs version 3. */
int gw_qcow2_bitmaps_store(struct gw_node *n, const struct gw_qcow2_bitmap *bitmaps, unsigned count,
                           struct gw_error *err);
/* Whether its version has bitmaps at all; it is not inactive. */
bool gw_qcow2_can_bitmaps(struct gw_node *n);
/* Whether the image has any that are not stale. */
bool gw_qcow2_has_bitmaps(struct gw_node *n);
void gw_qcow2_bitmaps_free(struct gw_qcow2_bitmap *bitmaps, unsigned count);

#endif
