/* SPDX-License-Identifier: MIT
 *
 * phase: the state machines of both sides, as one table (docs/phases.md is printed from it).
 *
 *     source       CONNECT -> SETUP -> ACTIVE -> STOPPED -> [PAUSED] -> DEVICE -> OFFERED -> HANDED -> SENT
 *                     \________\________\_________\___________\___________\_________\-> SEND_FAILED, CANCELLING ->
 * CANCELLED
 *                                                                                   \-> SEND_UNDECIDED
 *     destination  LISTEN -> LOADING -> LOADED -> [ASKED] -> COMMITTED -> ARRIVED
 *                     \_________\_________\-> RECV_FAILED   \-> RECV_UNDECIDED -> ARRIVED (claimed)
 *
 * 1. The owner column says who may run the guest. It never goes back from DESTINATION to SOURCE except on the
 *    destination's own word that it cannot run (SHUT with an error).
 * 2. The source stops the guest before STOPPED and may start it again only in a phase that the source owns.
 * 3. The destination starts the guest only in COMMITTED, or when it is claimed.
 * 4. OFFERED: the last byte of the state may have left. Between two godwits the source still owns the guest and gives
 * it away by COMMIT (HANDED). With a plain peer that column cannot be had: the answer decides, and without an answer
 * the ending is UNDECIDED: neither resumed nor called a success.
 */
#ifndef GW_ENGINE_PHASE_H
#define GW_ENGINE_PHASE_H

#include <stdbool.h>

#include "godwit/events.h"

/* F(NAME, status, owner, may be cancelled, successors) */
#define GW_PHASES(F)                                                                                                   \
    F(IDLE, NONE, SOURCE, false, B(CONNECT) | B(LISTEN))                                                               \
    /* source */                                                                                                       \
    F(CONNECT, SETUP, SOURCE, true, B(SETUP) | B(SEND_FAILED) | B(CANCELLING))                                         \
    F(SETUP, SETUP, SOURCE, true, B(ACTIVE) | B(SEND_FAILED) | B(CANCELLING))                                          \
    F(ACTIVE, ACTIVE, SOURCE, true, B(STOPPED) | B(SEND_FAILED) | B(CANCELLING))                                       \
    F(STOPPED, ACTIVE, SOURCE, true, B(PAUSED) | B(DEVICE) | B(SEND_FAILED) | B(CANCELLING))                           \
    F(PAUSED, PRE_SWITCHOVER, SOURCE, true, B(DEVICE) | B(SEND_FAILED) | B(CANCELLING))                                \
    F(DEVICE, DEVICE, SOURCE, true, B(OFFERED) | B(OFFERED_PLAIN) | B(SEND_FAILED) | B(CANCELLING))                    \
    F(OFFERED, DEVICE, SOURCE, true, B(HANDED) | B(SEND_FAILED) | B(CANCELLING))                                       \
    F(OFFERED_PLAIN, DEVICE, UNDECIDED, false, B(SENT) | B(SEND_FAILED) | B(SEND_UNDECIDED))                           \
    F(HANDED, DEVICE, DESTINATION, false, B(SENT) | B(SEND_FAILED) | B(SEND_GONE))                                     \
    F(SENT, COMPLETED, DESTINATION, false, 0)                                                                          \
    F(SEND_FAILED, FAILED, SOURCE, false, 0)                                                                           \
    F(SEND_UNDECIDED, FAILED, UNDECIDED, false, 0)                                                                     \
    F(SEND_GONE, FAILED, DESTINATION, false, 0)                                                                        \
    F(CANCELLING, CANCELLING, SOURCE, false, B(CANCELLED))                                                             \
    F(CANCELLED, CANCELLED, SOURCE, false, 0)                                                                          \
    /* destination */                                                                                                  \
    F(LISTEN, SETUP, SOURCE, true, B(LOADING) | B(RECV_FAILED) | B(RECV_CANCELLED))                                    \
    F(LOADING, ACTIVE, SOURCE, true, B(LISTEN) | B(LOADED) | B(RECV_FAILED) | B(RECV_CANCELLED))                       \
    F(LOADED, ACTIVE, SOURCE, true, B(ASKED) | B(COMMITTED) | B(RECV_FAILED) | B(RECV_CANCELLED))                      \
    F(ASKED, ACTIVE, UNDECIDED, false, B(COMMITTED) | B(RECV_FAILED) | B(RECV_UNDECIDED))                              \
    F(COMMITTED, ACTIVE, DESTINATION, false, B(ARRIVED) | B(RECV_FAILED) | B(RECV_UNDECIDED))                          \
    F(ARRIVED, COMPLETED, DESTINATION, false, 0)                                                                       \
    F(RECV_FAILED, FAILED, SOURCE, false, 0)                                                                           \
    F(RECV_UNDECIDED, FAILED, UNDECIDED, false, B(ARRIVED))                                                            \
    F(RECV_CANCELLED, CANCELLED, SOURCE, false, 0)

enum gw_phase {
#define F(name, ...) GW_PHASE_##name,
    GW_PHASES(F)
#undef F
        GW_PHASE_COUNT
};

struct gw_phase_row {
    const char *name;
    enum gw_status status;
    enum gw_owner owner;
    bool cancel;
    uint32_t next; /* bit p: phase p may follow */
};

const struct gw_phase_row *gw_phase_row(enum gw_phase p);
static inline bool gw_phase_may_follow(enum gw_phase from, enum gw_phase to)
{
    return gw_phase_row(from)->next >> to & 1;
}

#endif
