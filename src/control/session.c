/* SPDX-License-Identifier: MIT */
#include <stdio.h>

#include "control/internal.h"

bool gw_status_ended(enum gw_status status)
{
    return status == GW_STATUS_COMPLETED || status == GW_STATUS_FAILED || status == GW_STATUS_CANCELLED;
}

/* Called on a session's thread: takes no lock except queue. */
static void session_event(void *opaque, const struct gw_event *event)
{
    struct gw_control *c = opaque;
    bool events = false;
    char data[64];

    gw_options_get_capability(gw_vm_options(c->vm), "events", &events, NULL);
    if (event->type == GW_EVENT_STATUS && events && event->status != GW_STATUS_NONE) {
        snprintf(data, sizeof data, "{\"status\": \"%s\"}", gw_status_name(event->status));
        gw_control_emit(c, "MIGRATION", data);
    } else if (event->type == GW_EVENT_PASS && events) {
        snprintf(data, sizeof data, "{\"pass\": %" PRIu64 "}", event->pass);
        gw_control_emit(c, "MIGRATION_PASS", data);
    } else if (event->type == GW_EVENT_STOP) {
        gw_control_emit(c, "STOP", NULL);
    } else if (event->type == GW_EVENT_RESUME) {
        gw_control_emit(c, "RESUME", NULL);
    }
    if (c->config.on_event)
        c->config.on_event(c->config.opaque, event);
}

static bool sending(struct gw_control *c)
{
    enum gw_status status = c->send ? gw_send_status(c->send) : GW_STATUS_NONE;

    return c->send && !gw_status_ended(status) && status != GW_STATUS_POSTCOPY_PAUSED; /* that session has ended too */
}

static bool receiving(struct gw_control *c)
{
    return c->recv && !gw_status_ended(gw_recv_status(c->recv));
}

/* A machine that was not loaded completely must neither run nor be sent on. */
static int judge_incoming(struct gw_control *c, struct gw_error *err)
{
    if (receiving(c) || (c->waits && !c->incoming_used))
        return gw_fail(err, -EBUSY, GW_BLAME_CALLER, "the machine has not arrived here yet");
    if (!c->recv || c->claimed || gw_recv_status(c->recv) == GW_STATUS_COMPLETED)
        return 0;
    return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "the incoming migration did not complete%s",
                   gw_recv_owner(c->recv) == GW_OWNER_UNDECIDED
                       ? ", and it is not known who owns the guest: if the source says that it is the destination, "
                         "x-godwit-claim runs it here"
                       : "");
}

bool gw_control_stats_sized(struct gw_control *c, struct gw_stats *ret_stats, size_t stats_bytes, bool *ret_incoming)
{
    bool out, in;

    pthread_mutex_lock(&c->sessions);
    out = sending(c);
    in = !out && receiving(c);
    if (out)
        gw_send_stats_sized(c->send, ret_stats, stats_bytes);
    else if (in)
        gw_recv_stats_sized(c->recv, ret_stats, stats_bytes);
    pthread_mutex_unlock(&c->sessions);
    *ret_incoming = in;
    return out || in;
}

void gw_control_settle(struct gw_control *c)
{
    pthread_mutex_lock(&c->sessions);
    if (c->send && !sending(c))
        gw_send_wait(c->send, NULL);
    if (c->recv && !receiving(c))
        gw_recv_wait(c->recv, NULL);
    pthread_mutex_unlock(&c->sessions);
}

/* The machine is on this host and only we start it; its pages follow (postcopy). */
static bool stands_here(struct gw_control *c)
{
    return c->config.start_paused && receiving(c) && gw_recv_owner(c->recv) == GW_OWNER_DESTINATION &&
           gw_recv_status(c->recv) >= GW_STATUS_POSTCOPY_ACTIVE && gw_recv_status(c->recv) <= GW_STATUS_POSTCOPY_RECOVER;
}

int gw_control_may_run(struct gw_control *c, struct gw_error *err)
{
    int r;

    pthread_mutex_lock(&c->sessions);
    r = stands_here(c) ? 0 : judge_incoming(c, err);
    /* The session may have read the last of memory already, or be about to: only it may start the machine now. */
    if (r == 0 && sending(c))
        r = gw_fail(err, -EBUSY, GW_BLAME_CALLER, "the last migration has not ended yet");
    if (r == 0 && c->send)
        gw_send_wait(c->send, NULL); /* its last status is reported shortly before it releases the machine */
    pthread_mutex_unlock(&c->sessions);
    return r;
}

