/* SPDX-License-Identifier: MIT */
#include "base/bitmap.h"
#include "base/thread.h"
#include "engine/recovery.h"
#include "engine/recv.h"
#include "image/image.h"
#include "wire/numbers.h"

#define EMPTY_BYTES 32u /* a PART that has only a flag and a footer has 18 bytes */
#define IDLE_MAX    4096u

static struct gw_postcopy_in *in(struct gw_recv *r)
{
    return &r->postcopy;
}

uint64_t gw_follow_lacking(const struct gw_recv *r)
{
    uint64_t bytes = 0;

    for (unsigned i = 0; i < r->plan.lives; i++)
        bytes += r->plan.live[i]->ops->lacking ? r->plan.live[i]->ops->lacking(r->plan.live[i]) : 0;
    return bytes;
}

void gw_follow_release(struct gw_recv *r)
{
    for (unsigned i = 0; i < r->plan.lives; i++)
        if (r->plan.live[i]->ops->release)
            r->plan.live[i]->ops->release(r->plan.live[i], NULL);
}

void gw_follow_ask_again(struct gw_recv *r)
{
    for (unsigned i = 0; i < r->plan.lives; i++)
        if (r->plan.live[i]->ops->again)
            r->plan.live[i]->ops->again(r->plan.live[i]);
}

/* ---- requests for pages ------------------------------------------------------------------------------------------ */

/* The connection is lost and the machine is not committed: a device that is being loaded would wait for ever. true: it
 * gets zeros, and the state that it loads is not used. */
static bool needs_in_vain(struct gw_recv *r)
{
    bool needs;

    pthread_mutex_lock(&r->session.lock);
    needs = in(r)->lost && !in(r)->committed;
    in(r)->needed |= needs;
    pthread_mutex_unlock(&r->session.lock);
    return needs;
}

void gw_follow_ask(void *recv, const struct gw_ram_block *b, uint64_t offset, uint64_t bytes)
{
    struct gw_recv *r = recv;
    bool named = strcmp(in(r)->asked, b->name) != 0;
    size_t n = strlen(b->name);
    uint8_t body[12 + 256];

    if (needs_in_vain(r)) {
        gw_follow_release(r);
        return;
    }
    gw_store_be64(body, offset);
    gw_store_be32(body + 8, (uint32_t)bytes);
    body[12] = (uint8_t)n;
    memcpy(body + 13, b->name, n);
    gw_strcopy(in(r)->asked, sizeof in(r)->asked, b->name);
    /* If sending fails, the connection is lost, and everything is requested again on the next one. */
    gw_answers_say(&r->answers, named ? GW_RP_REQ_PAGES_ID : GW_RP_REQ_PAGES, body, named ? 13 + n : 12, NULL);
}

void gw_follow_deaf(void *recv, const struct gw_error *error)
{
    struct gw_recv *r = recv;

    gw_session_log(&r->session, "pages that the machine waits for can no longer be requested from the source: %s", error->text);
}

/* ---- the thread ---------------------------------------------------------------------------------------------------- */

int gw_follow_check_end(struct gw_recv *r, struct gw_error *err)
{
    uint64_t left, at = gw_reader_offset(&r->reader) - 1;

    gw_urgent_in_await(r);
    left = gw_follow_lacking(r);
    for (unsigned i = 0; i < r->bounds; i++) {
        struct gw_live *live = r->bound[i].live;
        char note[GW_LIVE_NOTE] = "";
        int e;

        if (!live || r->bound[i].ended)
            continue;
        if (live->ops->lacking) /* the machine cannot run without it */
            return gw_fail(err, -EPROTO, GW_BLAME_PEER, "EOF at byte %" PRIu64 ", and section %s has not ended", at,
                           live->ops->id);
        e = live->ops->check_ended(live, GW_LIVE_OPEN, note, err); /* the note is logged on arrival */
        if (e < 0)
            return e;
    }
    return left ? gw_fail(err, -EPROTO, GW_BLAME_PEER,
                          "EOF at byte %" PRIu64 ", and %" PRIu64 " bytes of section ram have not come", at, left)
                : 0;
}

static bool is_committed(struct gw_recv *r)
{
    bool is;

    pthread_mutex_lock(&r->session.lock);
    is = in(r)->committed;
    pthread_mutex_unlock(&r->session.lock);
    return is;
}

