/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <time.h>

#include "base/sized.h"
#include "base/thread.h"
#include "channel/stream.h"
#include "control/internal.h"

#define ACCEPT_PAUSE_MS 100 /* pause when the process has no free descriptor; connections wait in the backlog */
#define EVENTS_MAX 16384    /* undelivered events; beyond that the oldest are dropped */

static void wake(struct gw_control *c)
{
    uint64_t one = 1;
    ssize_t n GW_UNUSED = write(c->wake_fd, &one, sizeof one);
}

/* ---- events ------------------------------------------------------------------------------------------------------ */

void gw_control_emit(struct gw_control *c, const char *event, const char *data_json)
{
    GW_AUTOFREE char *text = NULL;
    struct timespec now;
    json_t *o, *data = NULL;

    if (data_json && gw_json_load(data_json, strlen(data_json), &data, NULL) < 0)
        return;
    clock_gettime(CLOCK_REALTIME, &now);
    o = json_pack("{s{sIsI}ss}", "timestamp", "seconds", (json_int_t)now.tv_sec, "microseconds",
                  (json_int_t)(now.tv_nsec / 1000), "event", event);
    if (data && json_object_set_new(o, "data", data)) {
        json_decref(o);
        return;
    }
    text = o ? gw_json_text(o) : NULL;
    json_decref(o);
    if (!text)
        return;
    pthread_mutex_lock(&c->queue);
    if (json_array_size(c->events) >= EVENTS_MAX)
        json_array_remove(c->events, 0);
    json_array_append_new(c->events, json_string(text));
    pthread_mutex_unlock(&c->queue);
    wake(c);
}

void gw_control_deliver(struct gw_control *c)
{
    json_t *fresh, *events, *event;
    size_t i;

    pthread_mutex_lock(&c->queue);
    events = json_array_size(c->events) ? c->events : NULL;
    fresh = events ? json_array() : NULL;
    if (fresh)
        c->events = fresh;
    pthread_mutex_unlock(&c->queue);
    if (!fresh)
        return;
    json_array_foreach(events, i, event)
        for (size_t k = 0; k < GW_CONTROL_CLIENTS; k++)
            if (c->clients[k].negotiated)
                gw_client_put(&c->clients[k], json_string_value(event));
    json_decref(events);
}

/* ---- the thread -------------------------------------------------------------------------------------------------- */

/* Returns false when the process cannot take more connections for now. */
static bool accept_client(struct gw_control *c)
{
    struct gw_channel *ch = NULL;
    int fd, r = gw_listener_accept(c->listener, 1, NULL, &ch, NULL);

    if (r < 0)
        return r == -ETIMEDOUT;
    /* The loop polls many clients, while a channel waits for one: so the descriptor is used directly. */
    fd = fcntl(((struct gw_stream *)ch)->fd, F_DUPFD_CLOEXEC, 0);
    gw_channel_free(ch);
    if (fd < 0)
        return false;
    for (size_t i = 0; i < GW_CONTROL_CLIENTS; i++) {
        if (c->clients[i].fd < 0) {
            gw_client_open(&c->clients[i], fd);
            gw_control_greet(&c->clients[i]);
            gw_client_flush(&c->clients[i]);
            return true;
        }
    }
    close(fd);
    return true;
}

static void serve_client(struct gw_control *c, struct gw_client *cl, short revents)
{
    if (cl->fd >= 0 && (revents & POLLOUT)) {
        gw_client_flush(cl);
        if (cl->fd >= 0)
            gw_client_work(c, cl);
    }
    /* A hang-up is noticed by reading, after the data sent before it; a client with too many unread answers is closed
     * at once. */
    if (cl->fd >= 0 && (revents & (POLLHUP | POLLERR)) && gw_client_unread(cl) > GW_CONTROL_UNREAD)
        gw_client_close(cl);
    if (cl->fd >= 0 && (revents & (POLLIN | POLLHUP | POLLERR)))
        gw_client_read(c, cl);
}

static void *serve(void *opaque)
{
    struct gw_control *c = opaque;
    struct pollfd fds[GW_CONTROL_CLIENTS + 2];
    bool pause = false;
    uint64_t count;

    while (!atomic_load(&c->stop)) {
        fds[0] = (struct pollfd){.fd = c->wake_fd, .events = POLLIN};
        fds[1] = (struct pollfd){.fd = pause ? -1 : gw_listener_fd(c->listener), .events = POLLIN};
        for (size_t i = 0; i < GW_CONTROL_CLIENTS; i++) {
            struct gw_client *cl = &c->clients[i];
            size_t unread = gw_client_unread(cl);

            fds[i + 2] = (struct pollfd){.fd = cl->fd};
            fds[i + 2].events = (short)((unread ? POLLOUT : 0) | (unread <= GW_CONTROL_UNREAD ? POLLIN : 0));
        }
        if (poll(fds, GW_ARRAY_LEN(fds), pause ? ACCEPT_PAUSE_MS : -1) < 0 && errno != EINTR)
            break;
        pause = false;
        if (fds[0].revents && read(c->wake_fd, &count, sizeof count) < 0 && errno != EAGAIN)
            break;
        for (size_t i = 0; i < GW_CONTROL_CLIENTS; i++)
            if (fds[i + 2].fd >= 0 && fds[i + 2].revents)
                serve_client(c, &c->clients[i], fds[i + 2].revents);
        if (fds[1].revents)
            pause = !accept_client(c);
        gw_control_deliver(c);
        for (size_t i = 0; i < GW_CONTROL_CLIENTS; i++)
            gw_client_flush(&c->clients[i]);
        if (c->quitting) {
            c->quitting = false;
            c->ops.quit(c->config.opaque);
        }
    }
    gw_control_deliver(c);
    for (size_t i = 0; i < GW_CONTROL_CLIENTS; i++) {
        gw_client_flush(&c->clients[i]);
        gw_client_close(&c->clients[i]);
    }
    return NULL;
}