/* A machine with lost pages still runs until it has been stopped, which waits while a vCPU waits for a page. */
int gw_control_may_run_on(struct gw_control *c, struct gw_error *err)
{
    int r;

    pthread_mutex_lock(&c->sessions);
    r = c->recv && !receiving(c) ? judge_incoming(c, err) : 0;
    pthread_mutex_unlock(&c->sessions);
    return r;
}

/* Frees sessions that ended; keeps their statistics for query-migrate. */
static void drop_ended(struct gw_control *c)
{
    if (c->send) {
        gw_send_stats(c->send, &c->last);
        c->last_owner = gw_send_owner(c->send);
    } else if (c->recv) {
        gw_recv_stats(c->recv, &c->last);
        c->last_owner = gw_recv_owner(c->recv);
    } else {
        return;
    }
    c->have_last = true;
    c->last_incoming = !c->send;
    c->send = gw_send_free(c->send);
    c->recv = gw_recv_free(c->recv);
}

void gw_control_free_sessions(struct gw_control *c)
{
    pthread_mutex_lock(&c->sessions);
    c->closed = true;
    c->send = gw_send_free(c->send);
    c->recv = gw_recv_free(c->recv);
    pthread_mutex_unlock(&c->sessions);
}

/* ---- starting ---------------------------------------------------------------------------------------------------- */

/* The machine must be as it was sent: one that was started here meanwhile has another state. */
static int judge_resume(struct gw_control *c, struct gw_error *err)
{
    bool was_sent = c->send || (c->have_last && !c->last_incoming), broken = false;

    if (was_sent)
        broken = c->send ? gw_send_status(c->send) == GW_STATUS_POSTCOPY_PAUSED || gw_send_owner(c->send) == GW_OWNER_UNDECIDED
                         : c->last.status == GW_STATUS_POSTCOPY_PAUSED || c->last_owner == GW_OWNER_UNDECIDED;
    return broken && gw_vm_place(c->vm) != GW_VM_HERE
               ? 0
               : gw_fail(err, -EINVAL, GW_BLAME_CALLER, "there is no migration that was interrupted and could be resumed");
}

static int start_send(struct gw_control *c, const char *uri, struct gw_send_config *config, struct gw_error *err)
{
    int r;

    if (c->closed)
        return gw_fail(err, -ESHUTDOWN, GW_BLAME_LOCAL, "the control socket is being closed");
    if (sending(c))
        return gw_fail(err, -EBUSY, GW_BLAME_CALLER, "a migration of this machine is under way");
    r = config->resume ? judge_resume(c, err) : judge_incoming(c, err);
    if (r == 0 && gw_fds_meant(uri))
        r = gw_fds_open(c, uri, &config->take_channel, err);
    else
        config->uri = uri;
    if (r < 0)
        return r;
    drop_ended(c);
    return gw_send_start(c->vm, config, &c->send, err);
}

static uint64_t timeout_of(json_t *args, uint64_t otherwise_ns)
{
    json_int_t ms = json_integer_value(json_object_get(args, "x-godwit-timeout-ms"));

    return ms > 0 ? GW_MIN((uint64_t)ms, UINT64_MAX / GW_NS_PER_MS) * GW_NS_PER_MS : otherwise_ns;
}

int gw_cmd_migrate(struct gw_control *c, json_t *args, json_t **ret_result, struct gw_error *err)
{
    GW_AUTOFREE char *uri = NULL;
    struct gw_send_config config = {
        .peer = json_string_value(json_object_get(args, "x-godwit-peer")),
        .progress_timeout_ns = timeout_of(args, c->config.send_timeout_ns),
        .on_event = session_event,
        .opaque = c,
        .resume = json_is_true(json_object_get(args, "resume")),
    };
    struct gw_uri parsed;
    int r;

    config.disks = json_is_true(json_object_get(args, "inc"))   ? GW_SEND_DISKS_TOP
                   : json_is_true(json_object_get(args, "blk")) ? GW_SEND_DISKS_ALL
                                                                : GW_SEND_DISKS_AS_SET;
    r = gw_address_from_args(args, &uri, err);
    if (r == 0 && !gw_fds_meant(uri))
        r = gw_uri_parse(uri, &parsed, err);
    if (r < 0)
        return r;
    pthread_mutex_lock(&c->sessions);
    r = start_send(c, uri, &config, err);
    pthread_mutex_unlock(&c->sessions);
    return r;
}

