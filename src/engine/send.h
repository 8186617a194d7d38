/* SPDX-License-Identifier: MIT
 *
 * send: the source's session, split along its phases: send.c (API, life), figures.c (statistics), setup.c (connect, head, set-up),
 * iterate.c (rounds), tend.c (tended convergence), switchover.c (stop, last data, answer); snapshot.c instead of the
 * last two; postcopy.c and resume.c. They share this header.
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
    bool writing; /* `writer` was created */
    struct gw_account account; /* bytes of all writers */
    uint64_t pings;      /* PINGs sent */
    bool ping_queued;    /* the last PING is not flushed yet */
    uint64_t out_before; /* bytes that the channel had carried before the session began */
    enum gw_grammar grammar;
    struct gw_rp rp;
    struct gw_plan plan;
    struct gw_channel *urgent;    /* for requested pages; NULL: there is none, or not yet */
    bool preempt_first;           /* it is dialled directly after the main one */
    struct gw_error urgent_error; /* why the urgent channel failed. Under session.lock */
    struct gw_vmdesc *desc;

    bool stays;       /* the machine is stopped, is saved, and remains here (save.c) */
    bool was_running; /* the machine ran before the session stopped it */
    bool stopped;     /* the session has stopped the machine */
    bool go_on;       /* migrate-continue came. Under session.lock */
    bool resume;         /* the machine already runs at the destination, and lacks pages */
    /* with resume: that the machine runs there is not certain until the destination has acknowledged */
    bool undecided;
    bool postcopy_asked; /* the switch to postcopy is wanted. Under session.lock */
    bool postcopy;       /* the machine changes hands by postcopy */
    bool followed;    /* the machine has changed hands by postcopy: its pages follow */
    /* memory that is given back. mark: the PING that is not answered yet, 0: none; marks: PINGs so far */
    uint32_t mark, marks;
    bool gave;            /* the memory that was not due at the switch was given back */
    /* the destination has said that it has the machine, or the file or command has taken it. Set before the phase is
     * SENT */
    bool confirmed;

    /* measurements */
    uint64_t started_ns, active_ns, stop_ns; /* instants */
    uint64_t began_ns; /* start of the migration; with resume, that of the first session */
    const struct gw_earlier *earlier; /* statistics of the earlier sessions; NULL: there were none */
    uint64_t setup_offset;                   /* offset in the stream at the end of the set-up */
    uint64_t ram_bytes;                      /* RAM bytes in the statistics, by the run state of the machine */
    struct gw_period dirtied;                /* pages */
    struct gw_pace pace;                     /* max-bandwidth */
    struct gw_window window;
    struct gw_switchover switchover;
    struct gw_switch_costs costs;
    struct gw_throttle throttle;
    struct gw_tend tend;  /* x-godwit-tended-convergence */
    bool tended_throttle; /* tended convergence says that the guest is to be slowed down */
    struct gw_round round;
    uint64_t round_began_ns, round_offset;
    struct gw_progress round_progress; /* at the beginning of the round */
    uint64_t syncs;                    /* rounds begun. Written under session.lock */
    uint64_t last_dirty_bytes; /* found by the last sync */
    uint64_t limited_ns;       /* ops->limited_ns at the end of the last round */
    uint64_t set_bytes;        /* the most that a sync after the first pass found */
    uint64_t ping_ns, rtt_ns; /* when the last PING was sent; the shortest time until an answer, 0: unknown */
    struct gw_bandwidth bandwidth;
    struct gw_history_keeper history;            /* written under session.lock */
    uint64_t lap_ns;                             /* until here the downtime is assigned to causes */
    uint64_t downtime_by[GW_DOWNTIME_COUNT];
};

/* Write elements: checked by the grammar, and counted. */
void gw_send_command(struct gw_send *s, uint16_t command, const void *payload, uint16_t bytes);
void gw_send_ping(struct gw_send *s, uint32_t value);
void gw_send_section(struct gw_send *s, enum gw_section_kind kind, const struct gw_live *l);
void gw_send_footer(struct gw_send *s, const struct gw_live *l);
int gw_send_devices(struct gw_send *s, enum gw_devices_place place, struct gw_error *err);
int gw_send_flush(struct gw_send *s, struct gw_error *err);

