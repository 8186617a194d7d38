/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <linux/vm_sockets.h> /* after sys/socket.h, whose types it uses */

#include "channel/socket.h"
#include "channel/transport.h"

/* With port 0 and several addresses, the system chooses a port for the first that may be in use on another. */
#define PORT_TRIES 16

struct gw_listener {
    struct gw_uri uri;
    char name[GW_URI_TEXT];
    int fds[GW_SOCKET_ADDRESSES]; /* none: the listener has one channel */
    unsigned count;
    int epoll;                  /* for several sockets, else -1 */
    struct gw_channel *channel; /* for fd, exec, file: until it is accepted */
    bool made_path;             /* this listener has created the socket file: */
    dev_t path_dev;
    ino_t path_ino;
};

static uint16_t *port_of(struct gw_sockaddr *a)
{
    switch (a->storage.ss_family) {
    case AF_INET:
        return &((struct sockaddr_in *)&a->storage)->sin_port;
    case AF_INET6:
        return &((struct sockaddr_in6 *)&a->storage)->sin6_port;
    default:
        return NULL;
    }
}

/* Whether the socket file is left over from an earlier listener: no process listens on it. */
static bool stale_socket_file(const struct gw_sockaddr *a)
{
    const struct sockaddr_un *un = (const void *)&a->storage;
    struct stat st;
    bool stale;
    int fd;

    if (lstat(un->sun_path, &st) < 0 || !S_ISSOCK(st.st_mode))
        return false;
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return false;
    stale = connect(fd, (const struct sockaddr *)un, a->bytes) < 0 && errno == ECONNREFUSED;
    close(fd);
    return stale;
}

static int bind_socket(struct gw_listener *l, int fd, const struct gw_sockaddr *a)
{
    const struct sockaddr_un *un = (const void *)&a->storage;
    struct stat st;

    if (bind(fd, (const struct sockaddr *)&a->storage, a->bytes) < 0) {
        int code = errno;

        if (a->storage.ss_family != AF_UNIX || code != EADDRINUSE || !stale_socket_file(a))
            return -code;
        unlink(un->sun_path);
        if (bind(fd, (const struct sockaddr *)un, a->bytes) < 0)
            return -errno;
    }
    if (a->storage.ss_family == AF_UNIX && !lstat(un->sun_path, &st)) {
        l->made_path = true;
        l->path_dev = st.st_dev;
        l->path_ino = st.st_ino;
    }
    return 0;
}

