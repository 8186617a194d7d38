/* SPDX-License-Identifier: MIT
 *
 * session: the part that sources and destinations share: a thread, a phase, events, statistics, an end.
 *
 * Threads: `lock` guards everything that other threads may read. The session's own thread enters phases; a cancel or
 * yank from another thread only sets a flag and ends waits (it shuts the channels down and triggers the cancel token).
 * Events are delivered without the lock, one at a time, in order.
 */
#ifndef GW_ENGINE_SESSION_H
#define GW_ENGINE_SESSION_H

#include <pthread.h>

#include "channel/links.h"
#include "engine/phase.h"
#include "engine/vm.h"
#include "godwit/channel.h"
#include "ram/lane/lanes.h"
#include "godwit/stats.h"

struct gw_session {
    struct gw_vm *vm;
    gw_event_fn on_event;
    void *opaque;
    pthread_mutex_t event_lock; /* held while an event is delivered: one at a time */

    pthread_mutex_t lock;
    pthread_cond_t changed; /* uses the monotonic clock */
    enum gw_phase phase;
    bool cancelled, yanked; /* were asked for */
    bool last_word;         /* the peer waits for COMMIT or ABORT: a cancel must not shut the channels down */
    bool held;              /* a yank does not shut the channels down (gw_session_hold) */
    bool ended;             /* the session has ended; its thread only has to return */
    struct gw_stats stats;
    struct gw_error error; /* the first failure */
    struct gw_links links; /* all channels: a cancel or yank shuts them down */
    struct gw_channel *pages[GW_LANES_MAX]; /* channels that carry only pages. Owned by the session's thread */
    uint64_t pages_timeout_ns;              /* their time-out; 0: none */

    struct gw_cancel *cancel;
    int end_fd;                 /* eventfd, readable once `ended`; -1: not created yet. Under `lock` */
    struct gw_options *options; /* the vm's options before a start that brought its own */
    pthread_t thread;
    bool threaded;
};

int gw_session_init(struct gw_session *s, struct gw_vm *vm, gw_event_fn on_event, void *opaque, struct gw_error *err);
int gw_session_run(struct gw_session *s, void *(*main)(void *), void *arg, struct gw_error *err);
/* Joins the thread and frees what init made. */
void gw_session_close(struct gw_session *s);
/* Waits for the thread to end; the thread must not be accessed afterwards. close calls it too. */
void gw_session_join(struct gw_session *s);

/* Call on the session's thread, or before it runs. An illegal transition is a bug here: assert. */
void gw_session_enter(struct gw_session *s, enum gw_phase phase);
/* The same for a final phase that is a failure. err: the reason; statistics show it together with the new status. */
void gw_session_enter_failed(struct gw_session *s, enum gw_phase phase, const struct gw_error *err);
/* The same for a phase from which the session cannot go back: -ECANCELED when a cancel came first. */
int gw_session_commit(struct gw_session *s, enum gw_phase phase, struct gw_error *err);
enum gw_phase gw_session_phase(struct gw_session *s);
void gw_session_event(struct gw_session *s, enum gw_event_type type, uint64_t pass);
void gw_session_log(struct gw_session *s, const char *fmt, ...) GW_PRINTF(2, 3);
/* The same for a source whose stream had begun (gw_event.refused). */
void gw_session_refused(struct gw_session *s, const char *fmt, ...) GW_PRINTF(2, 3);
/* Sets the main channel, which a cancel shuts down; NULL: there is none any more. */
void gw_session_set_channel(struct gw_session *s, struct gw_channel *channel);
/* Gets page channel i from dial; a cancel shuts it down. */
int gw_session_open_pages(struct gw_session *s, gw_dial_fn dial, void *opaque, unsigned i, struct gw_channel **ret,
                          struct gw_error *err);
/* gw_lanes_config.open of a session that writes pages to their places in the file of the main channel. */
int gw_session_open_beside(void *session, unsigned i, struct gw_channel **ret, struct gw_error *err);
/* -EINVAL: pages have places in a file (mapped-ram), and this URI is no file. Checks what the URI shows before it is
 * opened. */
int gw_session_check_uri(const struct gw_session *s, const struct gw_uri *uri, struct gw_error *err);
int gw_session_check_file(const struct gw_session *s, const struct gw_channel *main, struct gw_error *err);
/* Frees the page channels; no thread may use them any more. */
void gw_session_close_pages(struct gw_session *s);
/* 0, or -ECANCELED when a cancel or yank was asked for. */
int gw_session_check(struct gw_session *s, struct gw_error *err);
/* Any thread. -EALREADY when the phase cannot be cancelled. */
int gw_session_cancel(struct gw_session *s, struct gw_error *err);
void gw_session_yank(struct gw_session *s);
/* From now on a yank does not shut the channels down: the peer must get the next message, and writing it must have a
 * time-out of its own. Fails when a yank came first. */
int gw_session_hold(struct gw_session *s, struct gw_error *err);
/* Ends that; if a yank came meanwhile, it now shuts the channels down. */
void gw_session_release(struct gw_session *s);
/* The vm is free and nothing more will happen: delivers ENDED, then wakes the threads that wait. */
void gw_session_end(struct gw_session *s);
/* A descriptor that becomes readable when the session has ended; the session owns it. Any thread. */
int gw_session_fd(struct gw_session *s, struct gw_error *err);
/* Takes options that came with the start, in place of the vm's; NULL: none came. If the start fails later, it puts the
 * old ones back; in both cases the session frees its own. */
int gw_session_take_options(struct gw_session *s, const struct gw_options *options, struct gw_error *err);
void gw_session_put_options_back(struct gw_session *s);
int gw_session_wait(struct gw_session *s, struct gw_error *err);
/* Waits under s->lock until deadline_ns of the vm's clock; false: the deadline has passed. true: something may have
 * changed. */
bool gw_session_wait_until(struct gw_session *s, uint64_t deadline_ns);

#endif
