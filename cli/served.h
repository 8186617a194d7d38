/* SPDX-License-Identifier: MIT
 *
 * served: one destination of `godwit serve`: a view of the file, its machine, and its session.
 *
 * Threads: functions are called with the lock of the serve that owns it; `runs_ns` is stamped by the session's thread.
 */
#ifndef GODWIT_CLI_SERVED_H
#define GODWIT_CLI_SERVED_H

#include <jansson.h>
#include <stdatomic.h>

#include "transfer.h"
#include "working.h"

/* What all destinations have in common; stays while there are any. */
struct gw_served_by {
    struct gw_transfer *transfer; /* settings, and who is woken */
    struct gw_working *working;
    struct gw_shared *shared;
    const char *peer;
};

struct gw_served {
    const struct gw_served_by *by;
    unsigned id;
    char *uri;
    bool resume;
    bool preempt;             /* another connection is made when the guest has been handed over */
    struct gw_working_set *recorded; /* NULL: nothing is */
    uint64_t began_ns, ended_ns;
    _Atomic uint64_t runs_ns; /* the destination had said that its guest runs; 0: not yet */
    struct gw_image *view;    /* NULL once it has ended, as the session is */
    struct gw_send *send;
    bool ended, resumable; /* resumable: it runs there, and lacks pages */
    bool told;             /* that it runs */
    enum gw_status status;
    enum gw_owner owner;
    struct gw_stats stats;
    struct gw_error error; /* code 0: it has all of it */
};

/* Begins. On failure nothing is left. */
int gw_served_start(const struct gw_served_by *by, unsigned id, const char *uri, bool resume, struct gw_served **ret,
                    uint64_t *ret_dropped, struct gw_error *err);
/* Takes in what it has come to; true: it has just ended. */
bool gw_served_look(struct gw_served *d);
/* It has connected, or has failed to. */
bool gw_served_connected(const struct gw_served *d);
/* An interrupt. now: also one whose guest runs there already. */
void gw_served_stop(struct gw_served *d, bool now);
/* "not-started", "running", "unknown": the guest at this destination. */
const char *gw_served_guest(const struct gw_served *d);
/* All of it, as the result of a command, or (event) as a line of --json. NULL: no memory. */
json_t *gw_served_describe(const struct gw_served *d, const char *event);
/* Ends what still runs. Takes NULL, returns NULL. */
struct gw_served *gw_served_free(struct gw_served *d);

#endif
