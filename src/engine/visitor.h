/* SPDX-License-Identifier: MIT
 *
 * visitor: a new connection of a destination, and a thread that reads its first bytes to identify it.
 *
 *     begin --its first bytes--> done: result, and what it is: the main channel of a migration (with its head), or of one that is
 *                                      resumed, a channel for pages, or of urgent pages; or a probe of the link
 *
 * The reader of a main channel and of one of urgent pages has the bytes that were read: the new owner of the channel
 * takes the reader too, after joining the thread. A channel of urgent pages sends nothing before a page is requested:
 * where one is expected, there is no time-out for the first byte.
 *
 * Hostile: whatever comes is checked by engine/classify.h and engine/head.h.
 *
 * Threads: the fields above the lock belong to its thread until `done`; after that, and for all functions, to the
 * thread that attends the door.
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
    bool pages;   /* its greeting says that it is a channel of pages */
    bool probe;   /* it was a probe of the link */
    bool urgent;  /* its first bytes are those of the channel of urgent pages */
    bool recover; /* its first bytes are those of a main channel that resumes */
    struct gw_link_id link;
    uint8_t uuid[16];
    /* under session.lock */
    bool spoke; /* its first bytes have come */
    bool done;
    int result;
    struct gw_error error;
};

/* v is unused. Takes the channel, also on failure. */
int gw_visitor_begin(struct gw_visitor *v, struct gw_recv *r, struct gw_channel *take_channel, struct gw_error *err);
/* Ends the thread, and frees the channel. */
void gw_visitor_drop(struct gw_visitor *v);

#endif
