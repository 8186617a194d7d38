/* SPDX-License-Identifier: MIT */
#include "engine/send.h"

#include "base/sized.h"
#include "engine/pages.h"

#define DEFAULT_TIMEOUT_NS (30 * GW_NS_PER_S)
#define REPORT_NS          GW_NS_PER_S /* time for a report that is under way when the channel is found closed */

static uint64_t now(const struct gw_send *s)
{
    return gw_now_ns(&s->session.vm->clock);
}

int gw_send_check(struct gw_send *s, struct gw_error *err)
{
    int r = gw_session_check(&s->session, err);

    if (r < 0)
        return r;
    pthread_mutex_lock(&s->session.lock);
    if (s->urgent_error.code) {
        r = s->urgent_error.code;
        if (err)
            *err = s->urgent_error;
    } else if (s->rp.ended) {
        r = s->rp.error.code ? s->rp.error.code : -EPROTO;
        if (s->rp.error.code && err)
            *err = s->rp.error;
        else
            gw_fail(err, r, GW_BLAME_PEER, "the destination ended the migration before it was complete");
    }
    pthread_mutex_unlock(&s->session.lock);
    return r;
}

int gw_send_await(struct gw_send *s, bool (*came)(const struct gw_rp *rp), const char *missing, struct gw_error *err)
{
    uint64_t deadline = s->timeout_ns ? now(s) + s->timeout_ns : UINT64_MAX;
    struct gw_session *x = &s->session;
    bool in_time = true, here;
    int r;

    pthread_mutex_lock(&x->lock);
    while (in_time && !came(&s->rp) && !s->rp.ended && !x->cancelled && !x->yanked)
        in_time = gw_session_wait_until(x, deadline);
    here = came(&s->rp);
    pthread_mutex_unlock(&x->lock);
    if (here)
        return 0;
    r = gw_send_check(s, err);
    return r < 0 ? r : gw_fail(err, -ETIMEDOUT, GW_BLAME_CHANNEL, "the destination %s", missing);
}

void gw_send_prefer_report(struct gw_send *s, struct gw_error *err)
{
    uint64_t deadline = now(s) + REPORT_NS;
    struct gw_session *x = &s->session;

    if (err->blame != GW_BLAME_CHANNEL || err->code == -ETIMEDOUT)
        return;
    pthread_mutex_lock(&x->lock);
    while (s->rp.running && !s->rp.ended && !x->cancelled && !x->yanked && gw_session_wait_until(x, deadline))
        ;
    if (s->rp.ended && s->rp.error.code &&
        (s->rp.shut || s->rp.error.blame == GW_BLAME_PEER || err->code == -ECANCELED))
        *err = s->rp.error;
    pthread_mutex_unlock(&x->lock);
}

void gw_send_sleep(struct gw_send *s, uint64_t ns)
{
    uint64_t deadline = now(s) + ns;

    pthread_mutex_lock(&s->session.lock);
    while (!s->session.cancelled && !s->session.yanked && !s->rp.ended && gw_session_wait_until(&s->session, deadline))
        ;
    pthread_mutex_unlock(&s->session.lock);
}

static int run(struct gw_send *s, struct gw_error *err)
{
    int r;

    if (s->resume)
        return gw_send_resume(s, err);
    r = gw_send_setup(s, err);

    if (r < 0)
        return r;
    gw_session_enter(&s->session, GW_PHASE_ACTIVE);
    if (s->plan.snapshot)
        return gw_send_snapshot(s, err);
    if (s->stays)
        return gw_send_save(s, err);
    r = gw_send_iterate(s, err);
    if (r < 0)
        return r;
    return s->postcopy ? gw_send_postcopy(s, err) : gw_send_switchover(s, err);
}

/* Enters a final phase; starts the guest again if the source still owns it and it ran before. */
static void settle(struct gw_send *s, int r)
{
    struct gw_session *x = &s->session;
    struct gw_vm *vm = x->vm;
    struct gw_error error = GW_ERROR_INIT;
    bool cancelled;

    if (!gw_phase_row(gw_session_phase(x))->final) {
        pthread_mutex_lock(&x->lock);
        cancelled = x->cancelled || (x->error.code == -ECANCELED && x->error.blame == GW_BLAME_EMBEDDER);
        pthread_mutex_unlock(&x->lock);
        gw_session_enter(x, cancelled ? GW_PHASE_CANCELLING : GW_PHASE_SEND_FAILED);
    }
    if (s->channel)
        gw_channel_shutdown(s->channel);
    if (s->plan.requests)
        gw_requests_close(s->plan.requests);
    gw_preempt_end(s);
    gw_rp_join(&s->rp);
    if (gw_phase_row(gw_session_phase(x))->owner == GW_OWNER_SOURCE)
        gw_ram_seal(&vm->ram, false); /* the machine continues here */
    if (gw_phase_row(gw_session_phase(x))->owner == GW_OWNER_SOURCE && s->stopped) {
        if (gw_vm_start(vm, &error) < 0)
            gw_session_log(x, "the machine could not be started again after the migration: %s", error.text);
        else
            gw_session_event(x, GW_EVENT_RESUME, 0);
    }
    if (gw_session_phase(x) == GW_PHASE_SENT && vm->ops->handed_over)
        vm->ops->handed_over(vm->opaque, GW_HAND_OVER_LEFT);
}

