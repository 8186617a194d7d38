/* SPDX-License-Identifier: MIT */
#include "engine/send.h"
#include "wire/numbers.h"
#include "wire/section.h"

/* Time for a waiting peer to receive the last message. */
#define LAST_WORD_NS (300 * GW_NS_PER_MS)

static uint64_t now(const struct gw_send *s)
{
    return gw_now_ns(&s->session.vm->clock);
}

int gw_send_know_peer(struct gw_send *s, bool *ret_two_steps, struct gw_error *err)
{
    int r = gw_send_await(s, gw_rp_knows_peer, "did not answer a PING", err);

    pthread_mutex_lock(&s->session.lock);
    *ret_two_steps = s->rp.extensions & GW_EXTENSION_COMMIT;
    pthread_mutex_unlock(&s->session.lock);
    return r < 0 ? r : gw_send_check(s, err);
}

static int stop(struct gw_send *s, struct gw_error *err)
{
    struct gw_vm *vm = s->session.vm;
    uint64_t t = now(s);
    int r;

    s->was_running = gw_vm_running(vm);
    gw_send_publish(s); /* all time so far counts as running */
    if (s->was_running) {
        r = gw_vm_stop(vm, err);
        s->stopped = r >= 0 || !gw_vm_running(vm); /* it may have stopped although the call failed */
        if (r < 0)
            return r;
        gw_session_event(&s->session, GW_EVENT_STOP, 0);
    }
    s->stop_ns = s->lap_ns = t;
    gw_send_lap(s, GW_DOWNTIME_STOP);
    s->costs.stop_ns = s->lap_ns - t;
    pthread_mutex_lock(&s->session.lock);
    gw_history_stopped(&s->history, t);
    pthread_mutex_unlock(&s->session.lock);
    gw_session_enter(&s->session, GW_PHASE_STOPPED);
    return 0;
}

static int pause_before(struct gw_send *s, struct gw_error *err)
{
    if (!s->plan.ways.pause)
        return 0;
    gw_session_enter(&s->session, GW_PHASE_PAUSED);
    pthread_mutex_lock(&s->session.lock);
    while (!s->go_on && !s->session.cancelled && !s->session.yanked && !s->rp.ended)
        gw_session_wait_until(&s->session, UINT64_MAX);
    pthread_mutex_unlock(&s->session.lock);
    gw_send_lap(s, GW_DOWNTIME_PAUSED);
    return gw_send_check(s, err);
}

int gw_send_stand(struct gw_send *s, bool *ret_two_steps, struct gw_error *err)
{
    int r = gw_send_know_peer(s, ret_two_steps, err);

    if (r >= 0)
        r = stop(s, err);
    if (r >= 0)
        r = pause_before(s, err);
    if (r < 0)
        return r;
    atomic_store(&s->session.vm->taken, false);
    gw_session_enter(&s->session, GW_PHASE_DEVICE);
    return 0;
}

int gw_send_complete(struct gw_send *s, struct gw_live *live, struct gw_error *err)
{
    int r;

    if (gw_live_left_out(live, false))
        return 0;
    gw_send_section(s, GW_SECTION_END, live);
    r = live->ops->complete(live, &s->writer, err);
    gw_send_footer(s, live);
    return r;
}

int gw_send_last_parts(struct gw_send *s, bool postcopy, struct gw_error *err)
{
    uint64_t due;
    int r = gw_send_devices(s, GW_DEVICES_PARTS, err);

    if (s->profile->switchover_start)
        gw_send_command(s, GW_COMMAND_SWITCHOVER_START, NULL, 0);
    gw_send_lap(s, GW_DOWNTIME_DEVICES);
    /* The machine is stopped: this is everything that will be sent. */
    if (r >= 0)
        r = gw_send_sync(s, true, &due, err);
    gw_send_lap(s, GW_DOWNTIME_SYNC);
    if (r >= 0)
        r = gw_send_devices(s, GW_DEVICES_ENDS, err);
    gw_send_lap(s, GW_DOWNTIME_DEVICES);
    for (unsigned i = 0; r >= 0 && i < s->plan.lives; i++)
        if (!postcopy || !s->plan.live[i]->ops->hand_over)
            r = gw_send_complete(s, s->plan.live[i], err);
    gw_send_lap(s, GW_DOWNTIME_MEMORY);
    if (r >= 0 && !s->stays)
        r = gw_vm_give_disks(s->session.vm, err);
    return r;
}

/* Writes everything except EOF: until that is sent, only the source can run the guest. */
static int put_state(struct gw_send *s, struct gw_error *err)
{
    struct gw_vm *vm = s->session.vm;
    int r = gw_send_last_parts(s, false, err);

    gw_send_last_round(s);
    if (r >= 0)
        r = gw_vm_notify(vm, GW_NOTIFY_COMPLETE, err);
    if (r < 0)
        return r;
    gw_globalstate_set(vm->globalstate, s->was_running);
    r = gw_send_devices(s, GW_DEVICES_LATE, err);
    return r < 0 ? r : gw_send_flush(s, err);
}

