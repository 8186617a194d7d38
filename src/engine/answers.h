/* SPDX-License-Identifier: MIT
 *
 * answers: what the destination says to the source, on the return path. One message is one piece on the wire, whoever
 * says it.
 *
 * A message of which only a part could be written is the end: nothing can follow it, so nothing does.
 *
 * Threads: all functions but init and fini may be called from any thread. A thread that says something may wait for
 * others, at most for the channel's time-out each; a shutdown of the channel ends that.
 */
#ifndef GW_ENGINE_ANSWERS_H
#define GW_ENGINE_ANSWERS_H

#include <pthread.h>

#include "godwit/channel.h"
#include "trace/trace.h"

struct gw_answers {
    pthread_mutex_t lock;
    const struct gw_trace *trace;
    struct gw_channel *channel; /* NULL: no return path is open */
    struct gw_error broken;     /* code 0: nothing is */
};

void gw_answers_init(struct gw_answers *a, const struct gw_trace *trace);
void gw_answers_fini(struct gw_answers *a);
/* From now on answers go there; the channel stays the caller's. NULL: nowhere, before the channel is freed. */
void gw_answers_open(struct gw_answers *a, struct gw_channel *channel);
/* Does nothing while no return path is open. -EINVAL, blame CALLER: a type that wire/ does not know, or not with this
 * length. */
int gw_answers_say(struct gw_answers *a, uint16_t type, const void *body, size_t bytes, struct gw_error *err);

/* RECV_BITMAP: a bit for each page of this block that came. */
int gw_answers_map(struct gw_answers *a, const char *block, const uint64_t *map, uint64_t pages, struct gw_error *err);

#endif
