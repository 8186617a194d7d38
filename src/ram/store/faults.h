/* SPDX-License-Identifier: MIT
 *
 * faults: the thread that hears from the kernel who waits for which unit, and has it asked for.
 *
 * A fault leaves word (waited), then looks whether the unit has come: who places units does it the other way round
 * (gw_faults_came), so one of them finds the other. `asked` is under a lock that is held while `ask` runs: a unit is asked for
 * once, and after gw_faults_hold nobody asks.
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
    bool held;  /* under asking */
    _Atomic uint64_t waiting, faults, requests, local;
    pthread_mutex_t lock;
    struct gw_error error; /* of the thread. Under lock */
};

void gw_faults_init(struct gw_faults *f, struct gw_unit_table *table, const struct gw_uffd_config *config);
void gw_faults_fini(struct gw_faults *f);
/* Counts anew. */
int gw_faults_begin(struct gw_faults *f, struct gw_error *err);
/* The unit has been received. */
void gw_faults_came(struct gw_faults *f, struct gw_units *u, uint64_t unit);
void gw_faults_hold(struct gw_faults *f);
void gw_faults_ask_again(struct gw_faults *f);
/* table->finished was set: who waits gets zeros. */
int gw_faults_finish(struct gw_faults *f, struct gw_error *err);
/* The thread ends. It leaves those that wait where they are. */
int gw_faults_end(struct gw_faults *f, struct gw_error *err);

#endif
