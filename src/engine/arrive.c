/* SPDX-License-Identifier: MIT */
#include "base/thread.h"
#include "channel/farewell.h"
#include "engine/recv.h"
#include "engine/vm_bitmaps.h"
#include "wire/frames.h"
#include "wire/names.h"

#define ALIVE_NS  (1 * GW_NS_PER_S)
#define LOOK_NS   (100 * GW_NS_PER_MS)
#define COMMIT_NS (30 * GW_NS_PER_S) /* the longest wait for COMMIT */

static int wait_commit(struct gw_recv *r, struct gw_error *err)
{
    uint64_t at = gw_reader_offset(&r->reader);
    uint8_t type;
    int e;

    /* A longer time-out is shortened here: only five bytes are missing. */
    if (!r->timeout_ns || r->timeout_ns > COMMIT_NS)
        gw_channel_set_timeout(r->channel, COMMIT_NS);
    r->reader.in.what = "the source's COMMIT";
    e = gw_get_u8(&r->reader, &type, err);
    if (e >= 0 && type != GW_ELEMENT_COMMAND)
        e = gw_fail(err, -EPROTO, GW_BLAME_PEER, "element 0x%02x (%s) at byte %" PRIu64 " instead of COMMIT", type,
                    gw_wire_element(type), at);
    if (e >= 0)
        e = gw_recv_command(r, at, err);
    r->reader.in.what = NULL;
    if (e < 0 && !r->aborted)
        gw_context(err, "COMMIT, expected at byte %" PRIu64, at);
    return e;
}

/* A failure is only logged: the machine runs all the same. */
static void announce(struct gw_recv *r)
{
    struct gw_error local = GW_ERROR_INIT;

    if (gw_announce_arrival(r->session.vm, &local) < 0)
        gw_session_log(&r->session, "the machine is not announced to the network as often as it should be: %s", local.text);
}

/* The order matters: first switches must forward the machine's traffic to here, then the disks are taken, then it
 * starts. */
static void hand_over(struct gw_recv *r)
{
    struct gw_vm *vm = r->session.vm;

    if (r->handed)
        return;
    announce(r);
    if (vm->ops->handed_over)
        vm->ops->handed_over(vm->opaque, GW_HAND_OVER_ARRIVED);
    gw_vm_begin_bitmaps(vm);
    r->handed = true;
}

static int start(struct gw_recv *r, struct gw_error *err)
{
    struct gw_vm *vm = r->session.vm;
    int e;

    if (r->start_paused || !gw_globalstate_running(vm->globalstate))
        return 0;
    e = gw_vm_start(vm, err);
    if (e >= 0)
        gw_session_event(&r->session, GW_EVENT_RESUME, 0);
    return e;
}

int gw_recv_run_machine(struct gw_recv *r, struct gw_error *err)
{
    struct gw_vm *vm = r->session.vm;
    int e;

    hand_over(r);
    e = start(r, err);
    if (e >= 0)
        return 0;
    /* The source may run the machine on: the arrival is taken back. */
    gw_announce_revoke(vm);
    gw_vm_stand_bitmaps(vm);
    if (vm->ops->handed_over)
        vm->ops->handed_over(vm->opaque, GW_HAND_OVER_REVOKED);
    r->handed = false;
    return e;
}

void gw_recv_not_started(struct gw_recv *r, const struct gw_error *why)
{
    gw_session_log(&r->session, "the machine is here, and could not be started: %s", why->text);
}

void gw_recv_run_for_good(struct gw_recv *r)
{
    struct gw_error why = GW_ERROR_INIT;

    hand_over(r);
    if (start(r, &why) < 0)
        gw_recv_not_started(r, &why);
}

/* ---- parking -------------------------------------------------------------------------------------------------------
 */

struct parking {
    struct gw_recv *recv;
    bool done; /* under session.lock */
};

/* A plain source keeps the connection open in both directions until it has read SHUT (wire-format.md 6.3). If it closes
 * it earlier, it has taken its machine back, because of a cancel or a time-out; in postcopy it cannot. With COMMIT this
 * check is not needed: a parked machine is never run without a user's command. */
static int check_source(struct gw_recv *r, struct gw_error *err)
{
    if (!r->return_path || r->extended || r->postcopy.state == GW_POSTCOPY_RUNNING || !gw_channel_peer_gone(r->channel))
        return 0;
    return gw_fail(
        err, -ECANCELED, GW_BLAME_PEER,
        "the source has closed the connection before it was told that its machine is here: the machine stays "
        "there");
}

/* Writing a machine to a disk takes long. Meanwhile a godwit that waits for LOADED gets PONGs; a plain source that
 * waits for SHUT gets nothing, but may disconnect. */
