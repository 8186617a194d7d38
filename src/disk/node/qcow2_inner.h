/* SPDX-License-Identifier: MIT
 *
 * qcow2_inner: what the files of the qcow2 node share.
 *
 * Locks: `lock` protects everything except data. Data is read and written without it, between gw_qcow2_enter and
 * gw_qcow2_leave; clusters freed meanwhile are not reused before the leave. `growth` is held around each access to the
 * file, because the file may grow only while no access is in progress.
 */
#ifndef GW_DISK_QCOW2_INNER_H
#define GW_DISK_QCOW2_INNER_H

#include <pthread.h>

#include "base/base.h"
#include "base/endian.h"
#include "disk/node/qcow2.h"

#define GW_QCOW2_OFFSET 0x00fffffffffffe00ull /* bits 9-55 of an entry */
#define GW_QCOW2_COPIED (1ull << 63)
#define GW_QCOW2_PACKED (1ull << 62)
#define GW_QCOW2_ZERO   1ull

enum gw_qcow2_feature {
    GW_QCOW2_DIRTY = 1,
    GW_QCOW2_CORRUPT = 2,
    GW_QCOW2_DATA_FILE = 4,
    GW_QCOW2_COMPRESSION = 8,
    GW_QCOW2_EXTENDED_L2 = 16,
    GW_QCOW2_LAZY = 1,       /* compatible */
    GW_QCOW2_BITMAPS_OK = 1, /* autoclear */
};

enum gw_qcow2_extension_type {
    GW_QCOW2_EXT_BACKING_FORMAT = 0xe2792aca,
    GW_QCOW2_EXT_FEATURES = 0x6803f857,
    GW_QCOW2_EXT_BITMAPS = 0x23852875,
};

struct gw_qcow2_extension {
    uint32_t type, bytes;
    uint8_t *data;
};

/* The header as on the disk, except for changes in progress. */
struct gw_qcow2_header {
    uint32_t version, cluster_bits, crypt, l1_entries, reftable_clusters, snapshots;
    uint64_t bytes, l1_offset, reftable_offset, snapshots_offset;
    uint64_t incompatible, compatible, autoclear;
    uint32_t refcount_order, header_bytes;
    uint8_t compression;
    char backing[GW_QCOW2_BACKING_MAX + 1];
    char backing_format[64];
    struct gw_qcow2_extension *extensions;
    unsigned extension_count;
};

/* ---- caches of metadata: slices of tables, by their place in the file ---------------------------------------------
 */

struct gw_qcow2_slice {
    uint64_t offset; /* in the file; 0: the slice is free */
    uint32_t dirty_from, dirty_to;
    uint64_t used; /* time of the last use */
    uint8_t *data;
};

struct gw_qcow2_cache {
    struct gw_qcow2_slice *slices;
    unsigned sets; /* of GW_QCOW2_WAYS slices */
    uint32_t slice_bytes;
    uint64_t clock;
    unsigned dirty; /* slices */
    uint8_t *room;
};
#define GW_QCOW2_WAYS 4u

/* A set of clusters that hold metadata. */
struct gw_qcow2_set {
    uint64_t *keys; /* cluster + 1; 0: free */
    size_t room, count;
};

struct gw_qcow2_freed {
    uint64_t first, count; /* clusters */
    bool punch;            /* their space may be returned to the file system */
};
#define GW_QCOW2_FREED_MAX 1024u

/* Guest clusters that are being moved: other writers of them wait. */
struct gw_qcow2_claim {
    uint64_t first, count;
    struct gw_qcow2_claim *next;
};

struct gw_qcow2_shot {
    uint64_t l1_offset;
    uint32_t l1_entries, extra_bytes;
    uint8_t *extra; /* bytes of the entry behind its fixed part */
};

