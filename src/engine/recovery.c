/* SPDX-License-Identifier: MIT */
#include "engine/recovery.h"

#include "base/bitmap.h"
#include "engine/recv.h"
#include "image/image.h"
#include "wire/numbers.h"

#define BACKLOG 8

static struct gw_postcopy_in *in(struct gw_recv *r)
{
    return &r->postcopy;
}

/* ---- a source resumes -------------------------------------------------------------------------------------------- */

int gw_recovery_map(struct gw_recv *r, uint16_t bytes, struct gw_error *err)
{
    uint64_t *map = NULL, pages = 0;
    char name[256];
    int e = gw_get_str8(&r->reader, name, err);

    if (e >= 0 && strlen(name) + 1 != bytes)
        e = gw_fail(err, -EPROTO, GW_BLAME_PEER, "a message of %u bytes does not hold just the name of a RAM "
                    "block of %zu", bytes, strlen(name));
    for (unsigned i = 0; e >= 0 && !map && i < r->plan.lives; i++)
        if (r->plan.live[i]->ops->received)
            e = r->plan.live[i]->ops->received(r->plan.live[i], name, &map, &pages, err);
    if (e >= 0)
        e = gw_answers_map(&r->answers, name, map, pages, err);
    free(map);
    return e;
}

/* The source resumes, so it has given the machine away. */
static void start_late(struct gw_recv *r)
{
    if (!in(r)->unsure)
        return;
    in(r)->unsure = false;
    in(r)->unheard = false;
    if (!r->session.vm->guest->park)
        gw_starting_late(r);
}

int gw_recovery_resume(struct gw_recv *r, struct gw_error *err)
{
    uint8_t body[4];
    int e;

    gw_store_be32(body, 1);
    e = gw_urgent_in_begin(r, err);
    if (e >= 0)
        e = gw_answers_say(&r->answers, GW_RP_RESUME_ACK, body, sizeof body, err);
    if (e < 0)
        return e;
    pthread_mutex_lock(&r->session.lock);
    r->session.error = (struct gw_error)GW_ERROR_INIT;
    pthread_mutex_unlock(&r->session.lock);
    gw_session_enter(&r->session, GW_PHASE_FOLLOWED);
    /* Pages are accepted even if END was read: other channels may have been lost after it. */
    for (unsigned i = 0; i < r->bounds; i++)
        r->bound[i].ended &= !(r->bound[i].live && r->bound[i].live->ops->lacking);
    in(r)->asked[0] = 0;
    if (r->session.vm->guest->store_following)
        gw_channel_prompt(r->channel);
    gw_follow_ask_again(r);
    start_late(r);
    return 0;
}

/* ---- another connection --------------------------------------------------------------------------------------------- */

static void forget_door(struct gw_recv *r)
{
    struct gw_listener *door;

    pthread_mutex_lock(&r->session.lock);
    door = in(r)->door;
    in(r)->door = NULL;
    pthread_mutex_unlock(&r->session.lock);
    gw_listener_free(door);
}

/* Closes the connection, which is of no use any more; no pages can be requested. */
static void disconnect(struct gw_recv *r)
{
    /* If this connection did not resume the migration (not FOLLOWED), the door stays open: connections that came
     * meanwhile are tried next. */
    bool stays = r->awaits || gw_session_phase(&r->session) != GW_PHASE_FOLLOWED;
    uint64_t in = 0, out;

    if (r->channel) {
        gw_channel_shutdown(r->channel);
        gw_channel_bytes(r->channel, &in, &out);
    }
    r->in_before += in;
    gw_answers_open(&r->answers, NULL);
    gw_urgent_in_end(r);
    if (!stays)
        gw_door_close(r);
    for (unsigned i = 0; i < r->plan.lives; i++)
        if (r->plan.live[i]->ops->hold)
            r->plan.live[i]->ops->hold(r->plan.live[i]);
    gw_session_set_channel(&r->session, NULL);
    gw_reader_close(&r->reader);
    r->channel = gw_channel_free(r->channel);
    if (!stays)
        forget_door(r);
}

