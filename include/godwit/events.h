/* SPDX-License-Identifier: MIT
 *
 * events: what a session tells the embedder while it runs.
 *
 * Threads: on threads of the library, never two at once for one session, in order. The callback must not call back into
 * the same session except for the functions marked "any thread". Programs must ignore types that they do not know.
 */
#ifndef GODWIT_EVENTS_H
#define GODWIT_EVENTS_H

#include <stdbool.h>
#include <stdint.h>

#include "godwit/error.h"

#ifdef __cplusplus
extern "C" {
#endif

/* QMP's MigrationStatus, both sides (M1). gw_status_name gives "postcopy-active" and the like. */
enum gw_status {
    GW_STATUS_NONE,
    GW_STATUS_SETUP,
    GW_STATUS_ACTIVE,
    GW_STATUS_DEVICE,
    GW_STATUS_PRE_SWITCHOVER,
    GW_STATUS_POSTCOPY_ACTIVE,
    GW_STATUS_POSTCOPY_PAUSED,
    GW_STATUS_POSTCOPY_RECOVER_SETUP,
    GW_STATUS_POSTCOPY_RECOVER,
    GW_STATUS_WAIT_UNPLUG,
    GW_STATUS_COLO,
    GW_STATUS_COMPLETED,
    GW_STATUS_FAILED,
    GW_STATUS_CANCELLING,
    GW_STATUS_CANCELLED,
    GW_STATUS_COUNT
};
GW_API const char *gw_status_name(enum gw_status status);

/* Which side may run the guest. At most one side ever does; UNDECIDED means that this side cannot know (the connection was
 * lost between the last byte and the answer): it then does not start the guest by itself. */
enum gw_owner { GW_OWNER_SOURCE, GW_OWNER_DESTINATION, GW_OWNER_UNDECIDED };

enum gw_event_type {
    GW_EVENT_STATUS, /* status changed */
    GW_EVENT_PASS,   /* source: a new pass over dirty memory; pass = dirty sync count */
    GW_EVENT_STOP,   /* the machine was stopped by the session */
    GW_EVENT_RESUME, /* the machine was started by the session */
    GW_EVENT_LOG,    /* text: a message for an operator (a connection that was not the source's was dropped, ...) */
    /* The session has ended and the vm is free for the next one; status says how. Sent once for each session that was
     * started, as its last event (only gw_recv_claim can cause more). gw_send_wait and gw_recv_wait return after it. A
     * callback may start the next session of the vm here, but must not wait for this one or free it. */
    GW_EVENT_ENDED,
};

struct gw_event {
    enum gw_event_type type;
    uint64_t at_ns;          /* gw_clock time */
    enum gw_status status;   /* STATUS, ENDED */
    uint64_t pass;           /* PASS */
    const char *text;        /* LOG; valid during the call */
    bool refused;            /* LOG: the text says why a source that had begun its stream was refused. Always show it to the
                              * operator: unlike a stray connection, this is a migration that failed */
};

typedef void (*gw_event_fn)(void *opaque, const struct gw_event *event);

#ifdef __cplusplus
}
#endif
#endif
