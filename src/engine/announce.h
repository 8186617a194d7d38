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
    unsigned count;      /* of those */
    pthread_t thread;
    bool made, runs;     /* the thread was made and is not joined yet; it will look at the list again */
    bool ends;
};

void gw_announcer_init(struct gw_announcer *a);
/* Also where no card was ever added. */
void gw_announcer_close(struct gw_vm *vm);

/* The machine has arrived. Sends the first round before it returns; call it when the state of its CPUs is there and before its disks
 * are taken, once: in precopy when the arrival is certain, in postcopy at RUN. Any thread. What fails is for the log. */
int gw_announce_arrival(struct gw_vm *vm, struct gw_error *err);
/* It did not arrive after all: nothing more is sent. */
void gw_announce_revoke(struct gw_vm *vm);

#endif
