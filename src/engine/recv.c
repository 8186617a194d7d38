/* SPDX-License-Identifier: MIT */
#include "engine/recv.h"

#include "base/sized.h"
#include "ram/store/blocktime.h"
#include "image/image.h"
#include "wire/numbers.h"

#define DEFAULT_HELLO_NS  (5 * GW_NS_PER_S)
#define DEFAULT_VMDESC_NS (1 * GW_NS_PER_S)

static uint64_t now(const struct gw_recv *r)
{
    return gw_now_ns(&r->session.vm->clock);
}

void gw_recv_publish(struct gw_recv *r)
{
    struct gw_stats *st = &r->session.stats;
    struct gw_progress c = gw_plan_progress(&r->plan);
    uint64_t in = 0, out = 0;

    if (r->channel)
        gw_channel_bytes(r->channel, &in, &out);
    pthread_mutex_lock(&r->session.lock);
    st->transferred_bytes = r->in_before + in;
    st->total_bytes = c.total_bytes;
    st->duplicate_pages = c.zero_pages;
    st->normal_pages = c.plain_pages;
    st->page_size = r->session.vm->ram.page_bytes;
    st->normal_bytes = c.plain_pages * st->page_size;
    st->disk = c.disk;
    st->one_way = r->grammar != GW_GRAMMAR_SETUP && !r->return_path;
    st->source_runs = r->snapshot;
    st->total_time_ns = now(r) - r->started_ns;
    pthread_mutex_unlock(&r->session.lock);
}

/* Restores the state before a source was accepted. */
static void forget_source(struct gw_recv *r)
{
    for (unsigned i = 0; i < r->plan.lives; i++)
        r->plan.live[i]->ops->load_cleanup(r->plan.live[i], false);
    gw_session_close_pages(&r->session);
    gw_pages_forget(r);
    gw_session_set_channel(&r->session, NULL);
    gw_answers_open(&r->answers, NULL);
    gw_reader_close(&r->reader);
    r->channel = gw_channel_free(r->channel);
    free(r->bound);
    r->bound = NULL;
    r->bounds = 0;
    r->footers_seen = false;
    r->grammar = GW_GRAMMAR_SETUP;
    r->source_knows = 0;
    r->postcopy = (struct gw_postcopy_in){0};
    r->heard = r->refused = false;
    r->return_path = r->extended = r->told_cookie = r->committed = r->aborted = r->ended = r->described = r->snapshot = false;
    r->session.vm->devices->forget(r->session.vm);
}

bool gw_recv_touched(const struct gw_recv *r)
{
    bool touched = r->touched;

    for (unsigned i = 0; i < r->plan.lives; i++)
        touched |= r->plan.live[i]->touched;
    return touched;
}

static void refuse(struct gw_recv *r, const struct gw_error *why)
{
    if (!r->return_path)
        return;
    gw_channel_set_timeout(r->channel, GW_LAST_MESSAGE_NS);
    gw_recv_shut(r, why, NULL);
}

void gw_recv_give_up(struct gw_recv *r, const struct gw_error *why)
{
    gw_channel_set_timeout(r->channel, GW_LAST_MESSAGE_NS);
    if (gw_recv_shut(r, why, NULL) != -EALREADY)
        gw_channel_shutdown(r->channel);
}

static void lane_failed(void *opaque, const struct gw_error *why)
{
    gw_pages_refused(opaque, why);
}

/* The machine has arrived. The connection must not be reset before the source has read that (and closes): closing it
 * while bytes are still arriving can lose the last message, and would kill a command. */
static void take_leave(struct gw_recv *r)
{
    struct gw_error local = GW_ERROR_INIT;

    gw_recv_farewell(r, NULL);
    gw_channel_set_timeout(r->channel, GW_LAST_MESSAGE_NS);
    if (gw_channel_close(r->channel, &local) < 0)
        gw_session_log(&r->session, "%s", local.text);
}

