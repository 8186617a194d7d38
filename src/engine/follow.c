/* SPDX-License-Identifier: MIT */
#include "base/bitmap.h"
#include "engine/recv.h"
#include "image/image.h"
#include "wire/numbers.h"

#define BACKLOG     8
#define EMPTY_BYTES 32u /* a PART with a flag and a footer has 18 */
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

/* Who waits for a page goes on with zeros. */
static void release(struct gw_recv *r)
{
    for (unsigned i = 0; i < r->plan.lives; i++)
        if (r->plan.live[i]->ops->release)
            r->plan.live[i]->ops->release(r->plan.live[i], NULL);
}

/* All that is waited for. */
static void ask_again(struct gw_recv *r)
{
    for (unsigned i = 0; i < r->plan.lives; i++)
        if (r->plan.live[i]->ops->again)
            r->plan.live[i]->ops->again(r->plan.live[i]);
}

/* ---- who waits for a page ----------------------------------------------------------------------------------------- */

/* Nobody can be asked, and the machine is not here yet: a device that is being loaded waits for good. true: it is given zeros, and what
 * it was loaded with is of no use. */
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
        release(r);
        return;
    }
    gw_store_be64(body, offset);
    gw_store_be32(body + 8, (uint32_t)bytes);
    body[12] = (uint8_t)n;
    memcpy(body + 13, b->name, n);
    gw_strcopy(in(r)->asked, sizeof in(r)->asked, b->name);
    /* If it cannot be said, the connection is lost, and all that is waited for is asked again on the next one. */
    gw_answers_say(&r->answers, named ? GW_RP_REQ_PAGES_ID : GW_RP_REQ_PAGES, body, named ? 13 + n : 12, NULL);
}

void gw_follow_deaf(void *recv, const struct gw_error *error)
{
    struct gw_recv *r = recv;

    gw_session_log(&r->session, "pages that the machine waits for cannot be asked for any more: %s", error->text);
}

/* ---- the thread ---------------------------------------------------------------------------------------------------- */

/* EOF came before the machine runs here: a device that is being loaded would wait for good for a page that did not come. */
static int check_whole(struct gw_recv *r, struct gw_error *err)
{
    uint64_t left;

    gw_urgent_in_await(r);
    left = gw_follow_lacking(r);
    return left ? gw_fail(err, -EPROTO, GW_BLAME_PEER, "EOF at byte %" PRIu64 ", and %" PRIu64 " bytes of memory have not come",
                          gw_reader_offset(&r->reader) - 1, left)
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
        e = check_whole(r, &error);
    pthread_mutex_lock(&r->session.lock);
    in(r)->result = e;
    in(r)->error = error;
    in(r)->ended = true;
    committed = in(r)->committed;
    in(r)->lost = e < 0 && error.blame == GW_BLAME_CHANNEL;
    pthread_mutex_unlock(&r->session.lock);
    /* The devices may wait for a page while they are loaded. */
    if (e < 0 && !committed && error.blame != GW_BLAME_CHANNEL)
        release(r);
    else if (e < 0 && !committed)
        ask_again(r);
    return NULL;
}

/* What it listens at is for this source alone from here on. */
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
    if (!r->classify.urgent)
        gw_door_close(r); /* nobody takes this source's place */
    if (r->awaits)
        keep_listener(r);
    e = gw_urgent_in_begin(r, err);
    if (e < 0 || !runs)
        return e;
    r->grammar = GW_GRAMMAR_POSTCOPY;
    e = pthread_create(&in(r)->thread, NULL, read_pages, r);
    if (e)
        return gw_fail(err, -e, GW_BLAME_LOCAL, "cannot start a thread: %s", strerror(e));
    in(r)->threaded = true;
    return 0;
}

/* What the thread ended with. */
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
        gw_context(err, "a device needs memory that has not come");
    return e < 0 ? e : gw_session_commit(&r->session, GW_PHASE_FOLLOWED, err);
}

bool gw_follow_unsure(struct gw_recv *r)
{
    struct gw_session *x = &r->session;
    bool lost;

    if (!x->vm->guest->store_following && !r->awaits) /* nobody else will come */
        return false;
    pthread_mutex_lock(&x->lock);
    lost = in(r)->lost;
    pthread_mutex_unlock(&x->lock);
    in(r)->unsure = lost || in(r)->unheard || gw_channel_peer_gone(r->channel);
    if (!in(r)->unsure)
        return false;
    gw_session_log(x, "the connection is lost before the source has heard that its machine is here: it stands until its source "
                      "goes on (migrate with resume)");
    gw_channel_shutdown(r->channel);
    return true;
}