struct gw_qcow2 {
    struct gw_node node; /* the first member */
    struct gw_node *file;
    pthread_rwlock_t growth;
    _Atomic bool unflushed; /* the file was written to since its last flush */
    _Atomic bool lent; /* find has returned runs of the file, so it may have been written to without the node */

    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct gw_qcow2_header h;
    uint32_t cluster_bytes, entry_bytes, l2_entries;
    uint64_t block_refs; /* counts in a refcount block */
    uint64_t ref_max;
    bool broken;       /* the image is corrupt: nothing is written any more */
    bool told_bitmaps; /* bitmaps that were not loaded have been marked */

    uint64_t *l1;            /* h.l1_entries entries, in the host's byte order */
    uint32_t l1_from, l1_to; /* range that is to be written */
    uint64_t *reftable;
    uint64_t reftable_entries;
    uint64_t reftable_from, reftable_to;
    uint64_t reftable_next; /* its new place while it moves; else 0 */

    struct gw_qcow2_cache l2, refs;
    struct gw_qcow2_set owned;
    uint64_t hint;   /* all clusters below it are in use */
    uint64_t high;   /* all clusters from here on are unused */
    uint64_t virgin; /* bytes: the file was never written from here on and reads as zeros */

    struct gw_qcow2_freed freed[GW_QCOW2_FREED_MAX];
    unsigned freed_count;
    unsigned epoch, inside[2];
    bool reaping;
    struct gw_qcow2_claim *claims;

    struct gw_qcow2_snapshot *snapshots; /* h.snapshots */
    struct gw_qcow2_shot *shots;

    pthread_mutex_t packed_lock; /* protects the one unpacked cluster */
    uint64_t packed_entry;       /* 0: none */
    uint8_t *packed, *packed_from;
};

static inline struct gw_qcow2 *gw_qcow2_of(struct gw_node *n)
{
    return (struct gw_qcow2 *)n;
}

static inline uint64_t gw_qcow2_clusters(const struct gw_qcow2 *q, uint64_t bytes)
{
    return (bytes >> q->h.cluster_bits) + ((bytes & (q->cluster_bytes - 1)) != 0);
}

/* Clusters of the file, including a partial one at the end. */
static inline uint64_t gw_qcow2_file_clusters(const struct gw_qcow2 *q)
{
    return gw_qcow2_clusters(q, q->file->bytes);
}

/* ---- qcow2_header.c ---------------------------------------------------------------------------------------------- */

int gw_qcow2_header_read(struct gw_node *file, struct gw_qcow2_header *ret, struct gw_error *err);
void gw_qcow2_header_free(struct gw_qcow2_header *h);
/* Writes the fixed part in memory. bytes: room for 112; returns its length. */
size_t gw_qcow2_header_put(const struct gw_qcow2_header *h, uint8_t *bytes);
int gw_qcow2_header_write(struct gw_qcow2 *q, struct gw_error *err);
/* Writes extensions and the backing's name, after the fixed part. -ENOSPC: more than a cluster. */
int gw_qcow2_extensions_write(struct gw_qcow2 *q, struct gw_error *err);
size_t gw_qcow2_extensions_put(const struct gw_qcow2_header *h, uint8_t *bytes, size_t room, uint64_t *ret_backing);

/* ---- qcow2_file.c ------------------------------------------------------------------------------------------------ */

/* Reads; zeros after the end of the file. */
int gw_qcow2_get(struct gw_qcow2 *q, void *to, uint64_t bytes, uint64_t offset, struct gw_error *err);
/* Writes within the file. */
int gw_qcow2_put(struct gw_qcow2 *q, const void *from, uint64_t bytes, uint64_t offset, struct gw_error *err);
int gw_qcow2_put_zeros(struct gw_qcow2 *q, uint64_t bytes, uint64_t offset, struct gw_error *err);
/* Makes the file at least this long. */
int gw_qcow2_reach(struct gw_qcow2 *q, uint64_t bytes, struct gw_error *err);
/* Writes before this call reach the disk before writes after it. */
int gw_qcow2_barrier(struct gw_qcow2 *q, struct gw_error *err);
int gw_qcow2_bad(const struct gw_qcow2 *q, struct gw_error *err, const char *fmt, ...) GW_PRINTF(3, 4);
/* Like bad; also marks the image as corrupt and stops all writes. Under the lock. */
int gw_qcow2_corrupt(struct gw_qcow2 *q, struct gw_error *err, const char *fmt, ...) GW_PRINTF(3, 4);