static int run(struct gw_recv *r, struct gw_error *err)
{
    int e, why;

    if (r->regains)
        return gw_recovery_regain(r, err);
    for (;;) {
        e = gw_recv_hello(r, err);
        if (e < 0)
            return e;
        gw_session_enter(&r->session, GW_PHASE_LOADING);
        gw_door_watch(r);
        e = gw_recv_load(r, err);
        gw_door_unwatch(r);
        if (e < 0)
            gw_urgent_in_end(r);
        if (e < 0 && (why = gw_pages_check(r, err)) < 0)
            e = why;
        /* with FOLLOWED everything that was lacking has come by then */
        else if (e >= 0 && gw_session_phase(&r->session) != GW_PHASE_FOLLOWED)
            e = gw_door_settle(r, err);
        if ((e >= 0 || r->touched) && !r->urgent.threaded)
            gw_door_close(r);
        if (e >= 0)
            return gw_recv_arrive(r, err);
        if (gw_phase_row(gw_session_phase(&r->session))->owner == GW_OWNER_DESTINATION)
            return gw_follow_lost(r, err);
        if (r->touched || !r->listener || !gw_listener_is_socket(r->listener) ||
            gw_session_check(&r->session, NULL) < 0) {
            /* A cancel at the source looks like this here, and so does a host that died. */
            if ((e == -ENODATA || e == -ECONNRESET) && r->touched && r->listener && gw_listener_is_socket(r->listener))
                gw_context(err, "the source cancelled, or was lost, before all of its machine was here");
            return e;
        }
        gw_session_refused(&r->session, "%s: dropped: %s", r->channel->name, err->text);
        refuse(r, err);
        forget_source(r);
        *err = (struct gw_error)GW_ERROR_INIT;
        gw_session_enter(&r->session, GW_PHASE_LISTEN);
    }
}

void *gw_recv_main(void *arg)
{
    struct gw_recv *r = arg;
    struct gw_session *x = &r->session;
    struct gw_error error = GW_ERROR_INIT;
    int e = run(r, &error);
    bool kept;

    gw_recv_publish(r);
    if (e < 0) {
        enum gw_phase p = gw_session_phase(x);
        int cancelled = gw_session_check(x, NULL);

        if (gw_phase_row(p)->cancel && cancelled == -ECANCELED)
            gw_fail(&error, -ECANCELED, GW_BLAME_CALLER, "cancelled");
        if (!error.code)
            gw_fail(&error, e, GW_BLAME_LOCAL, "%s", strerror(-e));
        pthread_mutex_lock(&x->lock);
        x->error = error;
        pthread_mutex_unlock(&x->lock);
        if (gw_phase_row(p)->owner != GW_OWNER_DESTINATION)
            refuse(r, &error); /* the guest does not run here: a source that reads this takes it back */
        if (!gw_phase_row(p)->final)
            gw_session_enter(x, cancelled == -ECANCELED && gw_phase_row(p)->cancel ? GW_PHASE_RECV_CANCELLED
                                                                                   : GW_PHASE_RECV_FAILED);
    }
    if (e >= 0)
        gw_urgent_in_leave(r);
    else
        gw_urgent_in_end(r);
    /* Before the sections end, so that lanes still read meanwhile: QEMU up to 7.2 may send an empty packet after its last SYNC
     * (wire-format.md 8), and fails if it cannot, although its machine runs here. */
    if (e >= 0 && r->channel)
        take_leave(r);
    /* An undecided machine can still be claimed. */
    kept = e >= 0 || gw_session_phase(x) == GW_PHASE_RECV_UNDECIDED;
    for (unsigned i = 0; !r->postcopy.stands && i < r->plan.lives; i++)
        r->plan.live[i]->ops->load_cleanup(r->plan.live[i], kept);
    gw_session_close_pages(&r->session);
    x->vm->devices->settle(x->vm);
    if (r->channel) {
        gw_session_set_channel(x, NULL);
        gw_answers_open(&r->answers, NULL);
        gw_channel_shutdown(r->channel);
        gw_reader_close(&r->reader);
        r->channel = gw_channel_free(r->channel);
    }
    gw_door_close(r);
    r->listener = gw_listener_free(r->listener);
    gw_recovery_close(r);
    gw_vm_end(x->vm);
    gw_session_end(x);
    return NULL;
}

