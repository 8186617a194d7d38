/* SPDX-License-Identifier: MIT */
#include "fake_engine.h"

#include <sched.h>
#include <stdio.h>

#include "godwit/history.h"
#include "godwit/state.h"

struct fake_engine fake;
static pthread_mutex_t order = PTHREAD_MUTEX_INITIALIZER;

struct fake_engine *fake_now(void)
{
    pthread_mutex_lock(&order);
    pthread_mutex_unlock(&order);
    return &fake;
}

/* ---- the vm ------------------------------------------------------------------------------------------------------ */

struct gw_options *gw_vm_options(struct gw_vm *vm)
{
    return vm->options;
}

const char *gw_vm_tracker_name(const struct gw_vm *vm)
{
    return "pagemap";
}

struct gw_disk *gw_vm_disk_at(struct gw_vm *vm, unsigned i)
{
    return i ? NULL : vm->disk;
}

struct gw_disk *gw_vm_find_disk(struct gw_vm *vm, const char *name)
{
    struct gw_disk_info info = {0};

    if (vm->disk)
        gw_disk_describe(vm->disk, &info);
    return vm->disk && (!strcmp(info.device, name) || !strcmp(info.node, name)) ? vm->disk : NULL;
}

int gw_vm_map_bitmaps(struct gw_vm *vm, const struct gw_bitmap_alias *a, size_t count, struct gw_error *err)
{
    size_t n = 0;

    fake_now();
    snprintf(vm->mapped, sizeof vm->mapped, "%s", a ? "" : "none");
    for (size_t i = 0; i < count; i++)
        n += (size_t)snprintf(vm->mapped + n, sizeof vm->mapped - n, "%s=%s/%s=%s%s ", a[i].disk, a[i].disk_alias,
                              a[i].bitmap, a[i].alias, !a[i].set_persistent ? "" : a[i].persistent ? "+" : "-");
    fake_now();
    return 0;
}

bool gw_vm_for_each_bitmap_alias(struct gw_vm *vm, void (*f)(void *opaque, const struct gw_bitmap_alias *alias), void *opaque)
{
    bool any;

    fake_now();
    for (unsigned i = 0; i < vm->alias_count; i++)
        f(opaque, &vm->aliases[i]);
    any = vm->aliases != NULL;
    fake_now();
    return any;
}

enum gw_vm_place gw_vm_place(const struct gw_vm *vm)
{
    return (enum gw_vm_place)atomic_load(&fake.place);
}

bool gw_vm_runs_elsewhere(const struct gw_vm *vm)
{
    return atomic_load(&vm->elsewhere);
}

int gw_dirty_rate_start_sized(struct gw_vm *vm, const struct gw_dirty_rate_config *config, size_t config_bytes,
                              struct gw_error *err)
{
    pthread_mutex_lock(&order);
    vm->measure = *config;
    pthread_mutex_unlock(&order);
    return config->duration_ns ? 0 : gw_fail(err, -EINVAL, GW_BLAME_CALLER, "no time");
}

void gw_dirty_rate_get_sized(struct gw_vm *vm, struct gw_dirty_rate *ret, size_t ret_bytes)
{
    fake_now();
    *ret = vm->rate;
    fake_now();
}

int gw_survey_start_sized(struct gw_vm *vm, const struct gw_survey_config *config, size_t config_bytes, struct gw_error *err)
{
    fake_now();
    vm->survey_config = *config;
    gw_strcopy(vm->probe, sizeof vm->probe, config->probe ? config->probe : "");
    fake_now();
    return 0;
}

void gw_survey_get_sized(struct gw_vm *vm, struct gw_survey *ret, size_t ret_bytes)
{
    fake_now();
    *ret = vm->survey;
    fake_now();
}

int gw_vm_announce_sized(struct gw_vm *vm, const struct gw_announce_config *config, size_t config_bytes, struct gw_error *err)
{
    size_t n;

    fake_now();
    vm->announce = *config;
    n = (size_t)snprintf(vm->announced, sizeof vm->announced, "%s:%s", config->id ? config->id : "-", config->interfaces ? "" : " all");
    for (size_t i = 0; i < config->interface_count; i++)
        n += (size_t)snprintf(vm->announced + n, sizeof vm->announced - n, " %s", config->interfaces[i]);
    fake_now();
    return config->rounds > 1000 ? gw_fail(err, -ERANGE, GW_BLAME_CALLER, "so many rounds") : 0;
}

