/* SPDX-License-Identifier: MIT
 *
 * visitor: a connection at the door of a destination that has yet to say which channel it is, with a thread that listens to it.
 *
 *     begin --its first bytes--> done: result, and what it is: the main channel of a migration (with its head), or of one that is
 *                                      resumed, a channel for pages, or of urgent pages; or it only measured the link
 *
 * The reader of a main channel and of one of urgent pages has what was read of it: who takes the channel takes that too, after
 * the thread was joined. A channel of urgent pages says nothing before a page is asked for: where one is expected, silence has no end.
 *
 * Hostile: whatever comes is checked by engine/classify.h and engine/head.h.
 *
 * Threads: the fields above the lock by its thread until `done`; then, as all functions, by who attends the door.
 */
#ifndef GW_ENGINE_VISITOR_H
#define GW_ENGINE_VISITOR_H

#include <pthread.h>

#include "channel/reader.h"
#include "engine/classify.h"
#include "engine/head.h"

struct gw_recv;

struct gw_visitor {
    struct gw_recv *recv;
    struct gw_channel *channel;
    struct gw_reader reader;
    struct gw_wire_head head;
    pthread_t thread;
    uint64_t deadline_ns;
    bool used, good;
    bool pages;   /* its greeting says that it carries only pages */
    bool probe;   /* it only measured the link */
    bool urgent;  /* it begins as the channel of urgent pages does */
    bool recover; /* it begins as the main channel of a source that goes on */
    struct gw_link_id link;
    uint8_t uuid[16];
    /* under session.lock */
    bool spoke; /* its first bytes have come */
    bool done;
    int result;
    struct gw_error error;
};

/* v is free. Takes the channel, also on failure. */
int gw_visitor_begin(struct gw_visitor *v, struct gw_recv *r, struct gw_channel *take_channel, struct gw_error *err);
/* Ends it, and frees the channel. */
void gw_visitor_drop(struct gw_visitor *v);

#endif