int gw_send_end(struct gw_send *s, const char *text, size_t bytes, struct gw_error *err)
{
    gw_grammar_step(&s->grammar, GW_ELEMENT_EOF, 0);
    gw_writer_cause(&s->writer, GW_CAUSE_HEAD);
    gw_put_u8(&s->writer, GW_ELEMENT_EOF);
    if (!bytes) /* the machine of an image whose stream had none */
        return gw_send_flush(s, err);
    gw_grammar_step(&s->grammar, GW_ELEMENT_VMDESC, 0);
    gw_writer_cause(&s->writer, GW_CAUSE_VMDESC);
    gw_wire_put_vmdesc(&s->writer.out, text, bytes);
    return gw_send_flush(s, err);
}

/* ---- the answer ---------------------------------------------------------------------------------------------------
 */

enum gw_answer gw_send_wait_answer(struct gw_send *s, bool for_loaded, struct gw_error *err)
{
    struct gw_rp *rp = &s->rp;
    uint64_t deadline = s->timeout_ns ? now(s) + s->timeout_ns : UINT64_MAX, heard;
    enum gw_answer a;
    bool in_time = true;

    pthread_mutex_lock(&s->session.lock);
    heard = rp->messages;
    while (in_time && !rp->ended && !(for_loaded && rp->loaded) && !s->session.yanked &&
           !(for_loaded && s->session.cancelled)) {
        in_time = gw_session_wait_until(&s->session, deadline);
        /* It may take long as long as it sends PONGs: writing a machine to a disk takes long. */
        if (s->timeout_ns && rp->messages != heard) {
            heard = rp->messages;
            deadline = now(s) + s->timeout_ns;
            in_time = true;
        }
    }
    if (rp->shut)
        a = rp->shut_value ? GW_ANSWER_BAD : GW_ANSWER_GOOD;
    else if (rp->ended && rp->ended_orderly)
        a = GW_ANSWER_CLOSED;
    else if (rp->ended)
        a = GW_ANSWER_LOST;
    else if (for_loaded && rp->loaded)
        a = GW_ANSWER_LOADED;
    else
        a = GW_ANSWER_LOST;
    if (rp->error.code && err)
        *err = rp->error;
    else if (a == GW_ANSWER_LOST)
        gw_fail(err, -ETIMEDOUT, GW_BLAME_CHANNEL, "the destination gave no answer after the last byte");
    pthread_mutex_unlock(&s->session.lock);
    return a;
}

static int failure(const struct gw_error *err)
{
    return err && err->code ? err->code : -EREMOTEIO;
}

int gw_send_sent(struct gw_send *s, bool confirmed, bool heard)
{
    /* A thread that sees COMPLETED must also see the final figures. */
    if (!s->followed) /* else the machine has run at the destination since the package */
        gw_send_downtime(s, gw_session_phase(&s->session) == GW_PHASE_HANDED ? GW_DOWNTIME_HANDOVER : GW_DOWNTIME_LOAD);
    gw_send_publish(s);
    s->confirmed = confirmed;
    atomic_store(&s->session.vm->taken, heard);
    gw_session_enter(&s->session, GW_PHASE_SENT);
    return 0;
}

int gw_send_undecided(struct gw_send *s, struct gw_error *err)
{
    gw_context(err, "it is not known whether the destination runs the machine: look there, then start it on one side");
    gw_session_enter_failed(&s->session, GW_PHASE_SEND_UNDECIDED, err);
    return failure(err);
}

/* Plain peer: the last byte was sent, so the destination may run the guest from now on. */
static int answer_plain(struct gw_send *s, struct gw_error *err)
{
    int r;

    if (!s->rp.running) {
        /* There is no return path. The receiver has the stream if the channel was closed without an error. A file runs
         * no machine, and a command reports by its exit status that it has failed; a time-out or a reset says
         * nothing. */
        bool tells = s->channel->features & GW_CHANNEL_SEEKABLE;

        r = gw_channel_close(s->channel, err);
        tells |= s->channel->features & GW_CHANNEL_COMMAND && r == -EIO;
        if (r < 0 && !tells)
            return gw_send_undecided(s, err);
        if (r >= 0)
            return gw_send_sent(s, s->channel->ops->sync, false);
        gw_session_enter_failed(&s->session, GW_PHASE_SEND_FAILED, err);
        return r;
    }
    switch (gw_send_wait_answer(s, false, err)) {
    case GW_ANSWER_GOOD:
        return gw_send_sent(s, true, true);
    case GW_ANSWER_CLOSED:
        /* A broken network looks the same. The guest stands still meanwhile, so it continues here; that the destination
         * runs it too is less likely. A machine of an image loses nothing by waiting for a user's decision. */
        if (s->session.vm->guest->at_rest)
            return gw_send_undecided(s, err);
        /* fallthrough */
    case GW_ANSWER_BAD:
        /* A destination that could not load says so, or just disconnects: it does not run the guest. */
        gw_session_enter_failed(&s->session, GW_PHASE_SEND_FAILED, err);
        return failure(err);
    default:
        return gw_send_undecided(s, err);
    }
}

