/* SPDX-License-Identifier: MIT
 *
 * send: the source's session, split along its phases: send.c (API, life), figures.c (statistics), setup.c (connect, head, set-up),
 * iterate.c (rounds), tend.c (convergence that is tended), switchover.c (stop, last data, answer); snapshot.c instead of the
 * last two; postcopy.c and resume.c. This is what they share.
 */
#ifndef GW_ENGINE_SEND_H
#define GW_ENGINE_SEND_H

#include "channel/pace.h"
#include "channel/writer.h"
#include "engine/earlier.h"
#include "engine/history.h"
#include "engine/plan.h"
#include "engine/rp.h"
#include "engine/session.h"
#include "godwit/send.h"
#include "policy/period.h"
#include "policy/predict.h"
#include "policy/record.h"
#include "policy/switchover.h"
#include "policy/tend.h"
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
    struct gw_channel *urgent;    /* of pages that are asked for; NULL: there is none, yet */
    bool preempt_first;           /* it comes right behind the main one */
    struct gw_error urgent_error; /* why it failed. Under session.lock */
    struct gw_vmdesc *desc;

    bool stays;       /* the machine stands, is saved, and remains here (save.c) */
    bool was_running; /* before we stopped it */
    bool stopped;     /* by us */
    bool go_on;       /* migrate-continue came. Under session.lock */
    bool resume;         /* the machine runs there already, and lacks pages */
    bool undecided;      /* with resume: that is not known until the destination has acknowledged */
    bool postcopy_asked; /* the switch to postcopy is wanted. Under session.lock */
    bool postcopy;       /* the machine goes that way */
    bool followed;    /* and has gone: its pages follow */
    uint32_t mark, marks; /* of memory that is given back: the PING that is under way, 0: none is; how many there were */
    bool gave;            /* what was not due at the switch went */
    bool confirmed;   /* the destination said that it has the machine, or what took it stores it. Before the phase is SENT */

    /* measurements */
    uint64_t started_ns, active_ns, stop_ns; /* instants */
    uint64_t began_ns; /* the migration did: with resume, an earlier session */
    const struct gw_earlier *earlier; /* what those counted; NULL: there were none */
    uint64_t setup_offset;                   /* stream offset when that was over */
    uint64_t ram_bytes;                      /* in the statistics, by the machine's run state */
    struct gw_period dirtied;                /* pages */
    struct gw_pace pace;                     /* max-bandwidth */
    struct gw_window window;
    struct gw_switchover switchover;
    struct gw_switch_costs costs;
    struct gw_throttle throttle;
    struct gw_tend tend;  /* x-godwit-tended-convergence */
    bool tended_throttle; /* it says that the guest is to be slowed down */
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
/* Instead of both: saves the machine as it is now, and lets it run on. On failure too, unless settle has to start it. */
int gw_send_snapshot(struct gw_send *s, struct gw_error *err);
/* Instead of both, of one that stays (save.c). */
int gw_send_save(struct gw_send *s, struct gw_error *err);
/* Everything after the decision; handles the change of owner. On failure the phase tells who owns the guest. */
int gw_send_switchover(struct gw_send *s, struct gw_error *err);

/* A PART of each live section, about limit_bytes in all, and a flush. *ret_dry: nothing is left in any. Feeds the window. */
int gw_send_parts(struct gw_send *s, uint64_t limit_bytes, uint64_t *ret_bytes, bool *ret_dry, struct gw_error *err);
/* How much a step may put, for the rate of now, which the pace gets. */
uint64_t gw_send_share(struct gw_send *s);
/* Steps until nothing is left, with a look at a cancel before each. step_bytes 0: what the rate limit allows. rest is called after each
 * step with what it put, and may go on itself; NULL: not. */
int gw_send_all(struct gw_send *s, uint64_t step_bytes,
                int (*rest)(struct gw_send *s, uint64_t put_bytes, bool *ret_dry, struct gw_error *err), struct gw_error *err);
/* EOF and the description, the last bytes of a stream. */
int gw_send_end(struct gw_send *s, const char *text, size_t bytes, struct gw_error *err);
/* Its parts, which postcopy has too. */
/* Whether the machine changes hands in two steps must be known on both sides: the destination knows as soon as it is
 * asked, so the answer has to be here before the last byte is sent. */
int gw_send_know_peer(struct gw_send *s, bool *ret_two_steps, struct gw_error *err);
/* The machine stops, and waits for migrate-continue where that is asked for; then its last state is due (phase DEVICE). */
int gw_send_stand(struct gw_send *s, bool *ret_two_steps, struct gw_error *err);
/* END of a section, with all that is left of it. */
int gw_send_complete(struct gw_send *s, struct gw_live *live, struct gw_error *err);
/* The last sync, and the end of all live sections; with postcopy those that can follow do not end yet. */
int gw_send_last_parts(struct gw_send *s, bool postcopy, struct gw_error *err);
/* Ends so, with what is to be done then. Returns the error's code. */
int gw_send_undecided(struct gw_send *s, struct gw_error *err);
/* The destination is known and has acknowledged, where it is to. */
bool gw_send_may_switch(struct gw_send *s);
/* Waits for the next thing the destination says after the last byte. */
enum gw_answer { GW_ANSWER_LOADED, GW_ANSWER_GOOD, GW_ANSWER_BAD, GW_ANSWER_CLOSED, GW_ANSWER_LOST };
enum gw_answer gw_send_wait_answer(struct gw_send *s, bool for_loaded, struct gw_error *err);
/* heard: the destination itself has said that it has the machine. */
int gw_send_sent(struct gw_send *s, bool confirmed, bool heard);