/* Only a machine without a guest may be loaded: its memory is overwritten. */
static int judge_waiting(struct gw_control *c, struct gw_error *err)
{
    if (c->recv && !receiving(c) && gw_recv_status(c->recv) != GW_STATUS_COMPLETED && !gw_recv_touched(c->recv))
        c->incoming_used = false;
    if (c->incoming_used)
        return gw_fail(err, -EBUSY, GW_BLAME_CALLER, "this machine waits for a migration already");
    if (!c->waits)
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "this machine was not started to wait for a migration");
    return 0;
}

static int start_recv(struct gw_control *c, const char *uri, bool by_client, struct gw_recv_config *config,
                      struct gw_error *err)
{
    int r;

    if (c->closed)
        return gw_fail(err, -ESHUTDOWN, GW_BLAME_LOCAL, "the control socket is being closed");
    if (sending(c))
        return gw_fail(err, -EBUSY, GW_BLAME_CALLER, "a migration of this machine is under way");
    r = judge_waiting(c, err);
    if (r == 0 && by_client && gw_fds_meant(uri))
        r = gw_fds_open(c, uri, &config->take_channel, err);
    else
        config->uri = uri;
    if (r < 0)
        return r;
    drop_ended(c);
    r = gw_recv_start(c->vm, config, &c->recv, err);
    c->incoming_used = r == 0;
    return r;
}

static int incoming(struct gw_control *c, const char *uri, uint64_t timeout_ns, bool by_client, struct gw_error *err)
{
    struct gw_recv_config config = {.progress_timeout_ns = timeout_ns,
                                    .start_paused = c->config.start_paused,
                                    .on_event = session_event,
                                    .opaque = c};
    int r;

    pthread_mutex_lock(&c->sessions);
    c->waits |= !by_client;
    r = start_recv(c, uri, by_client, &config, err);
    pthread_mutex_unlock(&c->sessions);
    return r;
}

int gw_control_incoming(struct gw_control *c, const char *uri, struct gw_error *err)
{
    return incoming(c, uri, c->config.recv_timeout_ns, false, err);
}

int gw_cmd_migrate_incoming(struct gw_control *c, json_t *args, json_t **ret_result, struct gw_error *err)
{
    GW_AUTOFREE char *uri = NULL;
    int r = gw_address_from_args(args, &uri, err);

    return r < 0 ? r : incoming(c, uri, timeout_of(args, c->config.recv_timeout_ns), true, err);
}

/* ---- steering ---------------------------------------------------------------------------------------------------- */

int gw_cmd_migrate_cancel(struct gw_control *c, json_t *args, json_t **ret_result, struct gw_error *err)
{
    int r = 0;

    pthread_mutex_lock(&c->sessions);
    if (sending(c) || (c->send && gw_send_status(c->send) == GW_STATUS_POSTCOPY_PAUSED))
        r = gw_send_cancel(c->send, err);
    else if (receiving(c))
        r = gw_recv_cancel(c->recv, err);
    pthread_mutex_unlock(&c->sessions);
    return r;
}

int gw_cmd_migrate_continue(struct gw_control *c, json_t *args, json_t **ret_result, struct gw_error *err)
{
    const char *state = json_string_value(json_object_get(args, "state"));
    enum gw_status status = GW_STATUS_NONE;
    int r = 0;

    pthread_mutex_lock(&c->sessions);
    if (c->send)
        status = gw_send_status(c->send);
    if (status != GW_STATUS_PRE_SWITCHOVER || strcmp(state, gw_status_name(status)))
        r = gw_fail(err, -EINVAL, GW_BLAME_CALLER, "no migration waits to be continued: its state is %s", gw_status_name(status));
    else
        r = gw_send_continue(c->send, err);
    pthread_mutex_unlock(&c->sessions);
    return r;
}

int gw_cmd_migrate_start_postcopy(struct gw_control *c, json_t *args, json_t **ret_result, struct gw_error *err)
{
    int r;

    pthread_mutex_lock(&c->sessions);
    r = sending(c) ? gw_send_start_postcopy(c->send, err)
                   : gw_fail(err, -EINVAL, GW_BLAME_CALLER, "there is no outgoing migration that could switch to postcopy");
    pthread_mutex_unlock(&c->sessions);
    return r;
}

