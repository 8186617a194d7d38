/* SPDX-License-Identifier: MIT */
#include "fake_engine.h"

#include "godwit/history.h"

struct fake_engine fake;
static pthread_mutex_t order = PTHREAD_MUTEX_INITIALIZER;

struct fake_engine *fake_now(void)
{
    pthread_mutex_lock(&order);
    pthread_mutex_unlock(&order);
    return &fake;
}

/* ---- both kinds of session --------------------------------------------------------------------------------------- */

void fake_status(struct fake_session *s, enum gw_status status)
{
    struct gw_event e = {.type = GW_EVENT_STATUS, .status = status};

    pthread_mutex_lock(&order);
    s->status = status;
    pthread_mutex_unlock(&order);
    s->on_event(s->opaque, &e);
}

void fake_event(struct fake_session *s, enum gw_event_type type, uint64_t pass)
{
    struct gw_event e = {.type = type, .pass = pass};

    s->on_event(s->opaque, &e);
}

static int start(bool incoming, const char *uri, struct gw_channel *take_channel, const char *peer, uint64_t timeout_ns,
                 gw_event_fn on_event, void *opaque, struct fake_session **ret_session, struct gw_error *err)
{
    struct fake_session *s = NULL;
    int fails;

    pthread_mutex_lock(&order);
    fails = fake.start_fails;
    if (!fails)
        s = fake.session = calloc(1, sizeof *s);
    if (s) {
        gw_strcopy(s->uri, sizeof s->uri, uri ? uri : take_channel->name);
        s->channel = take_channel;
        gw_strcopy(s->peer, sizeof s->peer, peer ? peer : "");
        s->timeout_ns = timeout_ns;
        s->on_event = on_event;
        s->opaque = opaque;
        fake.incoming = incoming;
        fake.started++;
    }
    pthread_mutex_unlock(&order);
    if (!s) {
        gw_channel_free(take_channel);
        return gw_fail(err, fails ? fails : -ENOMEM, GW_BLAME_LOCAL, "no luck");
    }
    fake_status(s, GW_STATUS_SETUP);
    *ret_session = s;
    return 0;
}

static enum gw_status status_of(struct fake_session *s)
{
    enum gw_status status;

    pthread_mutex_lock(&order);
    status = s->status;
    pthread_mutex_unlock(&order);
    return status;
}

static enum gw_owner owner_of(struct fake_session *s)
{
    enum gw_owner owner;

    pthread_mutex_lock(&order);
    owner = s->owner;
    pthread_mutex_unlock(&order);
    return owner;
}

static void stats(struct fake_session *s, struct gw_stats *ret_stats)
{
    pthread_mutex_lock(&order);
    *ret_stats = s->stats;
    ret_stats->status = s->status;
    pthread_mutex_unlock(&order);
}

static int steer(struct fake_session *s, unsigned *count, struct gw_error *err)
{
    int r;

    pthread_mutex_lock(&order);
    ++*count;
    r = s->refuse;
    pthread_mutex_unlock(&order);
    return r ? gw_fail(err, r, GW_BLAME_CALLER, "too late") : 0;
}

static void end(struct fake_session *s)
{
    if (!s)
        return;
    if (status_of(s) < GW_STATUS_COMPLETED)
        fake_status(s, GW_STATUS_CANCELLED);
    pthread_mutex_lock(&order);
    fake.freed++;
    fake.session = NULL;
    pthread_mutex_unlock(&order);
    gw_channel_free(s->channel);
    free(s);
}

/* ---- send.h ------------------------------------------------------------------------------------------------------ */

int gw_send_start_sized(struct gw_vm *vm, const struct gw_send_config *config, size_t config_bytes,
                        struct gw_send **ret_send, struct gw_error *err)
{
    const char *reason = atomic_load(&vm->blocker);
    int r;

    if (reason) {
        gw_channel_free(config->take_channel);
        return gw_fail(err, -EBUSY, GW_BLAME_CALLER, "migration is blocked: %s", reason);
    }
    r = start(false, config->uri, config->take_channel, config->peer, config->progress_timeout_ns, config->on_event,
              config->opaque, (struct fake_session **)ret_send, err);
    if (r == 0)
        (*ret_send)->s.resumes = config->resume;
    fake_now();
    return r;
}

int gw_send_wait(struct gw_send *s, struct gw_error *err)
{
    return 0;
}

int gw_send_cancel(struct gw_send *s, struct gw_error *err)
{
    return steer(&s->s, &s->s.cancels, err);
}

int gw_send_continue(struct gw_send *s, struct gw_error *err)
{
    return steer(&s->s, &s->s.continues, err);
}

int gw_send_start_postcopy(struct gw_send *s, struct gw_error *err)
{
    return steer(&s->s, &s->s.postcopies, err);
}