void gw_follow_abandon(struct gw_recv *r, const struct gw_error *why)
{
    gw_recv_give_up(r, why);
    gw_channel_shutdown(r->channel);
    join(r, NULL);
}

/* ---- another connection --------------------------------------------------------------------------------------------- */

int gw_follow_map(struct gw_recv *r, uint16_t bytes, struct gw_error *err)
{
    uint64_t *map = NULL, pages = 0;
    char name[256];
    int e = gw_get_str8(&r->reader, name, err);

    if (e >= 0 && strlen(name) + 1 != bytes)
        e = gw_fail(err, -EPROTO, GW_BLAME_PEER, "%u bytes are not a name of %zu", bytes, strlen(name));
    for (unsigned i = 0; e >= 0 && !map && i < r->plan.lives; i++)
        if (r->plan.live[i]->ops->received)
            e = r->plan.live[i]->ops->received(r->plan.live[i], name, &map, &pages, err);
    if (e >= 0)
        e = gw_answers_map(&r->answers, name, map, pages, err);
    free(map);
    return e;
}

static void *start_machine(void *arg)
{
    struct gw_recv *r = arg;
    struct gw_error error = GW_ERROR_INIT;

    if (gw_recv_run_machine(r, &error) < 0)
        gw_session_log(&r->session, "the machine is here, and could not be started: %s", error.text);
    return NULL;
}

/* Its source goes on, so it has given the machine away. This thread reads the pages that the start may wait for. */
static void start_late(struct gw_recv *r)
{
    int e;

    if (!in(r)->unsure)
        return;
    in(r)->unsure = in(r)->unheard = false;
    if (r->session.vm->guest->park)
        return;
    e = pthread_create(&in(r)->starter, NULL, start_machine, r);
    in(r)->starts = !e;
    if (e)
        gw_session_log(&r->session, "the machine is here, and could not be started: no thread: %s", strerror(e));
}

static void await_start(struct gw_recv *r)
{
    if (in(r)->starts)
        pthread_join(in(r)->starter, NULL);
    in(r)->starts = false;
}

int gw_follow_resume(struct gw_recv *r, struct gw_error *err)
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
    in(r)->asked[0] = 0;
    ask_again(r);
    start_late(r);
    return 0;
}

static void forget_door(struct gw_recv *r)
{
    struct gw_listener *door;

    pthread_mutex_lock(&r->session.lock);
    door = in(r)->door;
    in(r)->door = NULL;
    pthread_mutex_unlock(&r->session.lock);
    gw_listener_free(door);
}

