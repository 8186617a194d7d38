/* SPDX-License-Identifier: MIT
 *
 * served: one destination of `godwit serve`: a view of the file, its machine, and its session.
 *
 * Threads: functions are called with the owning serve's lock; the session's thread sets `runs_ns`.
 */
#ifndef GODWIT_CLI_SERVED_H
#define GODWIT_CLI_SERVED_H

#include <jansson.h>
#include <stdatomic.h>

#include "transfer.h"
#include "working.h"

/* Common to all destinations; outlives them. */
struct gw_served_by {
    struct gw_transfer *transfer; /* settings, and the main thread's wake-up */
    struct gw_working *working;
    struct gw_shared *shared;
    const char *peer;
};

struct gw_served {
    const struct gw_served_by *by;
    unsigned id;
    char *uri;
    bool resume;
    bool preempt;             /* another connection is made after the hand-over */
    struct gw_working_set *recorded; /* NULL: nothing is recorded */
    uint64_t began_ns, ended_ns;
    _Atomic uint64_t runs_ns; /* when the destination reported that its guest runs; 0: not yet */
    struct gw_image *view;    /* NULL once the session has ended, as is the session */
    struct gw_send *send;
    bool ended, resumable; /* resumable: it runs there, and lacks pages */
    bool told;             /* `runs` was reported to the user */
    enum gw_status status;
    enum gw_owner owner;
    struct gw_stats stats;
    struct gw_error error; /* code 0: it has the whole machine */
};

/* Starts the session. On failure nothing is left. */
int gw_served_start(const struct gw_served_by *by, unsigned id, const char *uri, bool resume, struct gw_served **ret,
                    uint64_t *ret_dropped, struct gw_error *err);
/* Updates its state; true: it has just ended. */
bool gw_served_look(struct gw_served *d);
/* Whether it has connected, or has failed to. */
bool gw_served_connected(const struct gw_served *d);
/* Handles an interrupt. now: stops it even if its guest runs there already. */
void gw_served_stop(struct gw_served *d, bool now);
/* The guest's state at this destination: "not-started", "running", "unknown". */
const char *gw_served_guest(const struct gw_served *d);
/* Its description, as the result of a command, or (event) as a line of --json. NULL: no memory. */
json_t *gw_served_describe(const struct gw_served *d, const char *event);
/* Ends a running session. Takes NULL, returns NULL. */
struct gw_served *gw_served_free(struct gw_served *d);

#endif
