/* SPDX-License-Identifier: MIT
 *
 * pair: one migration between two sims that may go wrong anywhere, and what must hold however it ends:
 *
 *   1. both sessions end;
 *   2. the two machines never run at the same time;
 *   3. exactly one side can run at the end: the source runs, or the destination runs, or the destination holds a whole
 *      machine that the source reports as given away, and which runs when it is claimed;
 *   4. the one that runs has exactly the memory and the device state that its writes produce;
 *   5. a source that may not own its machine any more refuses to send it again;
 *   6. when a failure is reported, the reason can be read at that moment.
 */
#ifndef PAIR_H
#define PAIR_H

#include <stdatomic.h>

#include "sim.h"

#define PAIR_URGENT 8u

struct pair {
    uint64_t mib;
    const struct gw_clock *clock; /* the source's; NULL: the real one */
    uint64_t words_per_ms;
    const char *peer;           /* NULL: godwit */
    uint64_t timeout_ms;        /* progress timeout of both sides; 0: none */
    /* These three run on the test's thread and may assert. */
    /* Puts filters around the channels, arms counters ... just before the sessions start; may be NULL. */
    void (*before)(struct pair *p, struct gw_channel **source, struct gw_channel **destination);
    /* Called about every 0.1 ms while the sessions run; may be NULL. It may write the guest's memory only through
     * sim_act. */
    void (*during)(struct pair *p, struct gw_send *send, struct gw_recv *recv);
    void (*after)(struct pair *p); /* the sessions have ended or could not start; disarm */
    void *opaque;
    /* The environment's SIM_COMPRESS, on or nowait, turns compression on in every migration. */
    /* Channels for pages alone, each with its own lane on either side; 0: the number in SIM_LANES of the environment,
     * else none. */
    unsigned lanes;
    bool zerocopy; /* over TCP, and bodies are not copied */
    bool urgent;   /* a channel for urgent pages, number PAIR_URGENT for `lane` (capability postcopy-preempt) */
    /* Puts a filter around one end of such a channel; may be NULL. On the test's thread. */
    void (*lane)(struct pair *p, bool source, unsigned i, struct gw_channel **channel);

    /* results: */
    struct sim *from, *to; /* freed at the end of pair_run */
    enum gw_owner source_says, destination_says;
    bool send_started, recv_started;
    struct gw_error send_error, recv_error;
    struct gw_stats stats;
    char log[256]; /* the last text that the source logged */
    bool claimed;
    int source_starts;
    unsigned throttle, throttle_most;
    uint64_t dirty_limit, dirty_limit_least;
};

/* Asserts all of the above (cmocka). The machines and sessions are on the list of the test (owned.h): when an assertion
 * fails, here or in one of the functions above, the teardown ends them. Sessions without progress for a long time are
 * reported as stuck and fail the test. */
void pair_run(struct pair *p);
/* The same, and checks that the source reports the machine as owned by this side. */
void pair_expect(struct pair *p, enum gw_owner owner);

/* A switch to postcopy after this many passes of precopy: `before` and `during` of such a pair call these. */
struct pair_switch {
    unsigned passes;
    bool asked; /* the source has begun to switch */
};

/* Turns the capability on, and lets the guest write so much that there are as many passes as needed. */
void pair_switch_before(struct pair *p);
/* Switches when it is time. Gets the source's figures; false: one of the sessions did not start. */
bool pair_switch_during(struct pair_switch *w, struct gw_send *send, struct gw_recv *recv, struct gw_stats *ret);

#endif