/* postcopy.c: the machine goes on there before all of its pages have come. */
/* In set-up: tells that it may come to this. */
void gw_send_advise(struct gw_send *s);
/* 1: it was asked for, and nothing stands against it. Waits for the peer's first answer when it was. */
int gw_send_postcopy_due(struct gw_send *s, struct gw_error *err);
/* Pages on other channels are there before what is put from now on is read. */
int gw_send_meet(struct gw_send *s, struct gw_error *err);
/* In place of gw_send_switchover. */
int gw_send_postcopy(struct gw_send *s, struct gw_error *err);
/* What it lacks follows, to the end. */
int gw_send_follow(struct gw_send *s, struct gw_error *err);
/* It runs there and the connection is lost: ends in SEND_PAUSED, or SEND_GONE where the destination itself has failed. Returns
 * the error's code. */
int gw_send_paused(struct gw_send *s, struct gw_error *err);
/* resume.c: all of a session that goes on where one by postcopy broke off. */
int gw_send_resume(struct gw_send *s, struct gw_error *err);
/* giveback.c: memory that the destination has (release-ram); else these do nothing. */
/* Pages are due as the destination will know them. */
int gw_send_giveback_begin(struct gw_send *s, struct gw_error *err);
/* Between two steps, once the machine runs there. */
int gw_send_giveback(struct gw_send *s, struct gw_error *err);
/* It has all of it. */
void gw_send_giveback_end(struct gw_send *s);
/* preempt.c: the channel of urgent pages, where there is one; else these do nothing. */
/* Dials it, if its time is: first: right behind the main channel; else before the switch. */
int gw_preempt_open(struct gw_send *s, bool first, struct gw_error *err);
/* Requests may come, and are served by it. */
int gw_preempt_begin(struct gw_send *s, struct gw_error *err);
/* While pages are lacking there: -EPIPE when the destination has closed it, or it was lost. */
int gw_preempt_alive(struct gw_send *s, struct gw_error *err);
/* Behind gw_requests_finish: all that was asked for is on its way. */
int gw_preempt_finish(struct gw_send *s, struct gw_error *err);
/* The last byte of the main stream is on its way. */
int gw_preempt_put_end(struct gw_send *s, struct gw_error *err);
/* Requests are closed. */
void gw_preempt_end(struct gw_send *s);
/* send.c: a session that saves a machine which stands and remains here, whoever has it (gw_vm_hold). The options hold for this session
 * alone. on_event: no STOP or RESUME comes. */
struct gw_send_stay {
    struct gw_channel *take_channel; /* in any case */
    const struct gw_options *options;
    bool ran; /* what the stream says of its run state */
    gw_event_fn on_event;
    void *opaque;
};
int gw_send_stay(struct gw_vm *vm, const struct gw_send_stay *how, struct gw_send **ret_send, struct gw_error *err);
/* setup.c */
int gw_send_connect(struct gw_send *s, struct gw_error *err);
int gw_send_begin_writing(struct gw_send *s, struct gw_error *err);

/* figures.c. */
/* Puts fresh figures into session.stats. */
void gw_send_publish(struct gw_send *s);
/* The machine stood for this since the last call. */
void gw_send_lap(struct gw_send *s, enum gw_downtime cause);
/* The same, and it is over: statistics have it. */
void gw_send_downtime(struct gw_send *s, enum gw_downtime cause);
/* A round begins: an exact pending over all sections, between the embedder's notifiers. last: the machine stands, and no
 * change that is told later will be sent. *ret_bytes: what is due now. */
int gw_send_sync(struct gw_send *s, bool last, uint64_t *ret_bytes, struct gw_error *err);
/* The last round is over: all of it was sent. */
void gw_send_last_round(struct gw_send *s);
/* The same for what is due from the start: the first round. Errors of notifiers around a sync are only told. */
int gw_send_first_round(struct gw_send *s, struct gw_error *err);
/* A section sends for the first time what those behind it wait for: until then there is no switch-over by postcopy, and the
 * guest is not slowed down. */
bool gw_send_in_bulk(const struct gw_send *s);
/* tend.c: the downtime limit that holds now, ns; what throttling goes by; after an exact question whose answer was to go on. */
uint64_t gw_send_limit(const struct gw_send *s);
struct gw_throttle_params gw_send_throttle(const struct gw_send *s);
void gw_send_tend(struct gw_send *s, const struct gw_switch_in *asked, const struct gw_switch_out *decided);
/* Waits until this is true of what the destination has said; else the session's error, or -ETIMEDOUT "the destination (missing)".
 * came is called under session.lock. */
int gw_send_await(struct gw_send *s, bool (*came)(const struct gw_rp *rp), const char *missing, struct gw_error *err);
/* A destination that fails reports it and closes its channels. When a write finds them closed, the report may still have to
 * be read, and it is the better reason. So is whatever ended the return path when a page channel was shut down for it. */
void gw_send_prefer_report(struct gw_send *s, struct gw_error *err);
/* The error that the return path ended with, or 0. */
int gw_send_check(struct gw_send *s, struct gw_error *err);
/* Sleeps, woken by cancel and by the end of the return path. */
void gw_send_sleep(struct gw_send *s, uint64_t ns);

#endif