#define UNREAD_BYTES (32u << 20)

/* Adds settings that the peer may have rejected, if only its log can tell the reason. */
static void suspect(struct gw_send *s, struct gw_error *err)
{
    const struct gw_stats *st = &s->session.stats;
    bool says_why;

    pthread_mutex_lock(&s->session.lock);
    /* A peer that answers a PING behind pages has read them. Without such an answer, a second pass is a sign of it,
     * unless the first pass can still be buffered in the connections. */
    says_why = s->rp.hello || s->session.cancelled || s->session.yanked || s->rp.pongs > (s->rp.asks ? 2 : 1) ||
               (st->dirty_sync_count > 1 && st->transferred_bytes > UNREAD_BYTES);
    pthread_mutex_unlock(&s->session.lock);
    if (says_why)
        return;
    if (err->blame != GW_BLAME_PEER && err->blame != GW_BLAME_CHANNEL)
        return;
    if (st->compression.pages)
        gw_context(err, "pages are sent compressed (capability compress): it must be on there too; QEMU 9.1 and later refuse them");
    if (gw_plan_pages_by(s->session.vm->options) == GW_PAGES_BY_CHANNELS)
        gw_context(err, "multifd is on: it must be on there too, with the same multifd-channels, multifd-compression and UUID");
}

static void *send_main(void *arg)
{
    struct gw_send *s = arg;
    struct gw_vm *vm = s->session.vm;
    struct gw_error error = GW_ERROR_INIT;
    int r = run(s, &error);

    if (s->throttle.percent && vm->ops->throttle)
        vm->ops->throttle(vm->opaque, 0);
    if (s->throttle.vcpu_bytes_per_s && vm->ops->dirty_limit)
        vm->ops->dirty_limit(vm->opaque, 0);
    if (s->writing)
        gw_send_publish(s);
    if (r < 0) {
        int cancelled;

        if (!gw_phase_row(gw_session_phase(&s->session))->final)
            gw_send_prefer_report(s, &error);
        suspect(s, &error);
        cancelled = gw_session_check(&s->session, NULL);
        pthread_mutex_lock(&s->session.lock);
        if (cancelled == -ECANCELED && gw_phase_row(s->session.phase)->owner == GW_OWNER_SOURCE)
            gw_fail(&error, -ECANCELED, GW_BLAME_CALLER, "cancelled");
        if (!error.code)
            gw_fail(&error, r, GW_BLAME_LOCAL, "%s", strerror(-r));
        s->session.error = error;
        pthread_mutex_unlock(&s->session.lock);
    }
    settle(s, r);
    for (unsigned i = 0; i < s->plan.lives; i++)
        s->plan.live[i]->ops->cleanup(s->plan.live[i]);
    gw_session_close_pages(&s->session);
    gw_vm_notify(vm, GW_NOTIFY_CLEANUP, NULL);
    if (s->channel) {
        gw_session_set_channel(&s->session, NULL);
        s->channel = gw_channel_free(s->channel);
    }
    gw_earlier_keep(s);
    gw_vm_end(vm);
    if (gw_session_phase(&s->session) == GW_PHASE_CANCELLING)
        gw_session_enter(&s->session, GW_PHASE_CANCELLED);
    gw_session_end(&s->session);
    return NULL;
}

/* Whether the address accepts more than one connection. */
static bool is_many(const struct gw_uri *uri)
{
    return uri->kind == GW_URI_TCP || uri->kind == GW_URI_UNIX || uri->kind == GW_URI_VSOCK;
}