/* The connection is of no use any more, and nobody is asked for anything. */
static void disconnect(struct gw_recv *r)
{
    /* Whoever came and was no source has taken nobody's place; who has come meanwhile is the next. */
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

/* One attempt to go on. Returns what reading ended with. */
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

/* ---- the end -------------------------------------------------------------------------------------------------------- */

/* EOF was read. */
static int check_complete(struct gw_recv *r, struct gw_error *err)
{
    uint64_t left = gw_follow_lacking(r), at = gw_reader_offset(&r->reader) - 1;

    for (unsigned i = 0; i < r->bounds; i++) {
        struct gw_live *live = r->bound[i].live;
        char note[GW_LIVE_NOTE] = "";
        int e;

        if (!live || r->bound[i].ended)
            continue;
        if (live->ops->lacking) /* the machine cannot do without what it lacks */
            return gw_fail(err, -EPROTO, GW_BLAME_PEER, "EOF at byte %" PRIu64 ", and section %s has not ended", at,
                           live->ops->id);
        e = live->ops->check_ended(live, GW_LIVE_OPEN, note, err); /* told behind the arrival */
        if (e < 0)
            return e;
    }
    return left ? gw_fail(err, -EPROTO, GW_BLAME_PEER,
                          "EOF at byte %" PRIu64 ", and %" PRIu64 " bytes of section ram have not come", at, left)
                : 0;
}

/* What did not come although the machine can do without it. */
static void tell_notes(struct gw_recv *r)
{
    for (unsigned i = 0; i < r->plan.lives; i++) {
        struct gw_live *live = r->plan.live[i];
        char note[GW_LIVE_NOTE] = "";

        if (!live->ops->lacking && live->ops->check_ended(live, GW_LIVE_OPEN, note, NULL) >= 0 && note[0])
            gw_session_log(&r->session, "%s", note);
    }
}

/* Nothing more is waited for, also where that turned out while another source was. */
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

/* Reading ended with e. Goes on, on another connection, as long as something is lacking that a source may still have. */
static int until_complete(struct gw_recv *r, int e, struct gw_error *err)
{
    struct gw_session *x = &r->session;
    bool waits = x->vm->guest->store_following || r->awaits;

    for (;;) {
        if (e >= 0) {
            gw_urgent_in_await(r);
            e = check_complete(r, err);
        }
        if (e < 0 && gw_urgent_in_check(r, err) < 0)
            e = err->code;
        if (e < 0)
            gw_urgent_in_end(r); /* it may bring the last pages until then */
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

int gw_follow_check_idle(struct gw_recv *r, uint64_t bytes, struct gw_error *err)
{
    if (bytes >= EMPTY_BYTES || gw_follow_lacking(r))
        in(r)->idle = 0;
    else if (++in(r)->idle == IDLE_MAX)
        return gw_fail(err, -EPROTO, GW_BLAME_PEER, "the source has sent %u empty sections and no end", IDLE_MAX);
    return 0;
}

int gw_follow(struct gw_recv *r, int e, struct gw_error *err)
{
    if (in(r)->threaded)
        e = join(r, err);
    return gw_session_phase(&r->session) == GW_PHASE_FOLLOWED ? until_complete(r, e, err) : e; /* else it could not be started */
}

/* What the earlier session knew of the machine, as far as pages need it. */
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

/* What came is kept, with what it lacks. */
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
        pthread_join(in(r)->starter, NULL);
        take_back(r);
    }
    gw_vm_stop(r->session.vm, NULL);
    return NULL;
}

/* It cannot stop while it waits for a page, and must not go on without it: it stands there until the session is freed. */
static void take_down(struct gw_recv *r)
{
    bool runs = in(r)->starts || gw_vm_running(r->session.vm);

    if (!in(r)->starts) /* else it may just be starting */
        take_back(r);
    in(r)->stands = true;
    in(r)->stops = runs && !pthread_create(&in(r)->stopper, NULL, stop_machine, r);
}

int gw_follow_lost(struct gw_recv *r, struct gw_error *err)
{
    struct gw_session *x = &r->session;
    struct gw_error why = GW_ERROR_INIT;
    uint64_t left = gw_follow_lacking(r);
    int e = 0;

    if (r->extended && r->channel) /* QEMU takes the end of the connection better */
        gw_recv_shut(r, err, NULL);
    for (unsigned i = 0; left && x->vm->guest->lacks && e >= 0 && i < r->plan.lives; i++)
        if (r->plan.live[i]->ops->received)
            e = keep(r, r->plan.live[i], &why);
    if (e < 0)
        gw_context(err, "what it lacks is not known: %s", why.text);
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

    tell_notes(r);
    release(r); /* pages that the source never had to send are zeros */
    await_start(r);
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

int gw_follow_regain(struct gw_recv *r, struct gw_error *err)
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
    if (e < 0) { /* nobody was let in */
        gw_session_enter_failed(&r->session, GW_PHASE_RECV_LACKING, err);
        return e;
    }
    r->footers_seen = r->return_path = true;
    in(r)->state = GW_POSTCOPY_RUNNING;
    e = until_complete(r, go_on(r, err), err);
    return e < 0 ? gw_follow_lost(r, err) : gw_follow_arrive(r, err);
}

void gw_follow_close(struct gw_recv *r)
{
    forget_door(r);
}

void gw_follow_end(struct gw_recv *r)
{
    if (in(r)->stops)
        pthread_join(in(r)->stopper, NULL);
    else
        await_start(r);
    in(r)->stops = in(r)->starts = false;
}

/* ---- from outside ---------------------------------------------------------------------------------------------------- */

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

int gw_recv_pause(struct gw_recv *r, struct gw_error *err)
{
    struct gw_session *x = &r->session;
    int e = 0;

    pthread_mutex_lock(&x->lock);
    if (x->ended || (x->phase != GW_PHASE_FOLLOWED && x->phase != GW_PHASE_RECV_RECOVER) || !x->vm->guest->store_following)
        e = gw_fail(err, -EINVAL, GW_BLAME_CALLER, "there is no postcopy under way here that could be paused");
    else
        gw_links_shut_main(&x->links);
    pthread_mutex_unlock(&x->lock);
    return e;
}
