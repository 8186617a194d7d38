/* SPDX-License-Identifier: MIT
 *
 * announce: the network cards of a vm, and the thread that announces them (godwit/nic.h).
 *
 * Locks: `lock` is held while a card sends, so rounds never overlap and a card that was removed sends no more. The vm's own lock
 * may be taken under it, never the other way round.
 */
#ifndef GW_ENGINE_ANNOUNCE_H
#define GW_ENGINE_ANNOUNCE_H

#include <pthread.h>

#include "godwit/nic.h"

struct gw_nic;
struct gw_announcement;

struct gw_announcer {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct gw_nic *nics; /* in the order in which they were added */
    struct gw_announcement *under_way;
    unsigned count;      /* number of cards in `nics` */
    pthread_t thread;
    bool made, runs;     /* made: the thread was created and is not joined yet; runs: it will look at the list again */
    bool ends;
};

void gw_announcer_init(struct gw_announcer *a);
/* May be called when no card was ever added. */
void gw_announcer_close(struct gw_vm *vm);

/* The machine has arrived. Sends the first round before it returns. Call it once, when the state of the CPUs is loaded
 * and before the disks are taken: in precopy when the arrival is certain, in postcopy at RUN. Any thread. The caller
 * logs a failure; the arrival goes on. */
int gw_announce_arrival(struct gw_vm *vm, struct gw_error *err);
/* The arrival is taken back: nothing more is sent. */
void gw_announce_revoke(struct gw_vm *vm);

#endif