int gw_send_setup(struct gw_send *s, struct gw_error *err);
int gw_send_iterate(struct gw_send *s, struct gw_error *err);
/* Instead of iterate and switchover: saves the machine as it is now, and lets it run on. It runs on after a failure
 * too, unless its start failed: then settle starts it. */
int gw_send_snapshot(struct gw_send *s, struct gw_error *err);
/* Instead of iterate and switchover, for a machine that remains here (save.c). */
int gw_send_save(struct gw_send *s, struct gw_error *err);
/* Everything after the decision; performs the change of owner. After a failure the phase says who owns the guest. */
int gw_send_switchover(struct gw_send *s, struct gw_error *err);

/* Writes a PART of each live section, about limit_bytes in all, and flushes. *ret_dry: no section has anything left.
 * Updates the bandwidth window. */
int gw_send_parts(struct gw_send *s, uint64_t limit_bytes, uint64_t *ret_bytes, bool *ret_dry, struct gw_error *err);
/* Bytes that a step may write at the current rate limit; sets the rate of the pace. */
uint64_t gw_send_share(struct gw_send *s);
/* Steps until nothing is left, and checks for a cancel before each. step_bytes 0: what the rate limit allows. rest is
 * called after each step with the bytes that it wrote, and may write more; may be NULL. */
int gw_send_all(struct gw_send *s, uint64_t step_bytes,
                int (*rest)(struct gw_send *s, uint64_t put_bytes, bool *ret_dry, struct gw_error *err), struct gw_error *err);
/* EOF and the description, the last bytes of a stream. */
int gw_send_end(struct gw_send *s, const char *text, size_t bytes, struct gw_error *err);
/* Both sides must know whether the machine changes hands in two steps: the destination knows when it is asked, so its
 * answer must be here before the last byte is sent. */
int gw_send_know_peer(struct gw_send *s, bool *ret_two_steps, struct gw_error *err);
/* Stops the machine, and waits for migrate-continue if the options ask for it; then the rest of its state is due (phase
 * DEVICE). */
int gw_send_stand(struct gw_send *s, bool *ret_two_steps, struct gw_error *err);
/* Writes the END of a section, with everything that is left in it. */
int gw_send_complete(struct gw_send *s, struct gw_live *live, struct gw_error *err);
/* The last sync, and the end of all live sections; with postcopy, sections that can follow do not end yet. */
int gw_send_last_parts(struct gw_send *s, bool postcopy, struct gw_error *err);
/* Ends the session UNDECIDED; the error says what to do. Returns the error's code. */
int gw_send_undecided(struct gw_send *s, struct gw_error *err);
/* The peer has answered, and has sent SWITCHOVER_ACK if the options ask for it. */
bool gw_send_may_switch(struct gw_send *s);
/* Waits for the next message of the destination after the last byte. */
enum gw_answer { GW_ANSWER_LOADED, GW_ANSWER_GOOD, GW_ANSWER_BAD, GW_ANSWER_CLOSED, GW_ANSWER_LOST };
enum gw_answer gw_send_wait_answer(struct gw_send *s, bool for_loaded, struct gw_error *err);
/* confirmed: see gw_send.confirmed. heard: the destination itself has said that it has the machine. */
int gw_send_sent(struct gw_send *s, bool confirmed, bool heard);

/* postcopy.c: the machine runs at the destination before all of its pages have come. */
/* In the set-up: announces that postcopy may follow. */
void gw_send_advise(struct gw_send *s);
/* 1: postcopy was asked for, and is possible now. Waits for the peer's first answer if it was asked for. */
int gw_send_postcopy_due(struct gw_send *s, struct gw_error *err);
/* Pages on other channels arrive before anything that is written from now on is read. */
int gw_send_meet(struct gw_send *s, struct gw_error *err);
/* Instead of gw_send_switchover. */
int gw_send_postcopy(struct gw_send *s, struct gw_error *err);
/* Sends the pages that the destination lacks, to the end. */
int gw_send_follow(struct gw_send *s, struct gw_error *err);
/* The machine runs at the destination and the connection is lost: ends in SEND_PAUSED, or in SEND_GONE if the
 * destination itself has failed. Returns the error's code. */