static int prepare(struct gw_send *s, const struct gw_send_config *config, struct gw_error *err)
{
    struct gw_plan_pages pages = {.lanes = {.open = gw_pages_dial, .opaque = s, .account = &s->account}};
    struct gw_plan_asked asked;
    int r;

    s->profile = gw_wire_profile(config->peer ? config->peer : "godwit");
    if (!s->profile)
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "no peer is called %s: 7.2, 8.1, 9.0, 10.0, godwit", config->peer);
    if (!config->uri == !config->take_channel)
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "name either a URI or a channel to send to, one of the two");
    if (config->uri) {
        r = gw_uri_parse(config->uri, &s->uri, err);
        if (r >= 0)
            r = gw_session_check_uri(&s->session, &s->uri, err);
        if (r < 0)
            return r;
        s->has_uri = true;
    }
    asked = (struct gw_plan_asked){.peer = s->profile, .many = s->has_uri && is_many(&s->uri), .disks = config->disks,
                                   .resume = config->resume, .postcopy = config->postcopy};
    r = gw_plan_check_send(s->session.vm, &asked, err);
    if (r < 0)
        return r;
    s->plan.disks = config->disks;
    s->resume = config->resume;
    s->postcopy_asked = config->postcopy;
    s->timeout_ns = config->progress_timeout_ns == UINT64_MAX ? 0
                    : config->progress_timeout_ns             ? config->progress_timeout_ns
                                                              : DEFAULT_TIMEOUT_NS;
    s->started_ns = now(s);
    gw_history_begin(&s->history, s->started_ns);
    s->session.pages_timeout_ns = s->timeout_ns;
    s->plan.cancel = s->session.cancel;
    if (gw_plan_pages_by(s->session.vm->options) == GW_PAGES_BY_FILE) {
        pages.lanes.open = gw_session_open_beside;
        pages.lanes.opaque = &s->session;
    }
    pages.profile = gw_wire_profile_multifd(s->profile, s->session.vm->machine);
    s->preempt_first = pages.profile->preempt_first;
    if (!s->resume && gw_plan_lanes_follow(s->session.vm->options))
        pages.profile = s->profile; /* a godwit, whatever version the machine type has */
    pages.as_is = &s->rp.as_is;
    if (!s->resume) /* a session that resumes sends the rest on the main stream */
        r = gw_pages_count(s->session.vm, asked.many, config->uri, &pages.count, err);
    if (r < 0)
        return r;
    if (s->has_uri && s->uri.kind != GW_URI_TCP)
        pages.copies = config->uri;
    return gw_plan_send(&s->plan, s->session.vm, &pages, err);
}

/* stay NULL: a migration, the machine leaves. */
static int start(struct gw_vm *vm, const struct gw_send_config *config, const struct gw_send_stay *stay, struct gw_send **ret_send,
                 struct gw_error *err)
{
    struct gw_send *s = calloc(1, sizeof *s);
    bool begun = false, inited = false;
    int r;

    if (!s) {
        gw_channel_free(config->take_channel);
        return gw_nomem(err, "migration session");
    }
    s->channel = config->take_channel;
    s->stays = stay;
    s->was_running = stay && stay->ran;
    gw_pace_init(&s->pace, &vm->clock, 0);
    gw_account_init(&s->account, &vm->clock);
    r = gw_session_init(&s->session, vm, config->on_event, config->opaque, err);
    inited = true;
    if (r >= 0)
        r = gw_vm_begin(vm, true, err);
    begun = r >= 0;
    if (r >= 0 && !config->resume)
        r = gw_vm_must_be_here(vm, err);
    if (r >= 0)
        r = gw_session_take_options(&s->session, config->options, err);
    if (r >= 0)
        r = prepare(s, config, err);
    if (r >= 0) {
        s->undecided = gw_vm_place(vm) == GW_VM_UNDECIDED;
        gw_earlier_begin(s);
        gw_session_enter(&s->session, s->resume ? GW_PHASE_RECONNECT : GW_PHASE_CONNECT);
        r = gw_session_run(&s->session, send_main, s, err);
    }
    if (r < 0) {
        if (begun) {
            gw_session_put_options_back(&s->session);
            gw_vm_end(vm);
        }
        gw_plan_close(&s->plan);
        if (inited)
            gw_session_close(&s->session);
        gw_channel_free(s->channel);
        gw_pace_fini(&s->pace);
        free(s);
        return r;
    }
    *ret_send = s;
    return 0;
}

int gw_send_start_sized(struct gw_vm *vm, const struct gw_send_config *config, size_t config_bytes,
                        struct gw_send **ret_send, struct gw_error *err)
{
    struct gw_send_config own;
    int r = gw_sized_in(&own, sizeof own, config, config_bytes, GW_SIZED_UNTIL(struct gw_send_config, take_channel),
                        "struct gw_send_config", err);

