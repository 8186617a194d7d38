/* SPDX-License-Identifier: MIT
 *
 * loopback: a page transport between two sims of one process. What the source's end takes lies in a table that both ends see;
 * records in the stream carry the numbers of its entries, and the destination's end puts those pages into memory when it reads
 * them. One page of three is declined, one is taken at once, one is completed later by a thread of its own.
 */
#ifndef LOOPBACK_H
#define LOOPBACK_H

#include <pthread.h>
#include <stdatomic.h>

#include "sim.h"

struct loopback {
    /* What goes wrong; 0: nothing. Calls are counted from 1, of each kind. Set before the sessions start. */
    unsigned fail_take, fail_begin, fail_end, fail_block, fail_record, fail_late;
    unsigned lie;       /* this record names a page that the block does not have */
    bool no_abort;      /* the op is not there: what is due is completed after all */
    atomic_bool stall;  /* nothing is completed while this is set */
    unsigned stall_after; /* from so many taken for later on; 0: not by count */

    /* What came. Read when the sessions have ended, or atomically. */
    atomic_uint takes, declined, done, later, completed, begins[3], ends[3], blocks, records, placed, aborts, over[2], over_ok[2];
    atomic_bool in_finish; /* FINISH has begun */
    atomic_bool disorder;  /* calls did not come in the order that page_transport.h gives */

    /* its own */
    struct sim *from, *to;
    bool open;
    struct entry *entry;
    unsigned entries, room, told, next; /* told: of them announced; next: that the thread looks at */
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
/* Before the sessions start. The destination may be left without its end. */
void loopback_join(struct loopback *l, struct sim *from, struct sim *to, bool both);

#endif
