/* SPDX-License-Identifier: MIT
 *
 * faults: the thread that reads from the kernel which threads wait for which units, and requests these units.
 *
 * For a fault, this thread first sets `waited`, then checks whether the unit has come; a thread that places a unit does
 * these steps in reverse order (gw_faults_came), so at least one of them notices the other. `asked` is under a lock
 * that is held while `ask` runs: a unit is requested once, and after gw_faults_hold nothing is requested.
 *
 * Threads: begin, hold, ask_again, finish, end by one; came and the figures by any.
 */
#ifndef GW_STORE_FAULTS_H
#define GW_STORE_FAULTS_H

#include "ram/store/units.h"
#include "ram/store/uffd.h"

struct gw_faults {
    struct gw_unit_table *table;
    const struct gw_uffd_config *config;
    pthread_t thread;
    bool runs;
    int stop; /* eventfd */
    pthread_mutex_t asking;
    bool held;  /* guarded by `asking` */
    _Atomic uint64_t waiting, faults, requests, local;
    pthread_mutex_t lock;
    struct gw_error error; /* of the thread. Guarded by `lock` */
};

void gw_faults_init(struct gw_faults *f, struct gw_unit_table *table, const struct gw_uffd_config *config);
void gw_faults_fini(struct gw_faults *f);
/* Resets the counters. */
int gw_faults_begin(struct gw_faults *f, struct gw_error *err);
/* Call when the unit was received. */
void gw_faults_came(struct gw_faults *f, struct gw_units *u, uint64_t unit);
void gw_faults_hold(struct gw_faults *f);
void gw_faults_ask_again(struct gw_faults *f);
/* table->finished was set: answers all waits with zeros. */
int gw_faults_finish(struct gw_faults *f, struct gw_error *err);
/* Ends the thread. Threads that wait for a page keep waiting. */
int gw_faults_end(struct gw_faults *f, struct gw_error *err);

#endif