int gw_cmd_migrate_pause(struct gw_control *c, json_t *args, json_t **ret_result, struct gw_error *err)
{
    enum gw_status status = GW_STATUS_NONE;
    int r;

    pthread_mutex_lock(&c->sessions);
    if (c->send)
        status = gw_send_status(c->send);
    if (status == GW_STATUS_POSTCOPY_ACTIVE || status == GW_STATUS_POSTCOPY_RECOVER_SETUP || status == GW_STATUS_POSTCOPY_RECOVER)
        r = gw_send_pause(c->send, err);
    else if (receiving(c))
        r = gw_recv_pause(c->recv, err);
    else
        r = gw_fail(err, -EINVAL, GW_BLAME_CALLER, "there is no postcopy under way here that could be paused");
    pthread_mutex_unlock(&c->sessions);
    return r;
}

int gw_cmd_migrate_recover(struct gw_control *c, json_t *args, json_t **ret_result, struct gw_error *err)
{
    int r;

    pthread_mutex_lock(&c->sessions);
    r = receiving(c) ? gw_recv_recover(c->recv, json_string_value(json_object_get(args, "uri")), err)
                     : gw_fail(err, -EINVAL, GW_BLAME_CALLER, "there is no postcopy here that was paused");
    pthread_mutex_unlock(&c->sessions);
    return r;
}

int gw_cmd_claim(struct gw_control *c, json_t *args, json_t **ret_result, struct gw_error *err)
{
    int r;

    pthread_mutex_lock(&c->sessions);
    if (!c->recv)
        r = gw_fail(err, -EINVAL, GW_BLAME_CALLER, "there is no incoming migration whose guest could be claimed");
    else
        r = gw_recv_claim(c->recv, err);
    c->claimed |= r == 0;
    pthread_mutex_unlock(&c->sessions);
    return r;
}

int gw_cmd_yank(struct gw_control *c, json_t *args, json_t **ret_result, struct gw_error *err)
{
    json_t *item;
    size_t i;
    int r = 0;

    pthread_mutex_lock(&c->sessions);
    json_array_foreach(json_object_get(args, "instances"), i, item) {
        const char *type = json_string_value(json_object_get(item, "type"));

        if (!type || strcmp(type, "migration") || (!sending(c) && !receiving(c))) {
            r = gw_fail(err, -ENODEV, GW_BLAME_CALLER, "nothing to yank: the instance is not of type migration, or no migration "
                        "is under way");
            break;
        }
    }
    if (r == 0 && i > 0) {
        if (sending(c))
            gw_send_yank(c->send);
        if (receiving(c))
            gw_recv_yank(c->recv);
    }
    pthread_mutex_unlock(&c->sessions);
    return r;
}

int gw_cmd_query_yank(struct gw_control *c, json_t *args, json_t **ret_result, struct gw_error *err)
{
    json_t *list = json_array();
    bool bad = !list;

    pthread_mutex_lock(&c->sessions);
    if (sending(c) || receiving(c))
        bad |= json_array_append_new(list, json_pack("{ss}", "type", "migration")) != 0;
    pthread_mutex_unlock(&c->sessions);
    return gw_json_finish(list, bad, ret_result, err);
}

int gw_cmd_query_migrate(struct gw_control *c, json_t *args, json_t **ret_result, struct gw_error *err)
{
    char address[4200] = "";
    struct gw_stats stats = {.status = GW_STATUS_NONE};
    enum gw_owner owner = GW_OWNER_SOURCE;
    bool is_incoming = false;
    json_t *waits = NULL;
    int r = 0;

    pthread_mutex_lock(&c->sessions);
    if (c->send) {
        gw_send_stats(c->send, &stats);
        owner = gw_send_owner(c->send);
    } else if (c->recv) {
        gw_recv_stats(c->recv, &stats);
        owner = gw_recv_owner(c->recv);
        gw_recv_address(c->recv, address, sizeof address);
        is_incoming = true;
        if (stats.status >= GW_STATUS_POSTCOPY_ACTIVE)
            r = gw_waits_build(c->recv, &waits, err);
    } else if (c->have_last) {
        stats = c->last;
        owner = c->last_owner;
        is_incoming = c->last_incoming;
    }
    pthread_mutex_unlock(&c->sessions);
    if (r >= 0)
        r = gw_info_build(c, is_incoming, &stats, owner, address, ret_result, err);
    if (r >= 0 && gw_snapshot_put(c, *ret_result))
        r = gw_nomem(err, "figures of a snapshot");
    if (r >= 0 && waits && json_object_update(*ret_result, waits) < 0)
        r = gw_nomem(err, "waits");
    json_decref(waits);
    return r;
}