    if (r < 0) {
        gw_channel_free(own.take_channel);
        return r;
    }
    return start(vm, &own, NULL, ret_send, err);
}

int gw_send_stay(struct gw_vm *vm, const struct gw_send_stay *how, struct gw_send **ret_send, struct gw_error *err)
{
    const struct gw_send_config config = {.take_channel = how->take_channel, .options = how->options, .on_event = how->on_event,
                                          .opaque = how->opaque, .progress_timeout_ns = UINT64_MAX};

    return start(vm, &config, how, ret_send, err);
}

int gw_send_wait(struct gw_send *s, struct gw_error *err)
{
    return gw_session_wait(&s->session, err);
}

int gw_send_fd(struct gw_send *s, struct gw_error *err)
{
    return gw_session_fd(&s->session, err);
}

int gw_send_cancel(struct gw_send *s, struct gw_error *err)
{
    return gw_session_cancel(&s->session, err);
}

int gw_send_continue(struct gw_send *s, struct gw_error *err)
{
    int r = 0;

    pthread_mutex_lock(&s->session.lock);
    if (s->session.phase != GW_PHASE_PAUSED)
        r = gw_fail(err, -EINVAL, GW_BLAME_CALLER, "the migration is in state %s, and goes on by itself: only one that stopped before the switch-over "
                    "(capability pause-before-switchover) has to be continued",
                    gw_status_name(gw_phase_row(s->session.phase)->status));
    else
        s->go_on = true;
    pthread_cond_broadcast(&s->session.changed);
    pthread_mutex_unlock(&s->session.lock);
    return r;
}

int gw_send_start_postcopy(struct gw_send *s, struct gw_error *err)
{
    struct gw_session *x = &s->session;
    struct gw_error why = GW_ERROR_INIT;
    int r = gw_plan_check_follow(x->vm, &why);

    pthread_mutex_lock(&x->lock);
    if (!s->plan.requests)
        r = gw_fail(&why, -EINVAL, GW_BLAME_CALLER,
                    "this migration began without capability postcopy-ram, so it cannot end by postcopy: cancel it, turn the "
                    "capability on, and start again");
    else if (gw_phase_row(x->phase)->status != GW_STATUS_SETUP && x->phase != GW_PHASE_ACTIVE)
        r = gw_fail(&why, -EINVAL, GW_BLAME_CALLER, "the migration is in state %s: it is too late for a switch to postcopy",
                    gw_status_name(gw_phase_row(x->phase)->status));
    if (r >= 0)
        s->postcopy_asked = true;
    else if (err)
        *err = why;
    pthread_cond_broadcast(&x->changed);
    pthread_mutex_unlock(&x->lock);
    return r;
}

int gw_send_pause(struct gw_send *s, struct gw_error *err)
{
    struct gw_session *x = &s->session;
    enum gw_phase phase;

    pthread_mutex_lock(&x->lock);
    phase = x->phase;
    pthread_mutex_unlock(&x->lock);
    if (phase != GW_PHASE_POSTCOPY && phase != GW_PHASE_RECONNECT && phase != GW_PHASE_RECOVER)
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER,
                       "the migration is in state %s: a pause breaks the connection of one by postcopy whose machine runs at the "
                       "destination already; cancel any other",
                       gw_status_name(gw_phase_row(phase)->status));
    gw_session_yank(x);
    return 0;
}

void gw_send_yank(struct gw_send *s)
{
    gw_session_yank(&s->session);
}

enum gw_status gw_send_status(struct gw_send *s)
{
    return gw_phase_row(gw_session_phase(&s->session))->status;
}

enum gw_owner gw_send_owner(struct gw_send *s)
{
    return gw_phase_row(gw_session_phase(&s->session))->owner;
}

bool gw_send_confirmed(struct gw_send *s)
{
    bool confirmed;

    pthread_mutex_lock(&s->session.lock);
    confirmed = s->session.phase == GW_PHASE_SENT && s->confirmed;
    pthread_mutex_unlock(&s->session.lock);
    return confirmed;
}

struct gw_send *gw_send_free(struct gw_send *s)
{
    if (!s)
        return NULL;
    /* Too late for a cancel: then at least stop waiting for the peer. */
    if (gw_session_cancel(&s->session, NULL) < 0)
        gw_session_yank(&s->session);
    gw_session_close(&s->session);
    gw_plan_close(&s->plan);
    gw_vmdesc_free(s->desc);
    if (s->writing)
        gw_writer_close(&s->writer);
    gw_pace_fini(&s->pace);
    free(s);
    return NULL;
}
