/* SPDX-License-Identifier: MIT
 *
 * measure: the thread that measures a vm's dirty rate or surveys it (survey.c), and its vCPUs' limits (godwit/dirty_rate.h).
 *
 * Locks: `lock` is the last one; the thread takes none of the vm's but ram->lock. Whoever changes blocks or the tracker holds
 * vm->lock and knows that no measurement runs: gw_measure_still.
 */
#ifndef GW_ENGINE_MEASURE_H
#define GW_ENGINE_MEASURE_H

#include <pthread.h>

#include "godwit/dirty_rate.h"
#include "godwit/survey.h"
#include "ram/tracker/rate.h"

struct gw_limited_vcpu {
    uint64_t limit_bytes_per_s;
    uint64_t seen_ns, seen_bytes; /* what it had dirtied when; 0: never looked */
    uint64_t current_bytes_per_s;
};

struct gw_measure {
    struct gw_rate_config config; /* of the thread */
    struct gw_tracker *tracker;
    pthread_t thread;
    bool made;   /* the thread was made and not joined yet. Under vm->lock */
    bool cancel; /* atomic */
    pthread_mutex_t lock; /* what follows, and config.vcpu_pages while none runs */
    pthread_cond_t ended;
    bool running;
    struct gw_dirty_rate told;
    struct gw_cancel *end;    /* of what a survey waits for; NULL: there was none */
    struct gw_survey survey;
    struct gw_survey_config survey_config;
    char probe[GW_URI_TEXT];  /* what its `probe` points to */
    struct gw_limited_vcpu *limited;
    unsigned limited_count;
};

void gw_measure_init(struct gw_measure *m);
/* Takes vm->lock at a moment when no measurement runs; ends one that does. */
void gw_measure_still(struct gw_vm *vm);
/* For those who measure with the thread. may_start: under vm->lock; the last one has ended and is gone then. launch: under lock too; main
 * is given the vm, and its last act is gw_measure_over, with lock held, which it gives back. */
int gw_measure_may_start(struct gw_vm *vm, struct gw_error *err);
int gw_measure_launch(struct gw_vm *vm, void *(*main)(void *vm), struct gw_error *why);
void gw_measure_over(struct gw_measure *m);
/* Also where init never came. */
void gw_measure_close(struct gw_vm *vm);

#endif