/* 0, or a negative errno; *ret_step is the step that failed. */
static int listen_one(struct gw_listener *l, const struct gw_sockaddr *a, int backlog, int *ret_fd,
                      const char **ret_step)
{
    const int on = 1, off = 0;
    int fd, r;

    *ret_step = "socket";
    fd = socket(a->storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    if (a->storage.ss_family == AF_INET || a->storage.ss_family == AF_INET6)
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (a->storage.ss_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
    *ret_step = "bind";
    r = bind_socket(l, fd, a);
    if (r == 0) {
        *ret_step = "listen";
        r = listen(fd, backlog) < 0 ? -errno : 0;
    }
    if (r < 0) {
        close(fd);
        return r;
    }
    *ret_fd = fd;
    return 0;
}

static void drop_sockets(struct gw_listener *l)
{
    while (l->count)
        gw_close_fd(&l->fds[--l->count]);
}

/* The address or its family does not exist on this host. */
static bool not_here(int r)
{
    return r == -EAFNOSUPPORT || r == -EADDRNOTAVAIL || r == -EPROTONOSUPPORT;
}

static int listen_all(struct gw_listener *l, struct gw_sockaddr *to, unsigned count, int backlog, struct gw_error *err)
{
    char text[GW_SOCKADDR_TEXT] = "";
    const char *step = "lookup";
    int r = -EADDRNOTAVAIL;

    for (unsigned i = 0; i < count; i++) {
        uint16_t *port = port_of(&to[i]);
        int fd = -1, s;

        if (l->count && port && !*port) {
            struct gw_sockaddr first = {.bytes = sizeof first.storage};

            if (!getsockname(l->fds[0], (struct sockaddr *)&first.storage, &first.bytes) && port_of(&first))
                *port = *port_of(&first);
        }
        s = listen_one(l, &to[i], backlog, &fd, &step);
        if (s == 0) {
            l->fds[l->count++] = fd;
            continue;
        }
        gw_sockaddr_text(&to[i], text);
        r = s;
        /* If only one of two families works, that is an error, unless this host does not have the other one. */
        if (!not_here(s)) {
            drop_sockets(l);
            break;
        }
    }
    if (!l->count)
        return gw_fail(err, r, GW_BLAME_LOCAL, "%s%s%s: %s", step, *text ? " " : "", text, strerror(-r));
    return 0;
}

/* [::] without v6-only accepts v4 too; 0.0.0.0 is only for hosts without v6. */
static unsigned prefer_v6(struct gw_sockaddr *to, unsigned count)
{
    for (unsigned i = 1; i < count; i++) {
        if (to[i].storage.ss_family == AF_INET6) {
            struct gw_sockaddr first = to[0];

            to[0] = to[i];
            to[i] = first;
            break;
        }
    }
    return count;
}

static int listen_any(struct gw_listener *l, struct gw_sockaddr *to, unsigned count, int backlog, struct gw_error *err)
{
    int r = -EADDRNOTAVAIL;

    prefer_v6(to, count);
    for (unsigned i = 0; i < count; i++) {
        r = listen_all(l, &to[i], 1, backlog, err);
        if (r == 0 || !not_here(r))
            break;
    }
    return r;
}

static int watch_all(struct gw_listener *l, struct gw_error *err)
{
    if (l->count < 2)
        return 0;
    l->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (l->epoll < 0)
        return gw_fail(err, -errno, GW_BLAME_LOCAL, "epoll: %s", strerror(errno));
    for (unsigned i = 0; i < l->count; i++) {
        struct epoll_event e = {.events = EPOLLIN};

        if (epoll_ctl(l->epoll, EPOLL_CTL_ADD, l->fds[i], &e) < 0)
            return gw_fail(err, -errno, GW_BLAME_LOCAL, "epoll: %s", strerror(errno));
    }
    return 0;
}

/* Replaces port 0 in the address by the port that the system has chosen. */
static void learn_port(struct gw_listener *l)
{
    struct gw_sockaddr own = {.bytes = sizeof own.storage};

    if (getsockname(l->fds[0], (struct sockaddr *)&own.storage, &own.bytes) < 0)
        return;
    if (l->uri.kind == GW_URI_TCP && port_of(&own))
        snprintf(l->uri.service, sizeof l->uri.service, "%u", ntohs(*port_of(&own)));
    if (l->uri.kind == GW_URI_VSOCK)
        l->uri.port = ((struct sockaddr_vm *)&own.storage)->svm_port;
}

static int listen_sockets(struct gw_listener *l, int backlog, struct gw_error *err)
{
    struct gw_sockaddr to[GW_SOCKET_ADDRESSES], fresh[GW_SOCKET_ADDRESSES];
    bool any = l->uri.kind == GW_URI_TCP && !*l->uri.host,
         chosen = l->uri.kind == GW_URI_TCP && atoi(l->uri.service) == 0;
    unsigned count;
    int r = gw_socket_resolve(&l->uri, true, NULL, 0, to, &count, err);

    if (r < 0)
        return r;
    for (int tries = 0; tries < PORT_TRIES; tries++) {
        memcpy(fresh, to, sizeof fresh);
        r = any ? listen_any(l, fresh, count, backlog, err) : listen_all(l, fresh, count, backlog, err);
        if (r != -EADDRINUSE || !chosen)
            break;
    }
    if (r == 0)
        r = watch_all(l, err);
    if (r == 0)
        learn_port(l);
    return r;
}

/* The descriptor may be a listening socket, as service managers pass them. */
static int adopt_fd(struct gw_listener *l, int fd, struct gw_error *err)
{
    socklen_t size = sizeof(int);
    int listens = 0, type = 0;

    if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) < 0 || !listens)
        return gw_channel_from_fd(fd, l->name, &l->channel, err);
    size = sizeof type;
    if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) < 0 || type != SOCK_STREAM) {
        close(fd);
        return gw_fail(err, -ESOCKTNOSUPPORT, GW_BLAME_CALLER, "not a stream socket");
    }
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    l->fds[l->count++] = fd;
    return 0;
}

int gw_listen(const struct gw_uri *uri, int backlog, struct gw_listener **ret_listener, struct gw_error *err)
{
    struct gw_listener *l = calloc(1, sizeof *l);
    int r;

    if (!l) {
        if (uri->kind == GW_URI_FD)
            close(uri->fd);
        return gw_nomem(err, "listener");
    }
    l->uri = *uri;
    l->epoll = -1;
    gw_uri_format(uri, l->name, sizeof l->name);
    switch (uri->kind) {
    case GW_URI_FD:
        r = adopt_fd(l, uri->fd, err);
        break;
    case GW_URI_EXEC:
        r = gw_exec_start(uri->path, &l->channel, err);
        break;
    case GW_URI_FILE:
        r = gw_file_open(uri, false, &l->channel, err);
        break;
    default:
        r = listen_sockets(l, backlog, err);
        if (r < 0)
            gw_context(err, "listening on %.200s", l->name);
        break;
    }
    if (r < 0) {
        gw_listener_free(l);
        return r;
    }
    gw_uri_format(&l->uri, l->name, sizeof l->name);
    *ret_listener = l;
    return 0;
}

