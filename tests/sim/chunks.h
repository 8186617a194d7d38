/* SPDX-License-Identifier: MIT
 *
 * chunks: a live section of the tests: a table of numbered chunks, which the guest changes while it is sent, like a
 * disk.
 *
 * It shares nothing with RAM: it has its own dirty bits, estimate and records. First the source sends each chunk once
 * (bulk), then those that the guest has changed since. The contents of a chunk are a function of the seed and of the
 * number of changes. Both are sent in the END, so a table that arrives can be checked.
 *
 * Body of a section: records until DONE, numbers big-endian.
 *
 *     START      u32 chunks, u32 bytes of each
 *     PART, END  u8 CHUNK, u32 index, contents
 *                u8 PROGRESS, u8 percent of the bulk phase
 *                u8 STATE, u64 seed, u64 changes                 END only, once
 *                u8 DONE
 *
 * Threads: the guest's thread changes the table, the session's reads or fills it.
 */
#ifndef CHUNKS_H
#define CHUNKS_H

#include "live/live.h"
#include "sim.h"

#define CHUNKS      128u
#define CHUNK_BYTES 8192u
/* Before RAM and behind it. */
#define CHUNKS_FIRST 10
#define CHUNKS_LAST  30

/* The table of one machine; it outlives sessions. */
struct chunks {
    struct gw_live_ops ops;
    struct sim *sim;
    uint32_t section_id;
    pthread_mutex_t lock; /* protects the next four members */
    uint8_t *data;
    bool changed[CHUNKS]; /* by the guest, since the source last looked */
    uint64_t seed, changes;
    atomic_uint per_ms; /* changes by the guest; 0: it does not change the table */
    atomic_uint refuse; /* destination: number of the received chunk that cannot be stored; 0: all can */
    atomic_uint unread; /* source: number of the sent chunk that cannot be read; 0: all can */
    /* results of the last session */
    atomic_uint bulk, again; /* source: chunks that were sent in the bulk phase, and after it */
    atomic_uint stored, percent; /* destination */
};

/* Gives the machine a table, with a section of this order. seed 0: it waits to be filled. The machine frees it. */
struct chunks *chunks_new(struct sim *s, uint64_t seed, int order);
/* Waits until the guest has made this many more changes; returns at once if the machine does not run, or the guest
 * makes none. */
void chunks_await(struct chunks *c, uint64_t changes);

#endif