int gw_dirty_rate_vcpu(struct gw_vm *vm, unsigned vcpu, uint64_t *ret_bytes_per_s)
{
    if (vcpu > 1)
        return -ENOENT;
    fake_now();
    *ret_bytes_per_s = vm->rates[vcpu];
    fake_now();
    return 0;
}

int gw_vcpu_dirty_limit_set(struct gw_vm *vm, int vcpu, uint64_t bytes_per_s, struct gw_error *err)
{
    fake_now();
    if (vm->unlimited)
        return gw_fail(err, -ENOTSUP, GW_BLAME_CALLER, "no limits here");
    if (vcpu > 1)
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "no such vCPU");
    for (int i = 0; i < 2; i++)
        if (vcpu == GW_EVERY_VCPU || vcpu == i)
            vm->limits[i] = bytes_per_s;
    fake_now();
    return 0;
}

int gw_vcpu_dirty_limit_get(struct gw_vm *vm, unsigned vcpu, uint64_t *ret_limit, uint64_t *ret_current)
{
    if (vcpu > 1)
        return -ENOENT;
    fake_now();
    *ret_limit = vm->limits[vcpu];
    *ret_current = vm->rates[vcpu];
    fake_now();
    return 0;
}

/* ---- snapshots: what was asked for is noted down */

static int fake_snapshot(struct gw_vm *vm, const char *what, const struct gw_vm_snapshot *s, struct gw_error *err)
{
    const struct gw_event stop = {.type = GW_EVENT_STOP}, resume = {.type = GW_EVENT_RESUME};

    while (atomic_load(&vm->snapshot_held))
        sched_yield();
    snprintf(vm->snapshot, sizeof vm->snapshot, "%s %s %u%s", what, s->name, s->disk_count, s->state ? " state" : "");
    fake_now();
    if (strcmp(what, "delete")) {
        s->on_event(s->opaque, &stop);
        s->on_event(s->opaque, &resume);
    }
    return strcmp(s->name, "bad") ? 0 : gw_fail(err, -EIO, GW_BLAME_LOCAL, "no luck");
}

int gw_vm_snapshot_save_sized(struct gw_vm *vm, const struct gw_vm_snapshot *s, size_t bytes, struct gw_error *err)
{
    return fake_snapshot(vm, "save", s, err);
}

int gw_vm_snapshot_load_sized(struct gw_vm *vm, const struct gw_vm_snapshot *s, size_t bytes, struct gw_error *err)
{
    return fake_snapshot(vm, "load", s, err);
}

int gw_vm_snapshot_delete_sized(struct gw_vm *vm, const struct gw_vm_snapshot *s, size_t bytes, struct gw_error *err)
{
    return fake_snapshot(vm, "delete", s, err);
}

int gw_vm_snapshot_stats_sized(struct gw_vm *vm, struct gw_stats *ret_stats, size_t stats_bytes)
{
    uint64_t left = atomic_load(&vm->saving);

    if (!left)
        return -ENOENT;
    *ret_stats = (struct gw_stats){
        .status = GW_STATUS_ACTIVE, .total_bytes = 4000, .remaining_bytes = left, .transferred_bytes = 1234};
    return 0;
}

/* Whose device state is one byte. */
int gw_state_save(struct gw_vm *vm, void **ret_blob, size_t *ret_bytes, struct gw_error *err)
{
    char *blob = malloc(1);

    if (!blob)
        return gw_fail(err, -ENOMEM, GW_BLAME_LOCAL, "out of memory");
    *blob = 's';
    *ret_blob = blob;
    *ret_bytes = 1;
    return 0;
}

int gw_state_load(struct gw_vm *vm, const void *blob, size_t bytes, struct gw_error *err)
{
    return bytes == 1 && *(const char *)blob == 's' ? 0 : gw_fail(err, -EPROTO, GW_BLAME_PEER, "no state of the fake");
}

int gw_vm_came_back(struct gw_vm *vm, struct gw_error *err)
{
    atomic_fetch_add(&vm->came_back, 1);
    return 0;
}

bool gw_vm_memory_given(const struct gw_vm *vm)
{
    return atomic_load(&vm->memory_given);
}

void gw_vm_for_each_blocker(struct gw_vm *vm, void (*f)(void *opaque, const char *reason), void *opaque)
{
    const char *reason = atomic_load(&vm->blocker);

    if (reason)
        f(opaque, reason);
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
