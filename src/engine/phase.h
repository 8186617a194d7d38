/* SPDX-License-Identifier: MIT
 *
 * phase: the state machines of both sides, as one table (docs/phases.md is printed from it).
 *
 *     source       CONNECT -> SETUP -> ACTIVE -> STOPPED -> [PAUSED] -> DEVICE -> OFFERED -> HANDED -> SENT
 *                     \________\________\_________\___________\___________\_________\-> SEND_FAILED,
 *                                                                                        CANCELLING -> CANCELLED
 *                                                                                   \-> SEND_UNDECIDED
 *                  background snapshot: ACTIVE -> SAVED, and the source runs on
 *                  postcopy:                        DEVICE -> OFFERED_POSTCOPY -> POSTCOPY -> SENT
 *                  a lost connection: POSTCOPY -> SEND_PAUSED, and another session goes on:
 *                                     RECONNECT -> RECOVER -> POSTCOPY -> SENT
 *                                        \___________\-> SEND_PAUSED, or SEND_UNDECIDED as before
 *     destination  LISTEN -> LOADING -> LOADED -> [ASKED] -> COMMITTED -> ARRIVED
 *                     \_________\_________\-> RECV_FAILED   \-> RECV_UNDECIDED -> ARRIVED (claimed)
 *                  postcopy: LOADING -> FOLLOWED -> ARRIVED
 *                                          \-> RECV_PAUSED -> RECV_RECOVER -> FOLLOWED
 *                                                  \-> RECV_LACKING
 *                  the rest of a machine that came in part: RECV_PAUSED -> ...
 *
 * 1. The owner column says who may run the guest. It never goes back from DESTINATION to SOURCE except on the
 *    destination's own word that it cannot run (SHUT with an error).
 * 2. The source stops the guest before STOPPED and may start it again only in a phase that the source owns.
 * 3. The destination starts the guest only in COMMITTED, or when it is claimed.
 * 4. OFFERED: the last byte of the state may have left. Between two godwits the source still owns the guest and gives
 * it away by COMMIT (HANDED). With a plain peer the owner is not known: the answer decides, and without an answer the
 * session ends UNDECIDED: the guest is not resumed, and it is no success.
 * 5. OFFERED_POSTCOPY: the last byte of the package may have left. POSTCOPY: the destination has said that it loaded
 * the package: the guest runs there. SEND_PAUSED: the destination lacks pages, and only this machine has them: it
 * neither runs nor changes. RECONNECT and RECOVER: the same, continued from an earlier session; if that ended
 * undecided, this one is undecided too until the destination has acknowledged. FOLLOWED: the destination's side of
 * POSTCOPY; it begins before the destination says that it loaded the package, and until then the destination may still
 * report that it failed. RECV_PAUSED: the connection is lost, the machine has the pages that came. RECV_LACKING: no
 * more pages are waited for. If the source could not be told that the package was loaded, it may have taken the machine
 * back: the machine does not start here before a source resumes.
 */
#ifndef GW_ENGINE_PHASE_H
#define GW_ENGINE_PHASE_H

#include <stdbool.h>
#include <stdint.h>

#include "godwit/events.h"

/* F(NAME, side, status, owner, may be cancelled, final, successors). A final phase ends the session; some of them have
 * a successor, which gw_recv_claim enters. */
