/* SPDX-License-Identifier: MIT
 *
 * block: a named piece of guest memory, and the list of them.
 *
 * Pages are target pages (ram->page_bytes) counted from the start of a block. Blocks are added and removed between
 * migrations.
 *
 * Threads: lists and sizes change only while no session runs (a resize during one is only recorded, see `resized`).
 * `dirty` belongs to the session's thread, which holds ram->lock while it takes pages out; others (free page hints)
 * hold the lock while they clear bits.
 */
#ifndef GW_RAM_BLOCK_H
#define GW_RAM_BLOCK_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/bitmap.h"
#include "godwit/vm.h"
#include "trace/trace.h"

/* A flag of this library beside enum gw_ram_flags: the block's pages are not in memory, host is NULL. Such a block can
 * only be sent, by a source that has its pages. */
#define GW_RAM_ELSEWHERE (1u << 31)

struct gw_ram_block {
    char name[256];
    unsigned index;
    uint8_t *host;
    uint64_t used_bytes, max_bytes;
    uint64_t page_bytes;  /* host page that backs it */
    uint64_t gpa;
    unsigned flags;       /* enum gw_ram_flags */
    int (*resized)(void *opaque, uint64_t used_bytes, struct gw_error *err);

    uint64_t pages;       /* used_bytes in target pages */
    bool resize;          /* a resize to resize_to was requested during a session. Under ram->lock */
    uint64_t resize_to;
    /* its last sync has begun: changes that are reported from now on would not be sent. Written under ram->lock */
    atomic_bool sealed;
    /* for the source; NULL while no session runs, and if the block's pages are not sent */
    uint64_t *dirty;      /* to be sent */
    uint64_t *unclean;    /* one bit for each chunk: the tracker must clean it before its pages are sent */
    /* pages written since a count began (gw_tracker_count_begin); NULL: none is under way. Under ram->lock */
    uint64_t *counted;
    uint64_t *discarded;  /* pages that are logically unplugged; NULL: never any */
    /* with ram->given: pages whose memory was given back to the host, since the destination has them. NULL: never
     * any */
    uint64_t *given;

    void *tracker;        /* per-block data of the tracker */
};

struct gw_ram {
    struct gw_ram_block **blocks;
    unsigned count;
    uint32_t page_bytes; /* target page */
    unsigned page_bits;
    pthread_mutex_t lock; /* see the rules above */
    pthread_mutex_t flush; /* held while a tracker makes vCPUs flush their rings; taken before `lock` */
    void *opaque;         /* the embedder's argument for callbacks */
    const struct gw_trace *trace; /* NULL: none */
    /* number of bits set in all dirty maps. Code that sets or clears bits must update it. Under lock */
    uint64_t dirty_pages;
    bool sending;           /* a session sends pages. Under lock */
    atomic_bool given;      /* memory was given back to the host: the machine cannot run here */
    /* pages that this session need not send, since they were discarded or hinted as free. Under lock */
    uint64_t skipped_pages;
    bool shared_stays;    /* under lock: this session does not send memory that both sides map (x-ignore-shared) */
    char resized[256];    /* name of a block that was resized during a session; else "". Under lock */
};

/* Code that examines pages reads whole cache lines. */
#define GW_RAM_ALIGNMENT 64u

int gw_ram_init(struct gw_ram *ram, uint32_t page_bytes, void *opaque, struct gw_error *err);
void gw_ram_close(struct gw_ram *ram);
/* Removes all blocks. */
void gw_ram_clear(struct gw_ram *ram);
int gw_ram_add(struct gw_ram *ram, const struct gw_ram_desc *desc, struct gw_error *err);
/* Frees the block; the blocks after it move up. Call while no session runs. */
void gw_ram_remove(struct gw_ram *ram, struct gw_ram_block *b);
/* NULL: no block has this name. */
struct gw_ram_block *gw_ram_find(const struct gw_ram *ram, const char *name);
/* The first listed block on persistent memory, with which postcopy is not possible; NULL: there is none. */
const struct gw_ram_block *gw_ram_persistent(const struct gw_ram *ram);
/* The block that holds this guest-physical address, or NULL. */
struct gw_ram_block *gw_ram_at(const struct gw_ram *ram, uint64_t gpa);
/* The first block that begins above this address, or NULL. */
const struct gw_ram_block *gw_ram_behind(const struct gw_ram *ram, uint64_t gpa);

/* Whether the session that begins leaves out memory that both sides map. */
void gw_ram_leave_shared(struct gw_ram *ram, bool stays);
/* sealed: the last sync of this session begins. false: changes are reported to the tracker again. */
void gw_ram_seal(struct gw_ram *ram, bool sealed);

/* Its host pages are larger than the usual ones and than target pages: the list has their size if postcopy may
 * follow. */
bool gw_ram_large_pages(const struct gw_ram *ram, const struct gw_ram_block *b);
/* The host page sizes of all listed blocks, in one word. */
uint64_t gw_ram_host_pages(const struct gw_ram *ram);

/* For plugs that keep data for each block: a table by block number with *count entries, grown with zeros so that it has
 * one for b. Returns it; NULL: no memory, and the old table stays. */
void *gw_ram_table(void *table, unsigned *count, size_t entry_bytes, const struct gw_ram_block *b);

/* For a layout that reads: the blocks that the source has listed. Zeros: none. */
struct gw_ram_listed {
    bool *has; /* by number */
    unsigned count;
};

int gw_ram_listed_add(struct gw_ram_listed *l, const struct gw_ram_block *b, struct gw_error *err);
/* The block of this name; NULL: there is none, or it was not listed. */
struct gw_ram_block *gw_ram_listed_find(const struct gw_ram_listed *l, const struct gw_ram *ram, const char *name);
void gw_ram_listed_clear(struct gw_ram_listed *l);

/* The block is in the list. */
static inline bool gw_ram_migrates(const struct gw_ram_block *b)
{
    return !(b->flags & GW_RAM_NO_MIGRATE) && b->used_bytes;
}

/* Its contents are in a file that other processes can map too. */
static inline bool gw_ram_shared_file(const struct gw_ram_block *b)
{
    return b->flags & GW_RAM_SHARED && b->flags & GW_RAM_NAMED_FILE;
}

/* The guest can write to it. */
static inline bool gw_ram_writable(const struct gw_ram_block *b)
{
    return gw_ram_migrates(b) && !(b->flags & GW_RAM_READONLY);
}

/* Its pages are sent, and the guest can write to them. */
static inline bool gw_ram_logged(const struct gw_ram_block *b)
{
    return b->dirty && gw_ram_writable(b);
}

#endif
