/* SPDX-License-Identifier: MIT
 *
 * answers: the messages of the destination to the source, on the return path. Messages of different threads do not mix
 * on the wire.
 *
 * After a message that was written only in part, all later ones fail with the same error: the source could not parse
 * them.
 *
 * Threads: all functions but init and fini may be called from any thread. A thread that sends a message may have to
 * wait for other senders, at most for the channel's time-out each; a shutdown of the channel ends the wait.
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
    struct gw_error broken;     /* the error of a message that was written in part; code 0: there was none */
};

void gw_answers_init(struct gw_answers *a, const struct gw_trace *trace);
void gw_answers_fini(struct gw_answers *a);
/* From now on messages are written to this channel, which the caller keeps. NULL: messages are dropped; set it before
 * the channel is freed. */
void gw_answers_open(struct gw_answers *a, struct gw_channel *channel);
/* Does nothing while no return path is open. -EINVAL, blame CALLER: wire/ does not know this type, or not with this
 * length. */
int gw_answers_say(struct gw_answers *a, uint16_t type, const void *body, size_t bytes, struct gw_error *err);

/* RECV_BITMAP: a bit for each page of this block that was received. */
int gw_answers_map(struct gw_answers *a, const char *block, const uint64_t *map, uint64_t pages, struct gw_error *err);

#endif