static int prepare(struct gw_recv *r, const struct gw_recv_config *config, struct gw_error *err)
{
    struct gw_plan_pages pages = {.lanes = {.open = gw_pages_await, .opaque = r, .failed = lane_failed, .lost = gw_pages_lost},
                                  .asks = {.ask = gw_follow_ask, .failed = gw_follow_deaf, .opaque = r}};
    struct gw_vm *vm = r->session.vm;
    int e;

    if (!config->uri == !config->take_channel)
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "give either a URI or a channel to receive from, one of the two");
    gw_plan_decide(&r->plan, vm->options);
    r->regains = vm->image && vm->image->awaits && vm->image->received;
    if (r->regains && !config->uri)
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "the rest of a machine can be received at a URI only: give one");
    if (gw_vm_running(vm))
        return gw_fail(err, -EBUSY, GW_BLAME_CALLER, "a machine that runs cannot receive another one's state");
    r->hello_ns = config->hello_timeout_ns ? config->hello_timeout_ns : DEFAULT_HELLO_NS;
    r->timeout_ns = config->progress_timeout_ns == UINT64_MAX ? 0 : config->progress_timeout_ns;
    r->vmdesc_wait_ns = config->vmdesc_wait_ns ? config->vmdesc_wait_ns : DEFAULT_VMDESC_NS;
    r->start_paused = config->start_paused;
    r->started_ns = now(r);
    r->session.pages_timeout_ns = r->timeout_ns;
    if (config->uri) {
        struct gw_uri uri;

        e = gw_uri_parse(config->uri, &uri, err);
        if (e >= 0)
            e = gw_session_check_uri(&r->session, &uri, err);
        if (e >= 0)
            e = gw_listen(&uri, GW_RECV_BACKLOG, &r->listener, err);
        if (e < 0)
            return e;
        gw_listener_uri(r->listener, &r->address);
        r->has_listener = true;
    }
    e = gw_pages_count(vm, r->listener && gw_listener_is_socket(r->listener), config->uri, &pages.count, err);
    if (e < 0)
        return e;
    e = gw_plan_check_urgent(vm, r->listener && gw_listener_is_socket(r->listener), err);
    if (e < 0)
        return e;
    r->classify = (struct gw_classify){.any_uuid = vm->guest->at_rest, .pages = pages.count};
    memcpy(r->classify.uuid, vm->uuid, sizeof r->classify.uuid);
    if (r->regains && !gw_listener_is_socket(r->listener))
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "the rest of a machine can be received at a tcp:, unix: or vsock: address "
                       "only, where its source can connect again");
    r->awaits = r->regains || (config->await_source && vm->guest->at_rest && r->listener && gw_listener_is_socket(r->listener));
    if (r->regains) {
        r->postcopy.door = r->listener;
        r->listener = NULL;
    }
    e = gw_waits_begin(r, err);
    pages.asks.blocktime = r->blocktime;
    if (e >= 0)
        e = gw_plan_recv(&r->plan, vm, &pages, err);
    r->classify.urgent = r->plan.urgent_in;
    return e;
}

static struct gw_recv *destroy(struct gw_recv *r)
{
    gw_pages_forget(r);
    gw_session_join(&r->session);
    gw_plan_close(&r->plan);
    gw_blocktime_free(r->blocktime); /* the plan's store reports to it */
    gw_follow_end(r); /* threads that waited for a page go on now, and may call the session */
    gw_session_close(&r->session);
    gw_answers_fini(&r->answers);
    free(r->bound);
    free(r);
    return NULL;
}

/* Called when the session's thread was not started. */
static void give_up(struct gw_recv *r)
{
    gw_listener_free(r->listener);
    gw_recovery_close(r);
    gw_channel_free(r->channel);
    gw_session_put_options_back(&r->session);
    gw_vm_end(r->session.vm);
    destroy(r);
}

int gw_recv_new(struct gw_vm *vm, const struct gw_recv_config *config, struct gw_recv **ret_recv, struct gw_error *err)
{
    struct gw_recv *r = calloc(1, sizeof *r);
    int e;

    if (!r) {
        gw_channel_free(config->take_channel);
        return gw_nomem(err, "migration session");
    }
    gw_answers_init(&r->answers, &vm->trace);
    e = gw_session_init(&r->session, vm, config->on_event, config->opaque, err);
    if (e >= 0)
        e = gw_vm_begin(vm, false, err);
    if (e < 0) {
        gw_channel_free(config->take_channel);
        destroy(r);
        return e;
    }
    r->channel = config->take_channel;
    e = gw_session_take_options(&r->session, config->options, err);
    if (e >= 0)
        e = prepare(r, config, err);
    if (e < 0) {
        give_up(r);
        return e;
    }
    gw_session_enter(&r->session, r->regains ? GW_PHASE_RECV_PAUSED : GW_PHASE_LISTEN);
    *ret_recv = r;
    return 0;
}