static void *read_pages(void *arg)
{
    struct gw_recv *r = arg;
    struct gw_error error = GW_ERROR_INIT;
    int e = gw_recv_elements(r, false, &error);
    bool committed;

    if (e >= 0 && !is_committed(r))
        /* else a device that is being loaded would wait for ever for a page that did not come */
        e = gw_follow_check_end(r, &error);
    pthread_mutex_lock(&r->session.lock);
    in(r)->result = e;
    in(r)->error = error;
    in(r)->ended = true;
    committed = in(r)->committed;
    in(r)->lost = e < 0 && error.blame == GW_BLAME_CHANNEL;
    pthread_cond_broadcast(&r->session.changed);
    pthread_mutex_unlock(&r->session.lock);
    /* Devices that are being loaded may be waiting for a page. */
    if (e < 0 && !committed && error.blame != GW_BLAME_CHANNEL)
        gw_follow_release(r);
    else if (e < 0 && !committed)
        gw_follow_ask_again(r);
    return NULL;
}

/* From now on the listener serves only this source. */
static void keep_listener(struct gw_recv *r)
{
    pthread_mutex_lock(&r->session.lock);
    in(r)->door = r->listener;
    r->listener = NULL;
    pthread_mutex_unlock(&r->session.lock);
}

int gw_follow_listen(struct gw_recv *r, struct gw_error *err)
{
    bool runs = r->session.vm->guest->store_following;
    int e = 0;

    for (unsigned i = 0; e >= 0 && !in(r)->only_bitmaps && i < r->plan.lives; i++)
        if (r->plan.live[i]->ops->follow)
            e = r->plan.live[i]->ops->follow(r->plan.live[i], err);
    if (e < 0 || (!runs && !r->classify.urgent && !r->awaits))
        return e;
    r->touched = true;
    if (runs)
        gw_channel_prompt(r->channel); /* a request must not wait behind bytes that have come and were not read */
    if (!r->classify.urgent && !runs)
        gw_door_close(r); /* no other source can replace this one */
    if (r->awaits)
        keep_listener(r);
    e = r->classify.urgent ? gw_urgent_in_begin(r, err) : 0; /* it waits for the thread that watches the door */
    if (e < 0 || !runs)
        return e;
    r->grammar = GW_GRAMMAR_POSTCOPY;
    e = gw_thread_start(&in(r)->thread, read_pages, r, err);
    in(r)->threaded = e >= 0;
    return e;
}

/* Returns the result of the thread. */
static int join(struct gw_recv *r, struct gw_error *err)
{
    pthread_join(in(r)->thread, NULL);
    in(r)->threaded = false;
    if (in(r)->result < 0 && err)
        *err = in(r)->error;
    return in(r)->result;
}

int gw_follow_commit(struct gw_recv *r, struct gw_error *err)
{
    bool needed;
    int e;

    pthread_mutex_lock(&r->session.lock);
    e = in(r)->ended && in(r)->result < 0 && (!in(r)->lost || in(r)->needed) ? in(r)->result : 0;
    if (e < 0 && err)
        *err = in(r)->error;
    needed = in(r)->needed;
    in(r)->committed = e >= 0;
    pthread_mutex_unlock(&r->session.lock);
    if (needed)
        gw_context(err, "a device needs guest memory that has not arrived");
    return e < 0 ? e : gw_session_commit(&r->session, GW_PHASE_FOLLOWED, err);
}

bool gw_follow_unsure(struct gw_recv *r)
{
    struct gw_session *x = &r->session;
    bool lost;

    if (!x->vm->guest->store_following && !r->awaits) /* no source will connect again */
        return false;
    /* only bitmaps follow: the source waits for no answer, and may have sent everything and disconnected */
    if (!r->return_path)
        return false;
    pthread_mutex_lock(&x->lock);
    lost = in(r)->lost;
    pthread_mutex_unlock(&x->lock);
    in(r)->unsure = lost || in(r)->unheard || gw_channel_peer_gone(r->channel);
    if (!in(r)->unsure)
        return false;
    gw_session_log(x, "the connection was lost before the source was told that its machine is here: the machine stays stopped "
                   "here until its source resumes the migration (migrate with resume)");
    gw_channel_shutdown(r->channel);
    return true;
}

void gw_follow_abandon(struct gw_recv *r, const struct gw_error *why)
{
    gw_recv_give_up(r, why);
    gw_channel_shutdown(r->channel);
    gw_links_shut_pages(&r->session.links);
    join(r, NULL);
}

/* ---- the end -------------------------------------------------------------------------------------------------------- */

/* Logs what did not come and what the machine can run without. */
static void tell_notes(struct gw_recv *r)
{
    for (unsigned i = 0; i < r->plan.lives; i++) {
        struct gw_live *live = r->plan.live[i];
        char note[GW_LIVE_NOTE] = "";

        if (!live->ops->lacking && live->ops->check_ended(live, GW_LIVE_OPEN, note, NULL) >= 0 && note[0])
            gw_session_log(&r->session, "%s", note);
    }
}