static int connect(struct gw_recv *r, struct gw_error *err)
{
    struct gw_session *x = &r->session;
    int e;

    pthread_mutex_lock(&x->lock);
    while (!in(r)->door && !x->yanked)
        gw_session_wait_until(x, UINT64_MAX);
    pthread_mutex_unlock(&x->lock);
    e = gw_session_check(x, err);
    if (e >= 0 && gw_listener_is_socket(in(r)->door))
        return gw_recv_hello_again(r, in(r)->door, err);
    if (e >= 0)
        e = gw_listener_accept(in(r)->door, 0, x->cancel, &r->channel, err);
    if (e < 0)
        return gw_session_check(x, NULL) < 0 ? gw_session_check(x, err) : e;
    gw_session_set_channel(x, r->channel);
    gw_channel_set_timeout(r->channel, r->timeout_ns);
    if (!(r->channel->features & GW_CHANNEL_DUPLEX))
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "%s carries one direction only", r->channel->name);
    return gw_reader_init(&r->reader, r->channel, err);
}

/* One attempt to resume. Returns how reading ended. */
static int go_on(struct gw_recv *r, struct gw_error *err)
{
    int e = connect(r, err);

    if (e < 0 && !r->channel) {
        forget_door(r);
        return e;
    }
    gw_session_enter(&r->session, GW_PHASE_RECV_RECOVER);
    if (e >= 0) {
        gw_answers_open(&r->answers, r->channel);
        r->grammar = GW_GRAMMAR_RECOVER;
        e = gw_recv_elements(r, false, err);
    }
    return e;
}

/* No more pages are waited for, even if this became known while the session waited for another source. */
static void whole(struct gw_recv *r, struct gw_error *err)
{
    struct gw_session *x = &r->session;

    gw_session_log(x, "all of the machine is here; %s", err->text);
    *err = (struct gw_error)GW_ERROR_INIT;
    if (gw_session_phase(x) == GW_PHASE_RECV_PAUSED)
        gw_session_enter(x, GW_PHASE_RECV_RECOVER);
    if (gw_session_phase(x) == GW_PHASE_RECV_RECOVER)
        gw_session_enter(x, GW_PHASE_FOLLOWED);
}

/* Ends the channels beside the main one. Multifd channels are not opened again: the rest is sent on the main one. */
static void end_others(struct gw_recv *r)
{
    gw_urgent_in_end(r);
    for (unsigned i = 0; i < r->plan.lives; i++)
        if (r->plan.live[i]->ops->cut)
            r->plan.live[i]->ops->cut(r->plan.live[i]);
    gw_session_close_pages(&r->session);
    gw_pages_forget(r);
}

int gw_recovery_until_complete(struct gw_recv *r, int e, struct gw_error *err)
{
    struct gw_session *x = &r->session;
    bool waits = x->vm->guest->store_following || r->awaits;

    for (;;) {
        if (e >= 0)
            e = gw_follow_check_end(r, err);
        if (e < 0 && (gw_urgent_in_check(r, err) < 0 || gw_pages_check_lost(r, err) < 0))
            e = err->code;
        if (e < 0)
            end_others(r); /* until here they may bring the last pages */
        if (e >= 0 && in(r)->unsure)
            e = gw_fail(err, -EPIPE, GW_BLAME_CHANNEL, "the source cannot be told that all of its machine is here");
        if (e < 0 && !gw_follow_lacking(r) && !in(r)->unsure) {
            whole(r, err);
            e = 0;
        }
        if (e >= 0 || !waits || gw_session_check(x, NULL) < 0)
            return e;
        disconnect(r);
        if (gw_session_phase(x) != GW_PHASE_RECV_PAUSED)
            gw_session_enter_failed(x, GW_PHASE_RECV_PAUSED, err);
        else
            gw_session_log(x, "%s", err->text);
        *err = (struct gw_error)GW_ERROR_INIT;
        e = go_on(r, err);
    }
}

/* ---- the rest of a machine that came in part ------------------------------------------------------------------------- */