static void *attend(void *arg)
{
    uint8_t nothing[GW_FRAME_PONG_BYTES];
    struct parking *p = arg;
    struct gw_session *x = &p->recv->session;
    uint64_t every_ns = p->recv->extended ? ALIVE_NS : LOOK_NS, next_ns = gw_now_ns(&x->vm->clock) + every_ns;

    gw_frame_put_pong(nothing, &(struct gw_frame_pong){0});
    pthread_mutex_lock(&x->lock);
    while (!p->done) {
        if (gw_session_wait_until(x, next_ns) || p->done)
            continue;
        pthread_mutex_unlock(&x->lock);
        if (p->recv->extended)
            gw_answers_say(&p->recv->answers, GW_RP_PONG, nothing, sizeof nothing, NULL);
        else if (check_source(p->recv, NULL) < 0)
            x->vm->guest->abandon(x->vm);
        next_ns = gw_now_ns(&x->vm->clock) + every_ns;
        pthread_mutex_lock(&x->lock);
    }
    pthread_mutex_unlock(&x->lock);
    return NULL;
}

int gw_recv_park(struct gw_recv *r, struct gw_error *err)
{
    struct gw_session *x = &r->session;
    struct parking p = {.recv = r};
    pthread_t thread;
    bool attends = r->return_path && gw_thread_start(&thread, attend, &p, NULL) >= 0;
    int e = x->vm->guest->park(x->vm, err), gone;

    if (attends) {
        pthread_mutex_lock(&x->lock);
        p.done = true;
        pthread_cond_broadcast(&x->changed);
        pthread_mutex_unlock(&x->lock);
        pthread_join(thread, NULL);
    }
    gone = check_source(r, err);
    return gone < 0 ? gone : e;
}

/* ---- arriving ------------------------------------------------------------------------------------------------------
 */

int gw_recv_farewell(struct gw_recv *r, struct gw_error *err)
{
    const struct gw_clock *clock = &r->session.vm->clock;

    if (!r->farewell_ns)
        r->farewell_ns = gw_now_ns(clock) + GW_LAST_MESSAGE_NS;
    return gw_channel_farewell(r->channel, clock, r->farewell_ns, err);
}

/* A plain source was told that its machine is in a file, and closes the connection when it has read that. If it has not
 * read it, it runs the machine on. As far as the connection shows this, the session ends undecided, so that the file is
 * not started without a decision of the user. */
static int confirm(struct gw_recv *r, struct gw_error *err)
{
    struct gw_session *x = &r->session;
    int e = gw_recv_farewell(r, err);

    r->unclosed = e == 0;
    if (e >= 0)
        return 0;
    gw_context(err,
               "the source was told that its machine is here, but perhaps has not heard it: ask it (QEMU: query-status "
               "there says postmigrate if it has; otherwise the machine is still there)");
    gw_answers_open(&r->answers, NULL); /* whether the source has read it or not, nothing else is sent */
    gw_session_enter_failed(x, GW_PHASE_RECV_UNDECIDED, err);
    return e;
}

int gw_recv_arrive(struct gw_recv *r, struct gw_error *err)
{
    struct gw_session *x = &r->session;
    struct gw_error local = GW_ERROR_INIT;
    int e = 0;

    if (r->postcopy.state == GW_POSTCOPY_RUNNING)
        return gw_follow_arrive(r, err);
    gw_session_enter(x, GW_PHASE_LOADED);
    if (x->vm->guest->park) {
        e = gw_recv_park(r, err);
        if (e < 0)
            return e;
    }
    if (r->extended) {
        e = gw_session_commit(x, GW_PHASE_ASKED, err);
        if (e < 0)
            return e;
        e = gw_answers_say(&r->answers, GW_RP_GODWIT_LOADED, NULL, 0, err);
        if (e >= 0)
            e = wait_commit(r, err);
        if (r->aborted) {
            gw_session_enter_failed(x, GW_PHASE_RECV_FAILED, err);
            return e;
        }
        if (e < 0) {
            gw_context(err,
                       "everything was loaded, but it is not known whether the source gave the machine away: ask it, "
                       "and claim the machine here if it did");
            gw_session_enter_failed(x, GW_PHASE_RECV_UNDECIDED, err);
            return e;
        }
    }
    /* A plain source that sees the connection end without SHUT assumes that loading failed, and runs the machine on. So
     * a yank must come before the machine starts here, or wait until SHUT was sent. */
    e = r->extended ? 0 : gw_session_hold(x, err);
    if (e >= 0)
        e = gw_session_commit(x, GW_PHASE_COMMITTED, err);
    if (e < 0)
        return e;
    e = gw_recv_run_machine(r, err);
    if (e < 0) {
        gw_session_release(x);
        gw_session_enter_failed(x, r->extended ? GW_PHASE_RECV_UNDECIDED : GW_PHASE_RECV_FAILED, err);
        return e;
    }
    /* The machine runs here now, even if the source does not get this message. */
    gw_channel_set_timeout(r->channel, GW_LAST_MESSAGE_NS);
    e = gw_recv_shut(r, NULL, &local);
    if (e < 0 && x->vm->guest->park && !r->extended) {
        /* A parked machine does not run here, so it can still stay at the source: a source that does not get this
         * message runs it on. */
        *err = local;
        gw_context(err, "the source could not be told that its machine is here, and runs on");
        gw_session_enter_failed(x, GW_PHASE_RECV_FAILED, err);
        return e;
    }
    if (e < 0)
        gw_session_log(x, "the source was not told that the machine runs here: %s", local.text);
    else if (x->vm->guest->park && r->return_path && !r->extended && (e = confirm(r, err)) < 0)
        return e;
    gw_session_enter(x, GW_PHASE_ARRIVED);
    return 0;
}