/* ---- qcow2_cache.c ----------------------------------------------------------------------------------------------- */

int gw_qcow2_cache_init(struct gw_qcow2_cache *c, uint32_t cluster_bytes, size_t bytes, struct gw_error *err);
void gw_qcow2_cache_done(struct gw_qcow2_cache *c);
/* The slice that contains this byte of the file; *ret_at points to the byte. Valid until the next call for this
 * cache. */
int gw_qcow2_cache_at(struct gw_qcow2 *q, struct gw_qcow2_cache *c, uint64_t offset, struct gw_qcow2_slice **ret,
                      uint8_t **ret_at, struct gw_error *err);
void gw_qcow2_cache_dirty(struct gw_qcow2_cache *c, struct gw_qcow2_slice *s, const uint8_t *at, uint32_t bytes);
int gw_qcow2_cache_write(struct gw_qcow2 *q, struct gw_qcow2_cache *c, struct gw_error *err);
/* The cluster at offset has a new owner: drops its slices. */
void gw_qcow2_cache_forget(struct gw_qcow2 *q, struct gw_qcow2_cache *c, uint64_t offset);

/* ---- qcow2_set.c ------------------------------------------------------------------------------------------------- */

/* 1: the set has it already. */
int gw_qcow2_set_add(struct gw_qcow2_set *s, uint64_t cluster, struct gw_error *err);
bool gw_qcow2_set_has(const struct gw_qcow2_set *s, uint64_t cluster);
void gw_qcow2_set_remove(struct gw_qcow2_set *s, uint64_t cluster);

/* ---- qcow2_refcount.c: under the lock ---------------------------------------------------------------------------- */

uint64_t gw_qcow2_bits_get(const uint8_t *p, unsigned order, uint64_t i);
void gw_qcow2_bits_set(uint8_t *p, unsigned order, uint64_t i, uint64_t value);
int gw_qcow2_ref_get(struct gw_qcow2 *q, uint64_t cluster, uint64_t *ret, struct gw_error *err);
/* -EOVERFLOW: the refcount is too narrow. A count below 0 means a corrupt image. Clusters whose count falls to 0 are
 * free at once. */
int gw_qcow2_ref_add(struct gw_qcow2 *q, uint64_t first, uint64_t count, int by, struct gw_error *err);
/* Allocates 1 to `want` contiguous clusters. The file is long enough for them. */
int gw_qcow2_alloc(struct gw_qcow2 *q, uint64_t want, uint64_t *ret_first, uint64_t *ret_got, struct gw_error *err);
/* Allocates exactly this many, for a table; adds them to q->owned. */
int gw_qcow2_alloc_table(struct gw_qcow2 *q, uint64_t clusters, uint64_t *ret_offset, struct gw_error *err);

/* ---- qcow2_settle.c: under the lock ------------------------------------------------------------------------------ */

/* Decrements each cluster's refcount as soon as no pointer on the disk leads to it. The caller has reserved room with
 * _make_room. */
void gw_qcow2_free_later(struct gw_qcow2 *q, uint64_t first, uint64_t count, bool punch);
/* Reserves room for this many calls of free_later. Releases the lock for a while. The caller must not have entered. */
int gw_qcow2_make_room(struct gw_qcow2 *q, unsigned calls, struct gw_error *err);
/* Writes all metadata, in order. */
int gw_qcow2_write_back(struct gw_qcow2 *q, struct gw_error *err);
/* The same, and later writes reach the disk after it. */
int gw_qcow2_write_through(struct gw_qcow2 *q, struct gw_error *err);
/* The same, and freed clusters become free. Releases the lock as make_room does. */
int gw_qcow2_settle(struct gw_qcow2 *q, struct gw_error *err);
unsigned gw_qcow2_enter(struct gw_qcow2 *q);
void gw_qcow2_leave(struct gw_qcow2 *q, unsigned epoch); /* not under the lock */