/* Restores what the earlier session knew about the machine, as far as pages need it. */
static int restore(struct gw_recv *r, struct gw_live *live, struct gw_error *err)
{
    struct gw_vm *vm = r->session.vm;
    int e = live->ops->load_setup(live, err);

    if (e >= 0)
        e = live->ops->regain(live, err);
    for (unsigned i = 0; e >= 0 && i < vm->ram.count; i++) {
        const struct gw_ram_block *b = vm->ram.blocks[i];
        const uint64_t *map = vm->image->received[i];
        uint64_t at = 0, end;

        for (; e >= 0 && (at = gw_bitmap_next_clear(map, b->pages, at)) < b->pages; at = end) {
            end = gw_bitmap_next_set(map, b->pages, at);
            e = live->ops->discard(live, b->name, at << vm->ram.page_bits, (end - at) << vm->ram.page_bits, err);
        }
    }
    return e < 0 ? e : live->ops->follow(live, err);
}

int gw_recovery_regain(struct gw_recv *r, struct gw_error *err)
{
    int e = 0;

    r->bound = calloc(GW_MAX(r->plan.lives, 1u), sizeof *r->bound);
    if (!r->bound)
        e = gw_nomem(err, "list of sections");
    for (unsigned i = 0; e >= 0 && i < r->plan.lives; i++) {
        if (!r->plan.live[i]->ops->regain)
            continue;
        r->bound[r->bounds++] = (struct gw_bound){.live = r->plan.live[i], .begun = true, .unnumbered = true};
        e = restore(r, r->plan.live[i], err);
    }
    if (e < 0) { /* no source was accepted */
        gw_session_enter_failed(&r->session, GW_PHASE_RECV_LACKING, err);
        return e;
    }
    r->footers_seen = r->return_path = true;
    in(r)->state = GW_POSTCOPY_RUNNING;
    in(r)->advised = true;
    e = gw_recovery_until_complete(r, go_on(r, err), err);
    return e < 0 ? gw_follow_lost(r, err) : gw_follow_arrive(r, err);
}

void gw_recovery_close(struct gw_recv *r)
{
    forget_door(r);
}

/* ---- called by other threads ------------------------------------------------------------------------------------- */

int gw_recv_recover(struct gw_recv *r, const char *text, struct gw_error *err)
{
    struct gw_session *x = &r->session;
    struct gw_listener *door = NULL;
    struct gw_uri uri;
    int e = gw_uri_parse(text, &uri, err);

    if (e < 0)
        return e;
    pthread_mutex_lock(&x->lock);
    if (x->ended || (x->phase != GW_PHASE_RECV_PAUSED && x->phase != GW_PHASE_RECV_RECOVER))
        e = gw_fail(err, -EINVAL, GW_BLAME_CALLER, "there is no postcopy here that was paused");
    else if (in(r)->door)
        e = gw_fail(err, -EALREADY, GW_BLAME_CALLER, "the machine waits for its source at an address already");
    else
        e = gw_listen(&uri, BACKLOG, &door, err);
    if (e >= 0) {
        in(r)->door = door;
        gw_listener_uri(door, &r->address);
        r->has_listener = true;
        pthread_cond_broadcast(&x->changed);
    }
    pthread_mutex_unlock(&x->lock);
    return e;
}

/* The thread that reads the main channel may be waiting for the others. */
static void shut(struct gw_links *links)
{
    gw_links_shut_main(links);
    gw_links_shut_pages(links);
}

int gw_recv_pause(struct gw_recv *r, struct gw_error *err)
{
    struct gw_session *x = &r->session;
    int e = 0;

    pthread_mutex_lock(&x->lock);
    if (x->ended || (x->phase != GW_PHASE_FOLLOWED && x->phase != GW_PHASE_RECV_RECOVER) || !x->vm->guest->store_following)
        e = gw_fail(err, -EINVAL, GW_BLAME_CALLER, "there is no postcopy under way here that could be paused");
    else
        shut(&x->links);
    pthread_mutex_unlock(&x->lock);
    return e;
}
