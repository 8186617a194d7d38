/* SPDX-License-Identifier: MIT
 *
 * urgent: the lane of requested pages, with a thread and a channel of its own (postcopy preempt, docs/wire-format.md
 * 10.6). They do not wait behind other pages.
 *
 *     requests --batch--> [ lane: thread --> writer --> channel URGENT ]
 *
 * The thread serves requests (ram/source/requests.h) one by one, and flushes each host page. Its channel carries records of pages
 * and nothing else. A lane that failed reports it (`failed`) and drops further requests: the session cannot succeed any
 * more.
 *
 * Threads: new, begin, finish, end and free by the session's; progress by any.
 */
#ifndef GW_URGENT_H
#define GW_URGENT_H

#include "ram/lane/lane.h"
#include "ram/source/requests.h"

struct gw_urgent;

struct gw_urgent_config {
    struct gw_requests *requests; /* must live longer than this */
    struct gw_source *source;     /* where the requested pages are taken from; gets its batches back */
    struct gw_lane *take_lane;    /* taken, also on failure; NULL stands for a lane whose creation failed */
};

struct gw_urgent_run {
    struct gw_channel *channel;  /* borrowed until end */
    struct gw_account *account;  /* counts what is written; may be NULL */
    /* On its thread: requested pages could not be sent. */
    void (*failed)(void *opaque, const struct gw_error *why);
    /* On its thread: the source must continue the host page that it has begun. */
    void (*wake)(void *opaque);
    void *opaque;
};

int gw_urgent_new(const struct gw_urgent_config *config, struct gw_urgent **ret, struct gw_error *err);
/* Takes NULL, returns NULL. Calls end first. */
struct gw_urgent *gw_urgent_free(struct gw_urgent *u);

/* Call after gw_requests_open, before the first request. From now on requests are served here. Call end even after a
 * failure. */
int gw_urgent_begin(struct gw_urgent *u, const struct gw_urgent_run *run, struct gw_error *err);
/* No more requests come (gw_requests_finish): waits until all requested pages were written. */
int gw_urgent_finish(struct gw_urgent *u, struct gw_error *err);
/* Call after finish: writes the mark that nothing follows. */
int gw_urgent_put_end(struct gw_urgent *u, struct gw_error *err);
/* Requests are closed or finished. Shuts the channel down if finish was not called. */
void gw_urgent_end(struct gw_urgent *u);
void gw_urgent_progress(const struct gw_urgent *u, struct gw_progress *sum);

#endif