/* ---- qcow2_map.c: under the lock --------------------------------------------------------------------------------- */

enum gw_qcow2_kind { GW_QCOW2_K_ABSENT, GW_QCOW2_K_ZERO, GW_QCOW2_K_DATA, GW_QCOW2_K_PACKED };
struct gw_qcow2_run {
    enum gw_qcow2_kind kind;
    uint64_t bytes;
    uint64_t host;  /* DATA: file offset. ZERO: offset of reserved room, or 0 */
    bool copied;    /* the cluster is used once */
    uint64_t entry; /* the first table entry */
};
int gw_qcow2_entry(struct gw_qcow2 *q, uint64_t cluster, uint64_t *ret, uint64_t *ret_parts, struct gw_error *err);
/* The mapping at offset, as far as it is of one kind. */
int gw_qcow2_lookup(struct gw_qcow2 *q, uint64_t offset, uint64_t bytes, struct gw_qcow2_run *ret,
                    struct gw_error *err);
/* The same through another L1 table, whose entry for this offset is l1; ends with the range of that entry. */
int gw_qcow2_lookup_in(struct gw_qcow2 *q, uint64_t l1, uint64_t offset, uint64_t bytes, struct gw_qcow2_run *ret,
                       struct gw_error *err);
/* Makes the L2 table of the cluster the disk's own, so that its entries can be set. */
int gw_qcow2_own_table(struct gw_qcow2 *q, uint64_t cluster, struct gw_error *err);
int gw_qcow2_set_entry(struct gw_qcow2 *q, uint64_t cluster, uint64_t entry, struct gw_error *err);
/* The clusters that an entry counts: one, or those of a compressed cluster. *ret_count 0: none. */
void gw_qcow2_entry_span(const struct gw_qcow2 *q, uint64_t entry, uint64_t *ret_first, uint64_t *ret_count);
int gw_qcow2_entry_check(const struct gw_qcow2 *q, uint64_t entry, uint64_t cluster, struct gw_error *err);
int gw_qcow2_l1_check(const struct gw_qcow2 *q, uint64_t entry, uint64_t index, struct gw_error *err);
void gw_qcow2_l1_dirty(struct gw_qcow2 *q, uint64_t index);

/* ---- the data path: not under the lock --------------------------------------------------------------------------- */

/* These may access the range after the end of the disk, where the machine's state is, up to the size of the L1
 * table. */
int gw_qcow2_read_at(struct gw_qcow2 *q, void *to, uint64_t bytes, uint64_t offset, struct gw_error *err);
/* Reads a run looked up at offset; the caller has entered. */
int gw_qcow2_read_run(struct gw_qcow2 *q, void *to, const struct gw_qcow2_run *run, uint64_t offset,
                      struct gw_error *err);
int gw_qcow2_write_at(struct gw_qcow2 *q, const void *from, uint64_t bytes, uint64_t offset, struct gw_error *err);
int gw_qcow2_zero_at(struct gw_qcow2 *q, uint64_t bytes, uint64_t offset, unsigned flags, struct gw_error *err);
/* Drops whole clusters: they are absent afterwards, regardless of the backing. */
int gw_qcow2_forget_at(struct gw_qcow2 *q, uint64_t bytes, uint64_t offset, struct gw_error *err);
int gw_qcow2_find(struct gw_node *n, uint64_t bytes, uint64_t offset, struct gw_node_run *ret, struct gw_error *err);
int gw_qcow2_discard(struct gw_node *n, uint64_t bytes, uint64_t offset, struct gw_error *err);
int gw_qcow2_resize(struct gw_node *n, uint64_t bytes, struct gw_error *err);
/* Under the lock: waits until no thread moves these clusters. */
bool gw_qcow2_claimed(const struct gw_qcow2 *q, uint64_t first, uint64_t count);
void gw_qcow2_await(struct gw_qcow2 *q, uint64_t first, uint64_t count);
/* Under the lock, before the disk is changed: refuses if the image is broken. */
int gw_qcow2_before_write(struct gw_qcow2 *q, struct gw_error *err);
/* Under the lock: waits until no thread moves the cluster; then it may be changed, and there is room to free
 * clusters. */