int gw_follow_check_idle(struct gw_recv *r, uint64_t bytes, struct gw_error *err)
{
    if (bytes >= EMPTY_BYTES || gw_follow_lacking(r))
        in(r)->idle = 0;
    else if (++in(r)->idle == IDLE_MAX)
        return gw_fail(err, -EPROTO, GW_BLAME_PEER, "the source has sent %u empty sections in a row and does not end the "
                       "stream", IDLE_MAX);
    return 0;
}

int gw_follow(struct gw_recv *r, int e, struct gw_error *err)
{
    /* No source can replace this one since LISTEN. The door is closed only now because refusing the connections that
     * wait takes a moment, and until now the machine stood. */
    if (in(r)->threaded && !r->classify.urgent)
        gw_door_close(r);
    if (in(r)->threaded)
        e = join(r, err);
    /* else the machine could not be started */
    return gw_session_phase(&r->session) == GW_PHASE_FOLLOWED ? gw_recovery_until_complete(r, e, err) : e;
}

/* Keeps the pages that came, with a list of those that are lacking. */
static int keep(struct gw_recv *r, struct gw_live *live, struct gw_error *err)
{
    struct gw_vm *vm = r->session.vm;
    int e = 0;

    for (unsigned i = 0; e >= 0 && i < vm->ram.count; i++) {
        uint64_t *map, pages;

        e = live->ops->received(live, vm->ram.blocks[i]->name, &map, &pages, err);
        if (e >= 0)
            e = vm->guest->lacks(vm, vm->ram.blocks[i], map, err);
    }
    return e;
}

static void take_back(struct gw_recv *r)
{
    struct gw_vm *vm = r->session.vm;

    if (r->handed && vm->ops->handed_over)
        vm->ops->handed_over(vm->opaque, GW_HAND_OVER_REVOKED);
    r->handed = false;
}

static void *stop_machine(void *arg)
{
    struct gw_recv *r = arg;

    if (in(r)->starts) {
        gw_starting_join(r);
        take_back(r);
    }
    gw_vm_stop(r->session.vm, NULL);
    return NULL;
}

/* The machine cannot stop while a vCPU waits for a page, and must not continue without the page: it stays blocked until
 * the session is freed. */
static void take_down(struct gw_recv *r)
{
    bool runs = in(r)->starts || gw_vm_running(r->session.vm);

    if (!in(r)->starts) /* else it may still be starting */
        take_back(r);
    in(r)->stands = true;
    in(r)->stops = runs && gw_thread_start(&in(r)->stopper, stop_machine, r, NULL) >= 0;
}

int gw_follow_lost(struct gw_recv *r, struct gw_error *err)
{
    struct gw_session *x = &r->session;
    struct gw_error why = GW_ERROR_INIT;
    uint64_t left = gw_follow_lacking(r);
    int e = 0;

    if (r->extended && r->channel) /* QEMU handles the end of the connection better than SHUT */
        gw_recv_shut(r, err, NULL);
    for (unsigned i = 0; left && x->vm->guest->lacks && e >= 0 && i < r->plan.lives; i++)
        if (r->plan.live[i]->ops->received)
            e = keep(r, r->plan.live[i], &why);
    if (e < 0)
        gw_context(err, "which of its pages are missing is not known: %s", why.text);
    if (left && x->vm->guest->store_following)
        take_down(r);
    if (in(r)->unsure)
        gw_context(err, "the machine has not run here, and its source may have taken it back: look there");
    else if (left)
        gw_context(err, "the machine was handed over here before the last %" PRIu64 " bytes of its memory had come", left);
    gw_session_enter_failed(x, GW_PHASE_RECV_LACKING, err);
    return err->code;
}

int gw_follow_arrive(struct gw_recv *r, struct gw_error *err)
{
    struct gw_session *x = &r->session;
    struct gw_error local = GW_ERROR_INIT;
    int e = 0;

    gw_recv_over(r);
    tell_notes(r);
    gw_follow_release(r); /* pages that the source never had to send are zeros */
    gw_starting_end(r);
    if (x->vm->guest->park) {
        e = gw_recv_park(r, err);
        if (e >= 0)
            e = gw_recv_run_machine(r, err);
    }
    if (e < 0)
        return gw_follow_lost(r, err);
    if (r->channel)
        gw_channel_set_timeout(r->channel, GW_LAST_MESSAGE_NS);
    if (gw_recv_shut(r, NULL, &local) < 0)
        gw_session_log(x, "the source was not told that all of its machine is here: %s", local.text);
    gw_session_enter(x, GW_PHASE_ARRIVED);
    return 0;
}

void gw_follow_end(struct gw_recv *r)
{
    if (in(r)->stops)
        pthread_join(in(r)->stopper, NULL);
    else
        gw_starting_join(r);
    in(r)->stops = false;
}