#define GW_PHASES(F)                                                                                                   \
    F(IDLE, NONE, NONE, SOURCE, false, false, B(CONNECT) | B(RECONNECT) | B(LISTEN) | B(RECV_PAUSED))                                   \
    F(CONNECT, SOURCE, SETUP, SOURCE, true, false, B(SETUP) | B(SEND_FAILED) | B(CANCELLING))                          \
    F(SETUP, SOURCE, SETUP, SOURCE, true, false, B(ACTIVE) | B(SEND_FAILED) | B(CANCELLING))                           \
    F(ACTIVE, SOURCE, ACTIVE, SOURCE, true, false, B(STOPPED) | B(SAVED) | B(SEND_FAILED) | B(CANCELLING))             \
    F(STOPPED, SOURCE, ACTIVE, SOURCE, true, false, B(PAUSED) | B(DEVICE) | B(SEND_FAILED) | B(CANCELLING))            \
    F(PAUSED, SOURCE, PRE_SWITCHOVER, SOURCE, true, false, B(DEVICE) | B(SEND_FAILED) | B(CANCELLING))                 \
    F(DEVICE, SOURCE, DEVICE, SOURCE, true, false,                                                                     \
      B(OFFERED) | B(OFFERED_PLAIN) | B(OFFERED_POSTCOPY) | B(SEND_FAILED) | B(CANCELLING))                            \
    F(OFFERED, SOURCE, DEVICE, SOURCE, true, false, B(HANDED) | B(SEND_FAILED) | B(CANCELLING))                        \
    F(OFFERED_PLAIN, SOURCE, DEVICE, UNDECIDED, false, false, B(SENT) | B(SEND_FAILED) | B(SEND_UNDECIDED))            \
    F(OFFERED_POSTCOPY, SOURCE, DEVICE, UNDECIDED, false, false, B(POSTCOPY) | B(SEND_FAILED) | B(SEND_UNDECIDED))     \
    F(POSTCOPY, SOURCE, POSTCOPY_ACTIVE, DESTINATION, false, false, B(SENT) | B(SEND_PAUSED) | B(SEND_GONE))           \
    F(RECONNECT, SOURCE, POSTCOPY_RECOVER_SETUP, DESTINATION, false, false,                                            \
      B(RECOVER) | B(SEND_PAUSED) | B(SEND_UNDECIDED))                                                                 \
    F(RECOVER, SOURCE, POSTCOPY_RECOVER, DESTINATION, false, false,                                                    \
      B(POSTCOPY) | B(SEND_PAUSED) | B(SEND_UNDECIDED) | B(SEND_GONE))                                                 \
    F(HANDED, SOURCE, DEVICE, DESTINATION, false, false, B(SENT) | B(SEND_FAILED) | B(SEND_GONE))                      \
    F(SENT, SOURCE, COMPLETED, DESTINATION, false, true, 0)                                                            \
    F(SAVED, SOURCE, COMPLETED, SOURCE, false, true, 0)                                                                \
    F(SEND_FAILED, SOURCE, FAILED, SOURCE, false, true, 0)                                                             \
    F(SEND_UNDECIDED, SOURCE, FAILED, UNDECIDED, false, true, 0)                                                       \
    F(SEND_PAUSED, SOURCE, POSTCOPY_PAUSED, DESTINATION, false, true, 0)                                               \
    F(SEND_GONE, SOURCE, FAILED, DESTINATION, false, true, 0)                                                          \
    F(CANCELLING, SOURCE, CANCELLING, SOURCE, false, false, B(CANCELLED))                                              \
    F(CANCELLED, SOURCE, CANCELLED, SOURCE, false, true, 0)                                                            \
    F(LISTEN, DESTINATION, SETUP, SOURCE, true, false, B(LOADING) | B(RECV_FAILED) | B(RECV_CANCELLED))                \
    F(LOADING, DESTINATION, ACTIVE, SOURCE, true, false, B(LISTEN) | B(LOADED) | B(FOLLOWED) | B(RECV_FAILED) | B(RECV_CANCELLED)) \
    F(FOLLOWED, DESTINATION, POSTCOPY_ACTIVE, DESTINATION, false, false,                                               \
      B(ARRIVED) | B(RECV_PAUSED) | B(RECV_LACKING) | B(RECV_FAILED))                                                  \
    F(RECV_PAUSED, DESTINATION, POSTCOPY_PAUSED, DESTINATION, false, false, B(RECV_RECOVER) | B(RECV_LACKING))         \
    F(RECV_RECOVER, DESTINATION, POSTCOPY_RECOVER, DESTINATION, false, false,                                          \
      B(FOLLOWED) | B(RECV_PAUSED) | B(RECV_LACKING))                                                                  \
    F(RECV_LACKING, DESTINATION, FAILED, DESTINATION, false, true, 0)                                                  \
    F(LOADED, DESTINATION, ACTIVE, SOURCE, true, false, B(ASKED) | B(COMMITTED) | B(RECV_FAILED) | B(RECV_CANCELLED))  \
    F(ASKED, DESTINATION, ACTIVE, UNDECIDED, false, false, B(COMMITTED) | B(RECV_FAILED) | B(RECV_UNDECIDED))          \
    F(COMMITTED, DESTINATION, ACTIVE, DESTINATION, false, false, B(ARRIVED) | B(RECV_FAILED) | B(RECV_UNDECIDED))      \
    F(ARRIVED, DESTINATION, COMPLETED, DESTINATION, false, true, 0)                                                    \
    F(RECV_FAILED, DESTINATION, FAILED, SOURCE, false, true, 0)                                                        \
    F(RECV_UNDECIDED, DESTINATION, FAILED, UNDECIDED, false, true, B(ARRIVED))                                         \
    F(RECV_CANCELLED, DESTINATION, CANCELLED, SOURCE, false, true, 0)

enum gw_phase {
#define F(name, ...) GW_PHASE_##name,
    GW_PHASES(F)
#undef F
        GW_PHASE_COUNT
};

/* A phase number is only the number of a bit in this word: the order has no meaning. */
_Static_assert(GW_PHASE_COUNT <= 64, "successors are bits of a uint64_t");

enum gw_side { GW_SIDE_NONE, GW_SIDE_SOURCE, GW_SIDE_DESTINATION };

struct gw_phase_row {
    const char *name;
    enum gw_side side;
    enum gw_status status;
    enum gw_owner owner;
    bool cancel;
    bool final;
    uint64_t next; /* bit p: phase p may follow */
};

const struct gw_phase_row *gw_phase_row(enum gw_phase p);
static inline bool gw_phase_may_follow(enum gw_phase from, enum gw_phase to)
{
    return gw_phase_row(from)->next >> to & 1u;
}

#endif
