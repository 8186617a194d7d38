/* SPDX-License-Identifier: MIT
 *
 * send: the source's session, split along its phases: send.c (API, life), setup.c (connect, head, set-up),
 * iterate.c (rounds), switchover.c (stop, last data, answer). This is what they share.
 */
#ifndef GW_ENGINE_SEND_H
#define GW_ENGINE_SEND_H

#include "channel/pace.h"
#include "channel/writer.h"
#include "engine/history.h"
#include "engine/plan.h"
#include "engine/rp.h"
#include "engine/session.h"
#include "godwit/send.h"
#include "policy/period.h"
#include "policy/predict.h"
#include "policy/record.h"
#include "policy/switchover.h"
#include "policy/throttle.h"
#include "policy/window.h"
#include "wire/grammar.h"
#include "wire/profile.h"

struct gw_send {
    struct gw_session session;
    const struct gw_wire_profile *profile;
    struct gw_uri uri;
    bool has_uri;
    uint64_t timeout_ns;
    struct gw_channel *channel;
    struct gw_writer writer;
    bool writing; /* the writer was made */
    struct gw_account account; /* of all writers */
    uint64_t pings;      /* sent */
    bool ping_queued;    /* the last one waits for the flush */
    uint64_t out_before; /* bytes that the channel had carried before the first one of ours */
    enum gw_grammar grammar;
    struct gw_rp rp;
    struct gw_plan plan;
    struct gw_vmdesc *desc;

    bool was_running; /* before we stopped it */
    bool stopped;     /* by us */
    bool go_on;       /* migrate-continue came. Under session.lock */
    bool confirmed;   /* the destination said that it has the machine, or what took it stores it. Before the phase is SENT */

    /* measurements */
    uint64_t started_ns, active_ns, stop_ns; /* instants */
    uint64_t setup_offset;                   /* stream offset when that was over */
    uint64_t ram_bytes;                      /* in the statistics, by the machine's run state */
    struct gw_period dirtied;                /* pages */
    struct gw_pace pace;                     /* max-bandwidth */
    struct gw_window window;
    struct gw_switchover switchover;
    struct gw_switch_costs costs;
    struct gw_throttle throttle;
    struct gw_round round;
    uint64_t round_began_ns, round_offset;
    struct gw_progress round_progress; /* when it began */
    uint64_t syncs;                    /* rounds begun. Written under session.lock */
    uint64_t last_dirty_bytes; /* found by the last sync */
    uint64_t limited_ns;       /* ops->limited_ns at the end of the last round */
    uint64_t set_bytes;        /* the most that a sync after the first pass found */
    uint64_t ping_ns, rtt_ns; /* when the last PING went; the shortest time that an answer took, 0: unknown */
    struct gw_bandwidth bandwidth;
    struct gw_history_keeper history;            /* written under session.lock */
    uint64_t lap_ns;                             /* until when the downtime is told by cause */
    uint64_t downtime_by[GW_DOWNTIME_COUNT];
};

/* Elements: grammar-checked, accounted. */
void gw_send_command(struct gw_send *s, uint16_t command, const void *payload, uint16_t bytes);
void gw_send_ping(struct gw_send *s, uint32_t value);
void gw_send_section(struct gw_send *s, enum gw_section_kind kind, const struct gw_live *l);
void gw_send_footer(struct gw_send *s, const struct gw_live *l);
int gw_send_devices(struct gw_send *s, enum gw_devices_place place, struct gw_error *err);
int gw_send_flush(struct gw_send *s, struct gw_error *err);

int gw_send_setup(struct gw_send *s, struct gw_error *err);
int gw_send_iterate(struct gw_send *s, struct gw_error *err);
/* Everything after the decision; handles the change of owner. On failure the phase tells who owns the guest. */
int gw_send_switchover(struct gw_send *s, struct gw_error *err);

/* Puts fresh figures into session.stats. */
void gw_send_publish(struct gw_send *s);
/* The machine stood for this since the last call. */
void gw_send_lap(struct gw_send *s, enum gw_downtime cause);
/* A round begins: an exact pending over all sections, between the embedder's notifiers. last: the machine stands, and no
 * change that is told later will be sent. *ret_bytes: what is due now. */
int gw_send_sync(struct gw_send *s, bool last, uint64_t *ret_bytes, struct gw_error *err);
/* The last round is over: all of it was sent. */
void gw_send_last_round(struct gw_send *s);
/* The same for what is due from the start: the first round. Errors of notifiers around a sync are only told. */
int gw_send_first_round(struct gw_send *s, struct gw_error *err);
/* The error that the return path ended with, or 0. */
int gw_send_check(struct gw_send *s, struct gw_error *err);
/* Sleeps, woken by cancel and by the end of the return path. */
void gw_send_sleep(struct gw_send *s, uint64_t ns);

#endif