/* An error of the connection: it was closed before the accept, or the kernel reports an error of its network here
 * (accept(2)). */
static bool of_the_connection(int code)
{
    switch (code) {
    case EINTR:
    case ECONNABORTED:
    case EPROTO:
    case ENOPROTOOPT:
    case ENETDOWN:
    case ENETUNREACH:
    case EHOSTDOWN:
    case EHOSTUNREACH:
    case ENONET:
    case EOPNOTSUPP:
        return true;
    default:
        return false;
    }
}

static int wrap_accepted(struct gw_listener *l, int fd, const struct gw_sockaddr *peer, struct gw_channel **ret_channel,
                         struct gw_error *err)
{
    enum gw_stream_kind kind = gw_socket_kind(peer->storage.ss_family);
    char name[GW_SOCKADDR_TEXT + 8], text[GW_SOCKADDR_TEXT];

    /* Clients of unix sockets have no address; the listener's address says more. */
    gw_sockaddr_text(peer, text);
    if (kind == GW_STREAM_TCP || kind == GW_STREAM_VSOCK)
        snprintf(name, sizeof name, "%s:%s", kind == GW_STREAM_TCP ? "tcp" : "vsock", text);
    else
        snprintf(name, sizeof name, "%.*s", (int)sizeof name - 1, l->name);
    gw_socket_tune(fd);
    return gw_stream_new(fd, kind, GW_SOCKET_FEATURES, name, 0, ret_channel, err);
}

int gw_listener_accept(struct gw_listener *l, uint64_t timeout_ns, struct gw_cancel *cancel,
                       struct gw_channel **ret_channel, struct gw_error *err)
{
    uint64_t deadline_ns = gw_deadline(timeout_ns);

    if (cancel && gw_cancel_triggered(cancel))
        return gw_fail(err, -ECANCELED, GW_BLAME_CHANNEL, "%.200s: waiting for a connection: cancelled", l->name);
    if (!l->count) {
        if (!l->channel)
            return gw_fail(err, -ENOTCONN, GW_BLAME_CALLER, "%.200s: gives only one connection, which was accepted "
                                                            "already", l->name);
        *ret_channel = l->channel;
        l->channel = NULL;
        return 0;
    }
    for (;;) {
        char text[GW_DURATION_TEXT];
        int r;

        for (unsigned i = 0; i < l->count; i++) {
            struct gw_sockaddr peer = {.bytes = sizeof peer.storage};
            int fd = accept4(l->fds[i], (struct sockaddr *)&peer.storage, &peer.bytes, SOCK_CLOEXEC | SOCK_NONBLOCK);

            if (fd >= 0)
                return wrap_accepted(l, fd, &peer, ret_channel, err);
            if (errno != EAGAIN && errno != EWOULDBLOCK && !of_the_connection(errno))
                return gw_fail(err, -errno, GW_BLAME_LOCAL, "%.200s: accept: %s", l->name, strerror(errno));
        }
        r = gw_wait_ready(gw_listener_fd(l), POLLIN, NULL, cancel, deadline_ns);
        if (r == -ECANCELED)
            return gw_fail(err, r, GW_BLAME_CHANNEL, "%.200s: waiting for a connection: cancelled", l->name);
        if (r == -ETIMEDOUT)
            return gw_fail(err, r, GW_BLAME_CHANNEL, "%.200s: nobody connected for %s", l->name,
                           gw_duration_text(text, timeout_ns));
        if (r < 0)
            return gw_fail(err, r, GW_BLAME_LOCAL, "%.200s: poll: %s", l->name, strerror(-r));
    }
}

int gw_listener_fd(const struct gw_listener *l)
{
    return l->epoll >= 0 ? l->epoll : l->count ? l->fds[0] : -1;
}

bool gw_listener_is_socket(const struct gw_listener *l)
{
    return l->count > 0;
}

void gw_listener_uri(const struct gw_listener *l, struct gw_uri *ret_uri)
{
    *ret_uri = l->uri;
}

struct gw_listener *gw_listener_free(struct gw_listener *l)
{
    struct stat st;

    if (!l)
        return NULL;
    if (l->made_path && !lstat(l->uri.path, &st) && st.st_dev == l->path_dev && st.st_ino == l->path_ino)
        unlink(l->uri.path);
    drop_sockets(l);
    gw_close_fd(&l->epoll);
    gw_channel_free(l->channel);
    free(l);
    return NULL;
}