/* The last flush to a plain peer failed, with *err. If EOF was sent before that, the destination has everything that it
 * needs to run the guest. */
static int last_flush_failed(struct gw_send *s, uint64_t eof_at, struct gw_error *err)
{
    struct gw_error answer = GW_ERROR_INIT;
    uint64_t in, out;
    enum gw_answer a;

    gw_channel_bytes(s->channel, &in, &out);
    if (out - s->out_before <= eof_at || s->channel->features & GW_CHANNEL_SEEKABLE) {
        gw_session_enter_failed(&s->session, GW_PHASE_SEND_FAILED, err);
        return failure(err);
    }
    if (!s->rp.running)
        return gw_send_undecided(s, err);
    /* It may have read what it needs, not the rest, and have answered. */
    a = gw_send_wait_answer(s, false, &answer);
    if (a == GW_ANSWER_GOOD) {
        *err = (struct gw_error)GW_ERROR_INIT;
        return gw_send_sent(s, true, true);
    }
    if (a == GW_ANSWER_LOST || (a == GW_ANSWER_CLOSED && s->session.vm->guest->at_rest))
        return gw_send_undecided(s, err);
    gw_session_enter_failed(&s->session, GW_PHASE_SEND_FAILED, err);
    return failure(err);
}

/* Two godwits: the destination has everything and waits for COMMIT. */
static int answer_commit(struct gw_send *s, struct gw_error *err)
{
    enum gw_answer a;
    int r;

    pthread_mutex_lock(&s->session.lock);
    s->session.last_word = true;
    pthread_mutex_unlock(&s->session.lock);
    a = gw_send_wait_answer(s, true, err);
    if (a == GW_ANSWER_LOADED) {
        r = gw_session_commit(&s->session, GW_PHASE_HANDED, err);
    } else {
        r = gw_session_check(&s->session, err);
        if (r >= 0 && a == GW_ANSWER_GOOD)
            r = gw_fail(err, -EPROTO, GW_BLAME_PEER,
                        "the destination says that it runs the machine, which was not given "
                        "to it");
        if (r >= 0)
            r = failure(err);
    }
    if (r < 0) {
        /* Else it would wait for COMMIT or ABORT until its time-out. */
        gw_channel_set_timeout(s->channel, LAST_WORD_NS);
        gw_send_command(s, GW_COMMAND_GODWIT_ABORT, NULL, 0);
        gw_send_flush(s, NULL);
        return r;
    }
    gw_send_lap(s, GW_DOWNTIME_LOAD);
    gw_send_command(s, GW_COMMAND_GODWIT_COMMIT, NULL, 0);
    r = gw_send_flush(s, err);
    a = r < 0 ? GW_ANSWER_LOST : gw_send_wait_answer(s, false, err);
    if (a == GW_ANSWER_GOOD)
        return gw_send_sent(s, true, true);
    if (a == GW_ANSWER_BAD) {
        gw_session_enter_failed(&s->session, GW_PHASE_SEND_FAILED, err);
    } else {
        gw_context(err, "the machine was given to the destination, whose confirmation was lost: claim it there");
        gw_session_enter_failed(&s->session, GW_PHASE_SEND_GONE, err);
    }
    return failure(err);
}

int gw_send_switchover(struct gw_send *s, struct gw_error *err)
{
    struct gw_error local = GW_ERROR_INIT;
    struct gw_vm *vm = s->session.vm;
    const char *text;
    uint64_t eof_at;
    size_t bytes;
    bool two_steps;
    int r;

    if (!err)
        err = &local;
    r = gw_send_stand(s, &two_steps, err);
    if (r < 0)
        return r;
    r = put_state(s, err);
    if (r >= 0)
        r = vm->devices->describe(vm, s->desc, &text, &bytes, err);
    if (r >= 0)
        r = gw_send_check(s, err);
    if (r < 0)
        return r;
    pthread_mutex_lock(&s->session.lock);
    s->rp.offered = true;
    pthread_mutex_unlock(&s->session.lock);
    r = gw_session_commit(&s->session, two_steps ? GW_PHASE_OFFERED : GW_PHASE_OFFERED_PLAIN, err);
    if (r < 0)
        return r;
    /* No byte may leave before: the writer flushes by itself when a long description fills it. */
    eof_at = gw_writer_offset(&s->writer);
    r = gw_send_end(s, text, bytes, err);
    gw_send_lap(s, GW_DOWNTIME_DEVICES);
    if (r < 0)
        return two_steps ? r : last_flush_failed(s, eof_at, err);
    return two_steps ? answer_commit(s, err) : answer_plain(s, err);
}