int gw_qcow2_ready(struct gw_qcow2 *q, uint64_t cluster, struct gw_error *err);
/* -EPROTO if the cluster at offset holds metadata: the image is corrupt then. */
int gw_qcow2_before_data(struct gw_qcow2 *q, uint64_t host, struct gw_error *err);
int gw_qcow2_unpack(struct gw_qcow2 *q, uint64_t entry, void *to, uint64_t bytes, uint64_t in, struct gw_error *err);
int gw_qcow2_inflate(bool zstd, const void *from, size_t from_bytes, void *to, size_t to_bytes);
void gw_qcow2_unpack_forget(struct gw_qcow2 *q);

/* ---- the rest ---------------------------------------------------------------------------------------------------- */

/* The offset of the state, for a disk of this length (at most 1 << 62). */
uint64_t gw_qcow2_state_at(const struct gw_qcow2 *q, uint64_t disk_bytes);
/* Makes the L1 table longer. Under the lock. */
int gw_qcow2_l1_grow(struct gw_qcow2 *q, uint64_t entries, struct gw_error *err);
/* Makes the given L1 table the active one, and sets the length of the disk. */
int gw_qcow2_l1_switch(struct gw_qcow2 *q, uint64_t *take_l1, uint32_t entries, uint64_t bytes, struct gw_error *err);
int gw_qcow2_snapshots_load(struct gw_qcow2 *q, struct gw_error *err);
void gw_qcow2_snapshots_free(struct gw_qcow2 *q);
int gw_qcow2_snapshots_store(struct gw_qcow2 *q, const struct gw_qcow2_snapshot *list,
                             const struct gw_qcow2_shot *shots, unsigned count, struct gw_error *err);
uint64_t gw_qcow2_snapshots_bytes(const struct gw_qcow2 *q);
/* A table of 8-byte entries, in the host's order; the caller frees it. */
int gw_qcow2_table_read(struct gw_qcow2 *q, uint64_t offset, uint64_t entries, const char *what, uint64_t **ret,
                        struct gw_error *err);
int gw_qcow2_table_write(struct gw_qcow2 *q, const uint64_t *table, uint64_t entries, uint64_t offset,
                         struct gw_error *err);
/* Called for each run of clusters that an L1 table counts. count 0: an invalid entry, with the reason in err; returning
 * 0 continues. All metadata was written back before. */
typedef int gw_qcow2_visit(struct gw_qcow2 *q, void *opaque, uint64_t first, uint64_t count, struct gw_error *err);
int gw_qcow2_walk(struct gw_qcow2 *q, const uint64_t *l1, uint64_t entries, gw_qcow2_visit *visit, void *opaque,
                  struct gw_error *err);
/* Sets the COPIED flags of all entries of these tables from the refcounts. only_clear: sets none. */
int gw_qcow2_fix_copied(struct gw_qcow2 *q, uint64_t *l1, uint64_t entries, bool only_clear, struct gw_error *err);
int gw_qcow2_repair_locked(struct gw_qcow2 *q, struct gw_error *err);
/* Sets the dirty bit, if the version has one; it is on the disk on return. */
int gw_qcow2_set_dirty(struct gw_qcow2 *q, bool on, struct gw_error *err);
/* Visits the clusters that the bitmaps count. */
int gw_qcow2_bitmaps_visit(struct gw_qcow2 *q, gw_qcow2_visit *visit, void *opaque, struct gw_error *err);
/* Adds their tables to the metadata that data must not overwrite. */
int gw_qcow2_bitmaps_own(struct gw_qcow2 *q, struct gw_error *err);
/* Before the first write, if bitmaps were not loaded: marks those with AUTO as in use. */
int gw_qcow2_bitmaps_untracked(struct gw_qcow2 *q, struct gw_error *err);
/* Marks clusters of a table as metadata. -EPROTO: another table has them. */
int gw_qcow2_own(struct gw_qcow2 *q, uint64_t offset, uint64_t bytes, const char *what, struct gw_error *err);

#endif
