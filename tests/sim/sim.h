/* SPDX-License-Identifier: MIT
 *
 * sim: a machine made of memory and a thread that writes it, for migrations inside one process.
 *
 * The writer stamps random 8-byte words; every write is a function of (seed, number), the number of the last write is
 * kept in a device. After an arrival the machine's memory must be exactly the result of the writes up to that number.
 */
#ifndef SIM_H
#define SIM_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "godwit/godwit.h"

#define SIM_BLOCKS 3

struct sim_device { /* the state that migrates */
    uint64_t writes;
    uint64_t seed;
    uint32_t level;
    uint8_t fifo[16];
    uint32_t fifo_len;
};

/* What a machine has besides memory and the device. */
struct sim_part {
    void (*work)(void *part);      /* changes the part, as the guest does: on the guest's thread, about every ms while the machine
                                    * runs */
    uint64_t (*check)(void *part); /* called by sim_check, with the machine stopped */
    void (*free)(void *part);
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
    unsigned acting;              /* callers inside sim_act: the machine cannot stop */
    uint64_t made;                /* the writer's last reported device.writes, under the lock */
    _Atomic uint64_t words_per_ms; /* write rate; 0: idle */
    uint64_t window_bytes;        /* writes go to the first so many bytes of each block; 0: all */
    atomic_int starts, stops;
    atomic_bool fail_stop, fail_start;
    atomic_bool fail_stopped;     /* stops, and then reports failure */
    atomic_bool hold_start, starting; /* a start waits (a minute at most); it was called */
    atomic_bool start_writes;     /* a start rewrites each page with its contents */
    atomic_bool mark;             /* report writes to the explicit tracker */
    _Atomic unsigned throttle, throttle_most;        /* percent: current, and the highest requested */
    _Atomic uint64_t dirty_limit, dirty_limit_least; /* current, and the lowest (0: never set) */
    _Atomic int arrived, left, revoked;
    uint64_t eased_ns; /* when sim_ease last acted */
    const struct sim_part *part_ops; /* may be NULL. Under the lock */
    void *part;
};

/* seed 0: a machine that waits to be filled. clock: NULL: the real one. On the list of the test (owned.h), ended by
 * owned_end. Fails the test if it cannot be made. */
struct sim *sim_new(uint64_t seed, uint64_t mib, const struct gw_clock *clock);
int sim_start(struct sim *s);
int sim_stop(struct sim *s);
bool sim_runs(struct sim *s);

/* An action of the guest, or of a device, besides the writer's writes: calls act(opaque) while the machine runs; a stop
 * waits until it has returned. false: the machine does not run, and act was not called. Memory of a machine may only be
 * written so (or before it is sent): no guest writes after its machine was stopped. act must not assert anything, since
 * the machine can be stopped again only after it has returned. Any thread. */
bool sim_act(struct sim *s, void (*act)(void *opaque), void *opaque);
/* Waits until the machine has made so many more writes; returns at once while it does not run or writes nothing. So a
 * guest whose thread gets little CPU time still writes as much as a test needs. Any thread. */
void sim_await_writes(struct sim *s, uint64_t writes);
/* Between two syncs it dirties more than fits a downtime limit of 1 ms, so there are as many rounds as needed on a host
 * of any speed. */
void sim_write_before_syncs(struct sim *s);
/* Sets a parameter of its vm, which must accept it. */
void sim_option(struct sim *s, const char *name, const char *value);

/* Gives the machine, which may run, its part; freed with the machine, also when the test fails. */
void sim_take_part(struct sim *s, const struct sim_part *part_ops, void *part);
/* A hash of x, for values that look random and are the same in each run. */
static inline uint64_t sim_mix(uint64_t x)
{
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9ull;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EBull;
    return x ^ (x >> 31);
}

/* Whether the session with this status has ended. */
static inline bool sim_over(enum gw_status s)
{
    return s == GW_STATUS_COMPLETED || s == GW_STATUS_FAILED || s == GW_STATUS_CANCELLED;
}
/* Call it now and then during a migration that began at since_ns: a guest that writes more than a busy host can send
 * would never converge. From the fifth second on its rate is halved each second. */
void sim_ease(struct sim *s, uint64_t since_ns);
/* Checks that memory, device and part are the result of device.writes writes. 0 or the number of wrong words. */
uint64_t sim_check(struct sim *s);

#endif