int gw_send_pause(struct gw_send *s, struct gw_error *err)
{
    return steer(&s->s, &s->s.pauses, err);
}

void gw_send_yank(struct gw_send *s)
{
    steer(&s->s, &s->s.yanks, NULL);
}

enum gw_status gw_send_status(struct gw_send *s)
{
    return status_of(&s->s);
}

enum gw_owner gw_send_owner(struct gw_send *s)
{
    return owner_of(&s->s);
}

void gw_send_stats_sized(struct gw_send *s, struct gw_stats *ret_stats, size_t stats_bytes)
{
    stats(&s->s, ret_stats);
}

void gw_send_history_sized(struct gw_send *s, struct gw_history *ret_history, size_t history_bytes)
{
    struct gw_history h = {.stopped_ns = 5000, .samples = 1, .rounds = 1};

    h.sample[0] = (struct gw_sample){1000, 2, 3, 4, 5};
    h.round[0] = (struct gw_past_round){.first = 1, .count = 1, .duration_ns = 2000, .bytes = 7, .limit_bytes = 8};
    memcpy(ret_history, &h, history_bytes);
}

struct gw_send *gw_send_free(struct gw_send *s)
{
    end((struct fake_session *)s);
    return NULL;
}

/* ---- recv.h ------------------------------------------------------------------------------------------------------ */

int gw_recv_start_sized(struct gw_vm *vm, const struct gw_recv_config *config, size_t config_bytes,
                        struct gw_recv **ret_recv, struct gw_error *err)
{
    int r = start(true, config->uri, config->take_channel, NULL, config->progress_timeout_ns, config->on_event,
                  config->opaque, (struct fake_session **)ret_recv, err);

    pthread_mutex_lock(&order);
    if (r == 0)
        fake.session->start_paused = config->start_paused;
    pthread_mutex_unlock(&order);
    return r;
}

int gw_recv_wait(struct gw_recv *r, struct gw_error *err)
{
    return 0;
}

int gw_recv_cancel(struct gw_recv *r, struct gw_error *err)
{
    return steer(&r->s, &r->s.cancels, err);
}

void gw_recv_yank(struct gw_recv *r)
{
    steer(&r->s, &r->s.yanks, NULL);
}

bool gw_recv_touched(const struct gw_recv *r)
{
    bool touched;

    pthread_mutex_lock(&order);
    touched = r->s.touched;
    pthread_mutex_unlock(&order);
    return touched;
}

enum gw_status gw_recv_status(struct gw_recv *r)
{
    return status_of(&r->s);
}

enum gw_owner gw_recv_owner(struct gw_recv *r)
{
    return owner_of(&r->s);
}

int gw_recv_claim(struct gw_recv *r, struct gw_error *err)
{
    return steer(&r->s, &r->s.claims, err);
}

int gw_recv_recover(struct gw_recv *r, const char *uri, struct gw_error *err)
{
    return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "there is no postcopy here that was paused");
}

int gw_recv_pause(struct gw_recv *r, struct gw_error *err)
{
    return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "there is no postcopy under way here that could be paused");
}

void gw_recv_stats_sized(struct gw_recv *r, struct gw_stats *ret_stats, size_t stats_bytes)
{
    stats(&r->s, ret_stats);
}

/* vCPU i waited i + 1 milliseconds, with a latency of i + 1 microseconds. */
bool gw_recv_waits_sized(struct gw_recv *r, struct gw_postcopy_waits *ret_waits, size_t waits_bytes,
                         struct gw_vcpu_waits *ret_vcpu, unsigned max)
{
    if (r->s.waits)
        *ret_waits = *r->s.waits;
    for (unsigned i = 0; i < max; i++)
        ret_vcpu[i] = (struct gw_vcpu_waits){(i + 1) * GW_NS_PER_MS, (i + 1) * 1000};
    return r->s.waits;
}

void gw_recv_address(struct gw_recv *r, char *buf, size_t size)
{
    gw_strcopy(buf, size, "tcp:127.0.0.1:4321");
}

struct gw_recv *gw_recv_free(struct gw_recv *r)
{
    end((struct fake_session *)r);
    return NULL;
}

/* ---- events.h ---------------------------------------------------------------------------------------------------- */

const char *gw_status_name(enum gw_status status)
{
    static const char *const names[GW_STATUS_COUNT] = {
        "none",
        "setup",
        "active",
        "device",
        "pre-switchover",
        "postcopy-active",
        "postcopy-paused",
        "postcopy-recover-setup",
        "postcopy-recover",
        "wait-unplug",
        "colo",
        "completed",
        "failed",
        "cancelling",
        "cancelled",
    };

    return names[status];
}
