/* SPDX-License-Identifier: MIT
 *
 * rig: a small machine for hostile streams: RAM blocks of every kind between pages that fault, devices with every kind
 * of field, and two channels: one that feeds bytes to a session in pieces of any size, one that keeps what a session
 * writes.
 */
#ifndef RIG_H
#define RIG_H

#include <pthread.h>

#include "base/base.h"
#include "godwit/godwit.h"

struct zoo;

#define RIG_BLOCKS 5
#define RIG_LOCAL  4 /* the block that does not migrate: nothing may ever write it */

struct rig_old {
    uint32_t n;
    uint8_t bytes[16];
};

struct rig {
    struct gw_vm *vm;
    const struct gw_ram_desc *blocks;
    unsigned block_count;
    uint8_t *ram[RIG_BLOCKS];
    struct zoo *zoo[2];  /* "zoo" instance 0, "yard/zoo" instance 3 with the alias "zoo" 1 */
    struct rig_old old;  /* an old-style device */
    struct {
        int64_t ticks, clock;
    } timer;             /* a machine `none` has this device only */
    bool running;
    unsigned starts, stops, arrived, left, revoked;
    bool fail_start;
    char log[4096];      /* texts of LOG events, a line each; cut */
    pthread_mutex_t lock; /* protects the log */
};

extern const struct gw_ram_desc rig_blocks[RIG_BLOCKS]; /* without host */

/* pages: how many of the blocks' pages have contents; 0: a machine that waits to be filled. */
int rig_new(struct rig *g, uint64_t seed, unsigned pages, struct gw_error *err);
/* A machine `none` like the peers' machine: RAM block r with 64 KiB, `timer`. Waits to be filled. */
int rig_new_none(struct rig *g, struct gw_error *err);
/* Restores the state after creation, with the memory known to be fresh again. */
void rig_reset(struct rig *g, uint64_t seed, unsigned pages);
void rig_free(struct rig *g);
/* Whether the local block is as rig_reset left it. */
bool rig_local_untouched(const struct rig *g);
/* Whether the contents of all migrated memory and of the devices are equal; prints differences to stderr. */
bool rig_same(const struct rig *a, const struct rig *b);
/* For gw_recv_config and gw_send_config; opaque is the rig. */
void rig_event(void *opaque, const struct gw_event *e);

/* ---- bytes in ----------------------------------------------------------------------------------------------------- */

enum rig_split { RIG_WHOLE, RIG_PIECES, RIG_BYTES }; /* a read returns everything; 1 to 600 bytes; 1 byte */

struct rig_bytes {
    uint8_t *data;
    size_t bytes, cap;
};

/* A channel that returns these bytes (borrowed) and then the end. Bytes written to it are kept in *said; NULL:
 * discarded. */
int rig_feed(const uint8_t *data, size_t bytes, enum rig_split split, uint64_t seed, struct rig_bytes *said,
             struct gw_channel **ret, struct gw_error *err);

struct rig_outcome {
    int r;
    struct gw_error err;
    enum gw_owner owner;
    enum gw_status status;
    size_t bytes;    /* bytes of the stream that were read */
    uint64_t cpu_ns; /* CPU time of this thread for the load */
};

/* Loads a stream, on this thread, into the machine as it is. */
struct rig_outcome rig_load(struct rig *g, const uint8_t *data, size_t bytes, enum rig_split split, uint64_t seed);
/* CPU time of the calling thread. */
uint64_t rig_cpu_ns(void);
/* Whether a load of this many bytes took far too much CPU time: more than a large multiple of the time per byte of a
 * valid stream, in this build, on this machine, in this run. */
bool rig_took_too_long(uint64_t cpu_ns, size_t bytes);
/* The rule that the result of a load into a waiting machine violates; NULL: none. An error must say where, by name and
 * by byte, and why; the machine must not have been started, and nothing outside its memory written. */
const char *rig_judge(const struct rig *g, const struct rig_outcome *o);
/* The subset of these rules that holds for the message of any failed load. */
const char *rig_vague(const char *text);

/* ---- bytes out ---------------------------------------------------------------------------------------------------- */

/* A channel of one direction that stores written bytes in `to`, which must outlive it. */
int rig_keep(struct rig_bytes *to, struct gw_channel **ret, struct gw_error *err);
/* Takes `under` (both directions) and stores the bytes written to it. */
int rig_tap(struct gw_channel *under, struct rig_bytes *to, struct gw_channel **ret, struct gw_error *err);

/* The stream of a machine made by (seed, pages): one way, or (duplex) as sent to a destination that answers.
 * *ret_answers: the destination's answers; may be NULL. */
int rig_stream(uint64_t seed, unsigned pages, const char *peer, bool duplex, struct rig_bytes *ret,
               struct rig_bytes *ret_answers, struct gw_error *err);

#endif
