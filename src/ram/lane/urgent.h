/* SPDX-License-Identifier: MIT
 *
 * urgent: the lane of pages that somebody waits for, with a thread and a channel of its own (postcopy preempt,
 * docs/wire-format.md 10.6). Nothing that goes out elsewhere is in front of them.
 *
 *     requests --batch--> [ lane: thread --> writer --> channel URGENT ]
 *
 * The thread serves requests (ram/source/requests.h) one by one, and flushes each host page. Its channel carries records of pages
 * and nothing else. A lane that failed drops what it takes, and has told so: the session cannot succeed any more.
 *
 * Threads: new, begin, finish, end and free by the session's; progress by any.
 */
#ifndef GW_URGENT_H
#define GW_URGENT_H

#include "ram/lane/lane.h"
#include "ram/source/requests.h"

struct gw_urgent;

struct gw_urgent_config {
    struct gw_requests *requests; /* must outlive it */
    struct gw_source *source;     /* that they are taken from: gets its batches back */
    struct gw_lane *take_lane;    /* also on failure; NULL is passed on as the failure that made it */
};

struct gw_urgent_run {
    struct gw_channel *channel;  /* borrowed, until end */
    struct gw_account *account;  /* what is put is booked there; may be NULL */
    /* On its thread: pages that were asked for could not be sent. */
    void (*failed)(void *opaque, const struct gw_error *why);
    /* On its thread: the source must go on with the page that it has begun. */
    void (*wake)(void *opaque);
    void *opaque;
};

int gw_urgent_new(const struct gw_urgent_config *config, struct gw_urgent **ret, struct gw_error *err);
/* Takes NULL, returns NULL. Ends first. */
struct gw_urgent *gw_urgent_free(struct gw_urgent *u);

/* Behind gw_requests_open, before the first request. From now on requests are served here. After a failure end must come. */
int gw_urgent_begin(struct gw_urgent *u, const struct gw_urgent_run *run, struct gw_error *err);
/* Requests have come to an end (gw_requests_finish): waits until what was asked for is on its way. */
int gw_urgent_finish(struct gw_urgent *u, struct gw_error *err);
/* Behind finish: the mark that nothing follows. */
int gw_urgent_put_end(struct gw_urgent *u, struct gw_error *err);
/* Requests are closed, or have come to an end. Shuts the channel down where it is not finished. */
void gw_urgent_end(struct gw_urgent *u);
void gw_urgent_progress(const struct gw_urgent *u, struct gw_progress *sum);

#endif
