/* SPDX-License-Identifier: MIT
 *
 * pace: how long to wait before the next write, so that a rate is kept (R9: max-bandwidth and the like).
 *
 * One pace may be shared by all channels of a migration: the rate is that of all of them together.
 *
 * A writer asks before each write, with its size. Either the write may go now, and is charged, or the answer is how long to
 * wait before asking again. Any size is allowed, but this guarantee needs writes of at most gw_pace_chunk bytes:
 *
 *   in any period t, at most rate * (t + GW_PACE_CREDIT_NS + GW_PACE_CHUNK_NS) bytes are sent, so less than 5% too many
 * in any second; over a longer time the rate is exact, if no write is late by more than the credit.
 *
 * Unused time is only credited up to this limit, so there is no burst after a pause.
 *
 * Threads: all functions but init and fini may be called from any thread.
 */
#ifndef GW_CHANNEL_PACE_H
#define GW_CHANNEL_PACE_H

#include <pthread.h>

#include "channel/cancel.h"
#include "godwit/clock.h"

/* how late a writer may be, because of the scheduler, and still catch up */
#define GW_PACE_CREDIT_NS (30 * GW_NS_PER_MS)
#define GW_PACE_CHUNK_NS  (10 * GW_NS_PER_MS) /* a write should take no longer than this at the rate */

struct gw_pace {
    pthread_mutex_t lock;
    struct gw_clock clock;
    uint64_t bytes_per_s; /* 0: unlimited */
    uint64_t due_ns;      /* when all bytes charged so far will have been sent at the rate */
    uint64_t rest;        /* remainder of the division by the rate, so that small writes are charged in full */
};

/* clock NULL: gw_clock_real. */
void gw_pace_init(struct gw_pace *p, const struct gw_clock *clock, uint64_t bytes_per_s);
void gw_pace_fini(struct gw_pace *p);

/* Changes the rate. Bytes that were charged at the old rate and are not due yet are charged again at the new one. */
void gw_pace_set(struct gw_pace *p, uint64_t bytes_per_s);

/* The maximum size of one write: GW_PACE_CHUNK_NS worth, at least 1; UINT64_MAX if unlimited. */
uint64_t gw_pace_chunk(struct gw_pace *p);

/* 0: write now, the bytes are charged. Else nanoseconds (at most 100 ms, since the rate may change) to wait before
 * asking again. */
uint64_t gw_pace_ask(struct gw_pace *p, uint64_t bytes);

/* A charged write has written so many bytes less. */
void gw_pace_refund(struct gw_pace *p, uint64_t bytes);

/* Asks until the answer is 0, in real time; -ECANCELED when wake (may be NULL) was triggered. */
int gw_pace_wait(struct gw_pace *p, uint64_t bytes, const struct gw_cancel *wake);

#endif
