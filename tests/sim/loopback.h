/* SPDX-License-Identifier: MIT
 *
 * loopback: a page transport between two sims of one process. Pages that the source's end takes are in a table that
 * both ends access; records in the stream carry the numbers of its entries, and the destination's end puts those pages
 * into memory when it reads them. One page of three is declined, one is taken at once, one is completed later by a
 * thread of its own.
 */
#ifndef LOOPBACK_H
#define LOOPBACK_H

#include <pthread.h>
#include <stdatomic.h>

#include "sim.h"

struct loopback {
    /* The faults; 0: none. Calls of each kind are counted from 1. Set before the sessions start. */
    unsigned fail_take, fail_begin, fail_end, fail_block, fail_record, fail_late;
    unsigned lie;       /* number of the record that names a page which the block does not have */
    bool no_abort;      /* the op is missing: pending pages are completed nevertheless */
    atomic_bool stall;  /* nothing is completed while this is set */
    unsigned stall_after; /* stall from this many taken pages on; 0: no such limit */

    /* Results. Read when the sessions have ended, or atomically. */
    atomic_uint takes, declined, done, later, completed, begins[3], ends[3], blocks, records, placed, aborts, over[2], over_ok[2];
    atomic_bool in_finish; /* FINISH has begun */
    atomic_bool disorder;  /* the order of calls violated page_transport.h */

    /* private */
    struct sim *from, *to;
    bool open;
    struct entry *entry;
    unsigned entries, room, told, next; /* told: number announced; next: the one that the thread handles next */
    void *host[SIM_BLOCKS];
    char name[SIM_BLOCKS][16];
    uint64_t bytes[SIM_BLOCKS];
    pthread_mutex_t lock;
    pthread_cond_t wake;
    pthread_t thread;
    bool quit, busy;
};

/* On the test's list (owned.h), made before the sims. */
struct loopback *loopback_new(void);
/* Called before the sessions start. The destination may be left without its end. */
void loopback_join(struct loopback *l, struct sim *from, struct sim *to, bool both);

#endif