int gw_send_paused(struct gw_send *s, struct gw_error *err);
/* resume.c: runs a session that continues a postcopy migration which broke off. */
int gw_send_resume(struct gw_send *s, struct gw_error *err);
/* giveback.c: gives back memory that the destination has (release-ram); otherwise these do nothing. */
/* Call when the due pages are those that the destination will lack. */
int gw_send_giveback_begin(struct gw_send *s, struct gw_error *err);
/* Call between two steps, once the machine runs at the destination. */
int gw_send_giveback(struct gw_send *s, struct gw_error *err);
/* The destination has all pages. */
void gw_send_giveback_end(struct gw_send *s);
/* preempt.c: the channel of urgent pages, if there is one; otherwise these do nothing. */
/* Dials it, if it is to be dialled at this point. first: directly after the main channel; else before the switch. */
int gw_preempt_open(struct gw_send *s, bool first, struct gw_error *err);
/* From now on requested pages are sent on it. */
int gw_preempt_begin(struct gw_send *s, struct gw_error *err);
/* Call while the destination lacks pages. -EPIPE: the destination has closed it, or it was lost. */
int gw_preempt_alive(struct gw_send *s, struct gw_error *err);
/* Call after gw_requests_finish: all requested pages were written. */
int gw_preempt_finish(struct gw_send *s, struct gw_error *err);
/* Call when the last byte of the main stream was written. */
int gw_preempt_put_end(struct gw_send *s, struct gw_error *err);
/* No more requests will come. */
void gw_preempt_end(struct gw_send *s);
/* send.c: a session that saves a machine which is stopped and remains here. The caller holds the vm
 * (gw_vm_hold). The options apply only to this session. on_event gets no STOP or RESUME. */
struct gw_send_stay {
    struct gw_channel *take_channel; /* taken in any case */
    const struct gw_options *options;
    bool ran; /* the run state that the stream has */
    gw_event_fn on_event;
    void *opaque;
};
int gw_send_stay(struct gw_vm *vm, const struct gw_send_stay *how, struct gw_send **ret_send, struct gw_error *err);
/* setup.c */
int gw_send_connect(struct gw_send *s, struct gw_error *err);
int gw_send_begin_writing(struct gw_send *s, struct gw_error *err);

/* figures.c. */
/* Updates session.stats. */
void gw_send_publish(struct gw_send *s);
/* Adds the time since the last call to the downtime, with this cause. */
void gw_send_lap(struct gw_send *s, enum gw_downtime cause);
/* The same at the end of the downtime: updates the statistics. */
void gw_send_downtime(struct gw_send *s, enum gw_downtime cause);
/* Begins a round: an exact pending over all sections, between the embedder's notifiers. last: the machine is stopped,
 * and no later change will be sent. *ret_bytes: bytes that are due now. */
int gw_send_sync(struct gw_send *s, bool last, uint64_t *ret_bytes, struct gw_error *err);
/* Ends the last round: everything in it was sent. */
void gw_send_last_round(struct gw_send *s);
/* Begins the first round, in which everything is due. Errors of notifiers around a sync are only logged. */
int gw_send_first_round(struct gw_send *s, struct gw_error *err);
/* A section sends its first pass, for which the sections after it wait: until it is over, there is no switch to
 * postcopy, and the guest is not slowed down. */
bool gw_send_in_bulk(const struct gw_send *s);
/* tend.c. limit: the downtime limit that holds now, ns. throttle: the parameters of throttling. tend: call after an
 * exact decision to go on. */
uint64_t gw_send_limit(const struct gw_send *s);
struct gw_throttle_params gw_send_throttle(const struct gw_send *s);
void gw_send_tend(struct gw_send *s, const struct gw_switch_in *asked, const struct gw_switch_out *decided);
/* Waits until came is true for the messages of the destination; else the session's error, or -ETIMEDOUT "the
 * destination (missing)". came is called under session.lock. */
int gw_send_await(struct gw_send *s, bool (*came)(const struct gw_rp *rp), const char *missing, struct gw_error *err);
/* A destination that fails reports it and closes its channels. A write that finds them closed may fail before the
 * report was read, which is the better reason: waits for the report and puts it in place of err. The same for an error
 * of the return path that made this side shut a page channel down. */
void gw_send_prefer_report(struct gw_send *s, struct gw_error *err);
/* The error that the return path ended with, or 0. */
int gw_send_check(struct gw_send *s, struct gw_error *err);
/* Sleeps, woken by cancel and by the end of the return path. */
void gw_send_sleep(struct gw_send *s, uint64_t ns);

#endif
