/* SPDX-License-Identifier: MIT
 *
 * session: what both kinds of session have in common: a thread, a phase, events, statistics, an end.
 *
 * Threads: `lock` guards everything that other threads may ask for. The session's own thread enters phases; a cancel or
 * yank from another thread only sets a flag and breaks the waiting (the channels are shut down, the cancel token fires).
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
    pthread_mutex_t event_lock; /* one event at a time */

    pthread_mutex_t lock;
    pthread_cond_t changed; /* monotonic */
    enum gw_phase phase;
    bool cancelled, yanked; /* asked for */
    bool last_word;         /* the peer waits for COMMIT or ABORT: a cancel must not shut the channels */
    bool held;              /* a yank leaves the channels (gw_session_hold) */
    bool ended;             /* the thread has nothing more to do */
    struct gw_stats stats;
    struct gw_error error; /* the first failure */
    struct gw_links links; /* all channels: a cancel or yank shuts them */
    struct gw_channel *pages[GW_LANES_MAX]; /* channels for pages alone. The session's thread */
    uint64_t pages_timeout_ns;              /* theirs; 0: none */

    struct gw_cancel *cancel;
    int end_fd;                 /* eventfd, readable once `ended`; -1: nobody has asked for it. Under `lock` */
    struct gw_options *options; /* what the vm's were before a start that gave its own */
    pthread_t thread;
    bool threaded;
};

int gw_session_init(struct gw_session *s, struct gw_vm *vm, gw_event_fn on_event, void *opaque, struct gw_error *err);
int gw_session_run(struct gw_session *s, void *(*main)(void *), void *arg, struct gw_error *err);
/* Joins the thread and frees what init made. */
void gw_session_close(struct gw_session *s);
/* Waits for its thread, which must not be asked for anything then; close does it, too. */
void gw_session_join(struct gw_session *s);

/* The session's thread (or before it runs). Illegal transitions are mistakes of ours: assert. */
void gw_session_enter(struct gw_session *s, enum gw_phase phase);
/* The same for a final phase that is no success. err: why, which statistics have from the moment that they have the status. */
void gw_session_enter_failed(struct gw_session *s, enum gw_phase phase, const struct gw_error *err);
/* The same for a phase from which there is no way back: -ECANCELED when a cancel came first. */
int gw_session_commit(struct gw_session *s, enum gw_phase phase, struct gw_error *err);
enum gw_phase gw_session_phase(struct gw_session *s);
void gw_session_event(struct gw_session *s, enum gw_event_type type, uint64_t pass);
void gw_session_log(struct gw_session *s, const char *fmt, ...) GW_PRINTF(2, 3);
/* The same of a source that had begun its stream (gw_event.refused). */
void gw_session_refused(struct gw_session *s, const char *fmt, ...) GW_PRINTF(2, 3);
/* The main channel from now on, which a cancel shuts down; NULL: there is none any more. */
void gw_session_set_channel(struct gw_session *s, struct gw_channel *channel);
/* Gets channel i for pages from dial; a cancel shuts it down. */
int gw_session_open_pages(struct gw_session *s, gw_dial_fn dial, void *opaque, unsigned i, struct gw_channel **ret,
                          struct gw_error *err);
/* gw_lanes_config.open of a session whose pages go to their places in the file that the main channel is. */
int gw_session_open_beside(void *session, unsigned i, struct gw_channel **ret, struct gw_error *err);
/* -EINVAL: pages have places in a file (mapped-ram), and this is none. What a URI can tell is told before it is opened. */
int gw_session_check_uri(const struct gw_session *s, const struct gw_uri *uri, struct gw_error *err);
int gw_session_check_file(const struct gw_session *s, const struct gw_channel *main, struct gw_error *err);
/* Frees them; nobody uses them any more. */
void gw_session_close_pages(struct gw_session *s);
/* 0, or -ECANCELED when a cancel or yank was asked for. */
int gw_session_check(struct gw_session *s, struct gw_error *err);
/* Any thread. -EALREADY when the phase cannot be cancelled. */
int gw_session_cancel(struct gw_session *s, struct gw_error *err);
void gw_session_yank(struct gw_session *s);
/* From now on a yank leaves the channels: the peer has to hear what happens next, and the writing of it must have a
 * time-out of its own. Fails when a yank came first. */
int gw_session_hold(struct gw_session *s, struct gw_error *err);
/* No longer; a yank that came meanwhile shuts the channels down. */
void gw_session_release(struct gw_session *s);
/* The vm was let go and nothing more will happen: that is told, then waiters wake. */
void gw_session_end(struct gw_session *s);
/* The descriptor that is readable once it has ended; the session's. Any thread. */
int gw_session_fd(struct gw_session *s, struct gw_error *err);
/* Options that came with the start, in place of the vm's; NULL: none came. A start that fails after that puts the old
 * ones back; either way the session drops them. */
int gw_session_take_options(struct gw_session *s, const struct gw_options *options, struct gw_error *err);
void gw_session_put_options_back(struct gw_session *s);
int gw_session_wait(struct gw_session *s, struct gw_error *err);
/* Waits under s->lock until deadline_ns of the vm's clock; false: it passed. true: something may have changed, or not. */
bool gw_session_wait_until(struct gw_session *s, uint64_t deadline_ns);

#endif
