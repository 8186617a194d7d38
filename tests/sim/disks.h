/* SPDX-License-Identifier: MIT
 *
 * disks: a disk of a sim, in memory, which the guest writes while it is sent.
 *
 * Its contents are a function of a seed and of the number of writes, which migrate as the device `disk-writes`; so a
 * disk that arrives can be checked (sim_check does). Every third MiB is a hole at first.
 *
 * Threads: the guest's thread writes, threads of the library read or fill it.
 */
#ifndef TESTS_SIM_DISKS_H
#define TESTS_SIM_DISKS_H

#include "sim.h"

struct sim_disk {
    struct sim *sim;
    struct gw_disk *disk;
    uint64_t bytes;
    pthread_mutex_t lock; /* protects the members below */
    uint8_t *data, *kind; /* kind: of each cluster, enum gw_disk_kind */
    struct sim_disk_writes {
        uint64_t seed, writes;
    } made;
    atomic_uint per_ms;                 /* writes of the guest; 0: none */
    atomic_uint fail_read, fail_write;  /* number of the call that fails; 0: none */
    atomic_uint reads, writes, flushes, activated;
};

/* Gives the machine a disk d0. seed 0: it has garbage and waits to be filled. The machine frees it. */
struct sim_disk *sim_disk_new(struct sim *s, uint64_t bytes, uint64_t seed);

#endif
