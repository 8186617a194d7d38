/* SPDX-License-Identifier: MIT
 *
 * sim: a machine made of memory and a thread that writes it, for migrations inside one process.
 *
 * The writer stamps random 8-byte words; every write is a function of (seed, number), the number of the last write is
 * kept in a device. After an arrival the machine's memory must be exactly what the writes up to that number make it.
 */
#ifndef SIM_H
#define SIM_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "godwit/godwit.h"

#define SIM_BLOCKS 3

struct sim_device { /* state that travels */
    uint64_t writes;
    uint64_t seed;
    uint32_t level;
    uint8_t fifo[16];
    uint32_t fifo_len;
};

struct sim {
    struct gw_vm *vm;
    uint8_t *ram[SIM_BLOCKS];
    uint64_t ram_bytes[SIM_BLOCKS];
    struct sim_device device;
    pthread_t thread;
    bool threaded;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool run, running, quit;      /* asked, is, end */
    _Atomic uint64_t words_per_ms; /* write rate; 0: idle */
    uint64_t window_bytes;        /* writes go to the first so many bytes of each block; 0: all */
    atomic_int starts, stops;
    atomic_bool fail_stop, fail_start;
    atomic_bool fail_stopped;     /* stops, and then says that it failed */
    atomic_bool mark;             /* tell the explicit tracker */
    _Atomic unsigned throttle;
    _Atomic uint64_t dirty_limit;
    _Atomic int arrived, left;
    uint64_t eased_ns; /* sim_ease did so */
};

/* seed 0: a machine that waits to be filled. */
int sim_new(struct sim *s, uint64_t seed, uint64_t mib, struct gw_error *err);
void sim_free(struct sim *s);
int sim_start(struct sim *s);
int sim_stop(struct sim *s);
/* The session with this status has ended. */
static inline bool sim_over(enum gw_status s)
{
    return s == GW_STATUS_COMPLETED || s == GW_STATUS_FAILED || s == GW_STATUS_CANCELLED;
}
/* Call it now and then during a migration that began at since_ns: a guest that writes more than this machine can move while
 * it does other things would stay for ever. From the fifth second on it writes half as much, each second. */
void sim_ease(struct sim *s, uint64_t since_ns);
/* What memory and device must be after device.writes writes from the beginning. 0 or the number of wrong words. */
uint64_t sim_check(struct sim *s);

#endif