int gw_recv_start_sized(struct gw_vm *vm, const struct gw_recv_config *config, size_t config_bytes,
                        struct gw_recv **ret_recv, struct gw_error *err)
{
    struct gw_recv_config own;
    struct gw_recv *r;
    int e = gw_sized_in(&own, sizeof own, config, config_bytes, GW_SIZED_UNTIL(struct gw_recv_config, take_channel),
                        "struct gw_recv_config", err);

    if (e < 0) {
        gw_channel_free(own.take_channel);
        return e;
    }
    e = gw_recv_new(vm, &own, &r, err);
    if (e < 0)
        return e;
    e = gw_session_run(&r->session, gw_recv_main, r, err);
    if (e < 0) {
        give_up(r);
        return e;
    }
    *ret_recv = r;
    return 0;
}

int gw_recv_wait(struct gw_recv *r, struct gw_error *err)
{
    return gw_session_wait(&r->session, err);
}

int gw_recv_fd(struct gw_recv *r, struct gw_error *err)
{
    return gw_session_fd(&r->session, err);
}

int gw_recv_cancel(struct gw_recv *r, struct gw_error *err)
{
    return gw_session_cancel(&r->session, err);
}

void gw_recv_yank(struct gw_recv *r)
{
    gw_session_yank(&r->session);
}

enum gw_status gw_recv_status(struct gw_recv *r)
{
    return gw_phase_row(gw_session_phase(&r->session))->status;
}

enum gw_owner gw_recv_owner(struct gw_recv *r)
{
    return gw_phase_row(gw_session_phase(&r->session))->owner;
}

int gw_recv_claim(struct gw_recv *r, struct gw_error *err)
{
    struct gw_session *x = &r->session;
    int e = 0;

    pthread_mutex_lock(&x->lock);
    if (!x->ended || x->phase != GW_PHASE_RECV_UNDECIDED)
        e = gw_fail(err, x->phase == GW_PHASE_ARRIVED ? -EALREADY : -EINVAL, GW_BLAME_CALLER,
                    "there is nothing to claim: the migration is %s", gw_status_name(gw_phase_row(x->phase)->status));
    else if (r->claimed)
        e = gw_fail(err, -EALREADY, GW_BLAME_CALLER, "the machine was claimed already");
    r->claimed |= e >= 0;
    pthread_mutex_unlock(&x->lock);
    if (e < 0)
        return e;
    /* Fails while another session fills this machine. */
    e = gw_vm_begin(x->vm, false, err);
    if (e >= 0) {
        e = gw_recv_run_machine(r, err);
        gw_vm_end(x->vm);
    }
    if (e >= 0) {
        gw_session_enter(x, GW_PHASE_ARRIVED);
        return 0;
    }
    pthread_mutex_lock(&x->lock);
    r->claimed = false;
    pthread_mutex_unlock(&x->lock);
    return e;
}

void gw_recv_stats_sized(struct gw_recv *r, struct gw_stats *ret_stats, size_t stats_bytes)
{
    struct gw_stats stats;

    pthread_mutex_lock(&r->session.lock);
    stats = r->session.stats;
    pthread_mutex_unlock(&r->session.lock);
    gw_sized_out(ret_stats, stats_bytes, &stats, sizeof stats);
}

void gw_recv_address(struct gw_recv *r, char *buf, size_t size)
{
    pthread_mutex_lock(&r->session.lock);
    if (r->has_listener)
        gw_uri_format(&r->address, buf, size);
    else
        gw_strcopy(buf, size, "");
    pthread_mutex_unlock(&r->session.lock);
}

struct gw_recv *gw_recv_free(struct gw_recv *r)
{
    if (!r)
        return NULL;
    /* Too late for a cancel: then at least stop waiting for the peer. */
    if (gw_session_cancel(&r->session, NULL) < 0)
        gw_session_yank(&r->session);
    return destroy(r);
}
