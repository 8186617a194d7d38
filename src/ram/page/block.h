/* SPDX-License-Identifier: MIT
 *
 * block: a named piece of guest memory, and the list of them.
 *
 * Pages are target pages (ram->page_bytes) counted from the start of a block. Blocks come and go between migrations.
 *
 * Threads: lists and sizes change only while no session runs (a resize during one is only noted, see `resized`).
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

/* A flag of ours beside enum gw_ram_flags: the block's pages are not in memory, host is NULL. It is only sent, by a source
 * that has its pages. */
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
    bool resize;          /* it was asked for under a session, to resize_to. Under ram->lock */
    uint64_t resize_to;
    atomic_bool sealed;   /* its last sync has begun: what is told from now on would not be sent. Written under ram->lock */
    /* source; NULL while no session runs, and where its pages are not sent */
    uint64_t *dirty;      /* to be sent */
    uint64_t *unclean;    /* one bit a chunk: the tracker must clean it before its pages are sent */
    uint64_t *counted;    /* written since a count began (gw_tracker_count_begin); NULL: none is under way. Under ram->lock */
    uint64_t *discarded;  /* logically unplugged; NULL: none ever */
    uint64_t *given;      /* where ram->given: pages that were given back to the host, and are with the destination. NULL: none ever */

    void *tracker;        /* what the tracker keeps for this block */
};

struct gw_ram {
    struct gw_ram_block **blocks;
    unsigned count;
    uint32_t page_bytes; /* target page */
    unsigned page_bits;
    pthread_mutex_t lock; /* see above */
    pthread_mutex_t flush; /* held while a tracker makes vCPUs flush; taken before `lock` */
    void *opaque;         /* the embedder's, for callbacks */
    const struct gw_trace *trace; /* NULL: none */
    uint64_t dirty_pages; /* bits set in all dirty maps. Code that sets or clears some must update it. Under lock */
    bool sending;           /* a session sends pages. Under lock */
    atomic_bool given;      /* some of it was given back to the host: the machine cannot run here */
    uint64_t skipped_pages; /* that this session need not send, since they were discarded or hinted as free. Under lock */
    bool shared_stays;    /* under lock: this session leaves memory that both sides map where it is (x-ignore-shared) */
    char resized[256];    /* name of a block that was resized under a session; "" otherwise. Under lock */
};

/* What looks at pages reads them in lines of the cache. */
#define GW_RAM_ALIGNMENT 64u

int gw_ram_init(struct gw_ram *ram, uint32_t page_bytes, void *opaque, struct gw_error *err);
void gw_ram_close(struct gw_ram *ram);
/* Takes all blocks away. */
void gw_ram_clear(struct gw_ram *ram);
int gw_ram_add(struct gw_ram *ram, const struct gw_ram_desc *desc, struct gw_error *err);
/* Frees the block; the blocks behind it move up. While no session runs. */
void gw_ram_remove(struct gw_ram *ram, struct gw_ram_block *b);
/* NULL when there is none of this name. */
struct gw_ram_block *gw_ram_find(const struct gw_ram *ram, const char *name);
/* The first one that is listed and on persistent memory, which rules postcopy out; NULL: there is none. */
const struct gw_ram_block *gw_ram_persistent(const struct gw_ram *ram);
/* The block that holds this guest-physical address, or NULL. */
struct gw_ram_block *gw_ram_at(const struct gw_ram *ram, uint64_t gpa);
/* The first one that begins behind it, or NULL. */
const struct gw_ram_block *gw_ram_behind(const struct gw_ram *ram, uint64_t gpa);

/* Whether the session that begins sends memory that both sides map. */
void gw_ram_leave_shared(struct gw_ram *ram, bool stays);
/* sealed: the last sync of this session begins. Else its changes count again. */
void gw_ram_seal(struct gw_ram *ram, bool sealed);

/* Its host pages are larger than both the usual ones and the target's: a list says their size where postcopy may follow. */
bool gw_ram_large_pages(const struct gw_ram *ram, const struct gw_ram_block *b);
/* The sizes of the host pages of all blocks that are listed, in one word. */
uint64_t gw_ram_host_pages(const struct gw_ram *ram);

/* For plugs that keep something for each block: a table by block number of *count entries, grown with zeros so that it has
 * one for b. Returns it; NULL: there is no memory, and the old one stays. */
void *gw_ram_table(void *table, unsigned *count, size_t entry_bytes, const struct gw_ram_block *b);

/* Blocks that the source has listed, of a layout that reads. Zeros: none. */
struct gw_ram_listed {
    bool *has; /* by number */
    unsigned count;
};

int gw_ram_listed_add(struct gw_ram_listed *l, const struct gw_ram_block *b, struct gw_error *err);
/* The block of this name; NULL: there is none, or it was not listed. */
struct gw_ram_block *gw_ram_listed_find(const struct gw_ram_listed *l, const struct gw_ram *ram, const char *name);
void gw_ram_listed_clear(struct gw_ram_listed *l);

/* It is listed. */
static inline bool gw_ram_migrates(const struct gw_ram_block *b)
{
    return !(b->flags & GW_RAM_NO_MIGRATE) && b->used_bytes;
}

/* What is written there is in a file that other processes can have too. */
static inline bool gw_ram_shared_file(const struct gw_ram_block *b)
{
    return b->flags & GW_RAM_SHARED && b->flags & GW_RAM_NAMED_FILE;
}

/* The guest may write to it. */
static inline bool gw_ram_writable(const struct gw_ram_block *b)
{
    return gw_ram_migrates(b) && !(b->flags & GW_RAM_READONLY);
}

/* Its pages are being sent, and the guest may write to them. */
static inline bool gw_ram_logged(const struct gw_ram_block *b)
{
    return b->dirty && gw_ram_writable(b);
}

#endif
