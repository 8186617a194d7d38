/* SPDX-License-Identifier: MIT
 *
 * measure: the thread that measures a vm's dirty rate or surveys it (survey.c), and its vCPUs' limits (godwit/dirty_rate.h).
 *
 * Locks: `lock` is taken last; of the vm's locks the thread takes only ram->lock. A caller that changes blocks or the
 * tracker holds vm->lock and makes sure with gw_measure_still that no measurement runs.
 */
#ifndef GW_ENGINE_MEASURE_H
#define GW_ENGINE_MEASURE_H

#include <pthread.h>

#include "godwit/dirty_rate.h"
#include "godwit/survey.h"
#include "ram/tracker/rate.h"

struct gw_limited_vcpu {
    uint64_t limit_bytes_per_s;
    uint64_t seen_ns, seen_bytes; /* bytes that it had dirtied at seen_ns; 0: not read yet */
    uint64_t current_bytes_per_s;
};

struct gw_measure {
    struct gw_rate_config config; /* for the thread */
    struct gw_tracker *tracker;
    pthread_t thread;
    bool made;   /* the thread was created and is not joined yet. Under vm->lock */
    bool cancel; /* accessed with atomic operations */
    pthread_mutex_t lock; /* guards all fields below, and config.vcpu_pages while no measurement runs */
    pthread_cond_t ended;
    bool running;
    struct gw_dirty_rate told;
    struct gw_cancel *end;    /* ends the waits of a survey; NULL: none is under way */
    struct gw_survey survey;
    struct gw_survey_config survey_config;
    char probe[GW_URI_TEXT];  /* text of survey_config.probe */
    struct gw_limited_vcpu *limited;
    unsigned limited_count;
};

void gw_measure_init(struct gw_measure *m);
/* Takes vm->lock when no measurement runs; cancels one that does. */
void gw_measure_still(struct gw_vm *vm);
/* For users of the measuring thread. may_start: under vm->lock; joins a thread that has finished. launch: under `lock`
 * too; main gets the vm, and must call gw_measure_over last, with `lock` held; that unlocks it. */
int gw_measure_may_start(struct gw_vm *vm, struct gw_error *err);
int gw_measure_launch(struct gw_vm *vm, void *(*main)(void *vm), struct gw_error *why);
void gw_measure_over(struct gw_measure *m);
/* May be called without init. */
void gw_measure_close(struct gw_vm *vm);

#endif