/* ---- life -------------------------------------------------------------------------------------------------------- */

static int open_parts(struct gw_control *c, const char *text, struct gw_error *err)
{
    struct gw_uri uri;
    int r = gw_uri_parse(text, &uri, err);

    if (r < 0)
        return r;
    if (uri.kind != GW_URI_UNIX && uri.kind != GW_URI_TCP)
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "a control socket is unix:PATH or tcp:HOST:PORT, not '%s'", text);
    c->events = json_array();
    if (!c->events)
        return gw_nomem(err, "control");
    c->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (c->wake_fd < 0)
        return gw_fail(err, -errno, GW_BLAME_LOCAL, "eventfd: %s", strerror(errno));
    r = gw_listen(&uri, 8, &c->listener, err);
    if (r < 0)
        return r;
    r = gw_thread_start(&c->thread, serve, c, err);
    c->thread_runs = r >= 0;
    return r;
}

int gw_control_start_sized(struct gw_vm *vm, const struct gw_control_config *given, size_t given_bytes,
                           struct gw_control **ret_control, struct gw_error *err)
{
    struct gw_control_config own, *config = &own;
    struct gw_control_ops ops;
    struct gw_control *c;
    int r = gw_sized_in(&own, sizeof own, given, given_bytes, GW_SIZED_UNTIL(struct gw_control_config, opaque),
                        "struct gw_control_config", err);

    if (r >= 0)
        r = gw_sized_table_in(&ops, sizeof ops, own.ops, sizeof ops.bytes, "struct gw_control_ops", err);
    if (r >= 0 && (!own.uri || !own.uri[0]))
        r = gw_fail(err, -EINVAL, GW_BLAME_CALLER, "the control socket needs an address (uri)");
    if (r < 0)
        return r;
    c = calloc(1, sizeof *c);
    if (!c)
        return gw_nomem(err, "control");
    c->vm = vm;
    c->config = own;
    c->ops = ops;
    c->waits = config->waits;
    c->wake_fd = -1;
    pthread_mutex_init(&c->queue, NULL);
    pthread_mutex_init(&c->sessions, NULL);
    for (size_t i = 0; i < GW_CONTROL_CLIENTS; i++)
        c->clients[i].fd = -1;
    if (config->name)
        c->name = strdup(config->name);
    r = config->name && !c->name ? gw_nomem(err, "control") : open_parts(c, config->uri, err);
    if (r < 0) {
        gw_context(err, "control socket");
        gw_control_free(c);
        return r;
    }
    *ret_control = c;
    return 0;
}

void gw_control_address(struct gw_control *c, char *buf, size_t size)
{
    struct gw_uri uri;

    gw_listener_uri(c->listener, &uri);
    gw_uri_format(&uri, buf, size);
}

static bool taken(const struct gw_control *c, const char *name)
{
    const struct gw_control_command *e = c->commands;

    while (e && strcmp(e->name, name))
        e = e->next;
    return e || gw_control_has_command(name);
}

int gw_control_add_command(struct gw_control *c, const char *name, gw_control_fn fn, void *opaque, struct gw_error *err)
{
    struct gw_control_command *e = calloc(1, sizeof *e);
    int r = 0;

    if (!e || !(e->name = strdup(name))) {
        free(e);
        return gw_nomem(err, "a command");
    }
    e->fn = fn;
    e->opaque = opaque;
    pthread_mutex_lock(&c->queue);
    if (taken(c, name)) {
        r = gw_fail(err, -EEXIST, GW_BLAME_CALLER, "there is a command '%s' already", name);
        free(e->name);
        free(e);
    } else {
        e->next = c->commands;
        c->commands = e;
    }
    pthread_mutex_unlock(&c->queue);
    return r;
}

struct gw_control *gw_control_free(struct gw_control *c)
{
    if (!c)
        return NULL;
    /* The thread still runs, so that clients get the event that ends their migration. */
    gw_control_free_sessions(c);
    atomic_store(&c->stop, true);
    if (c->thread_runs) {
        wake(c);
        pthread_join(c->thread, NULL);
    }
    gw_jobs_free(c);
    gw_fds_close(c);
    gw_listener_free(c->listener);
    gw_close_fd(&c->wake_fd);
    while (c->commands) {
        struct gw_control_command *e = c->commands;

        c->commands = e->next;
        free(e->name);
        free(e);
    }
    json_decref(c->events);
    pthread_mutex_destroy(&c->queue);
    pthread_mutex_destroy(&c->sessions);
    free(c->name);
    free(c);
    return NULL;
}
