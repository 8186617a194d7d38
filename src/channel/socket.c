/* SPDX-License-Identifier: MIT */
#include "channel/socket.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>

#include "godwit/clock.h"

/* A host that lost its power or its network sends nothing, and one side of a migration may have nothing to send for
 * long (a destination before the switch-over, a source while the machine is written to a disk). Keepalive detects a
 * lost host after three minutes without a packet. The last value is for data that is not acknowledged, and for a window
 * that stays closed. */
#define KEEP_IDLE_S     60
#define KEEP_INTERVAL_S 20
#define KEEP_COUNT      6
#define USER_TIMEOUT_MS (180 * 1000)

static void keep_alive(int fd)
{
    const int on = 1, idle = KEEP_IDLE_S, interval = KEEP_INTERVAL_S, count = KEEP_COUNT;
    const unsigned limit = USER_TIMEOUT_MS;

    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof interval);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof count);
    setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &limit, sizeof limit);
}

/* Interval of retries while a unix socket's backlog is full: poll cannot wait for that. */
#define BACKLOG_RETRY_NS (5 * GW_NS_PER_MS)

void gw_socket_tune(int fd)
{
    const int on = 1, send_bytes = 512 << 10; /* the kernel doubles it */
    socklen_t size = sizeof(int);
    int family = AF_UNSPEC;

    getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &family, &size);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (family == AF_INET || family == AF_INET6)
        keep_alive(fd);
    /* TCP sets the sizes of its queues by itself. With the 208 KiB of a unix socket the two sides alternate every few
     * pages; a much larger queue would not stay in the cache until it is read. */
    if (family == AF_UNIX)
        setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &send_bytes, sizeof send_bytes);
}

enum gw_stream_kind gw_socket_kind(int family)
{
    switch (family) {
    case AF_INET:
    case AF_INET6:
        return GW_STREAM_TCP;
    case AF_UNIX:
        return GW_STREAM_UNIX;
    case AF_VSOCK:
        return GW_STREAM_VSOCK;
    default:
        return GW_STREAM_FD;
    }
}

/* If no process listens on a port of this host, the kernel may choose that port for the connecting socket, and connect
 * it to itself. */
static bool connected_to_itself(int fd, const struct gw_sockaddr *to)
{
    struct sockaddr_storage own = {0}, peer = {0};
    socklen_t own_bytes = sizeof own, peer_bytes = sizeof peer;

    if (to->storage.ss_family != AF_INET && to->storage.ss_family != AF_INET6)
        return false;
    return !getsockname(fd, (struct sockaddr *)&own, &own_bytes) &&
           !getpeername(fd, (struct sockaddr *)&peer, &peer_bytes) && own_bytes == peer_bytes &&
           !memcmp(&own, &peer, own_bytes);
}

/* 0 or a negative errno, as from connect(2), but with a deadline. */
static int connect_within(int fd, const struct gw_sockaddr *to, const struct gw_cancel *cancel, uint64_t deadline_ns)
{
    socklen_t size = sizeof(int);
    int code = 0, r;

    for (;;) {
        uint64_t again;

        if (!connect(fd, (const struct sockaddr *)&to->storage, to->bytes))
            return 0;
        if (errno == EINPROGRESS || errno == EINTR)
            break;
        if (errno != EAGAIN || to->storage.ss_family != AF_UNIX)
            return -errno;
        again = gw_deadline(BACKLOG_RETRY_NS);
        if (deadline_ns && again > deadline_ns)
            again = deadline_ns;
        r = gw_wait_ready(-1, 0, NULL, cancel, again);
        if (r != -ETIMEDOUT || (deadline_ns && gw_now_ns(&gw_clock_real) >= deadline_ns))
            return r;
    }
    r = gw_wait_ready(fd, POLLOUT, NULL, cancel, deadline_ns);
    if (r < 0)
        return r;
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &code, &size) < 0)
        return -errno;
    if (!code && connected_to_itself(fd, to))
        code = ECONNREFUSED;
    return -code;
}

static int connect_one(const struct gw_sockaddr *to, const struct gw_cancel *cancel, uint64_t deadline_ns, int *ret_fd,
                       struct gw_error *err)
{
    int fd = socket(to->storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    char text[GW_SOCKADDR_TEXT];
    int r;

    gw_sockaddr_text(to, text);
    if (fd < 0)
        return gw_fail(err, -errno, GW_BLAME_LOCAL, "socket for %s: %s", text, strerror(errno));
    r = connect_within(fd, to, cancel, deadline_ns);
    if (r < 0) {
        close(fd);
        if (r == -ECANCELED)
            return gw_fail(err, r, GW_BLAME_CHANNEL, "cancelled");
        return gw_fail(err, r, GW_BLAME_CHANNEL, "%s: %s", text, strerror(-r));
    }
    *ret_fd = fd;
    return 0;
}

/* Tries the addresses in turn; each gets an equal part of the remaining time. */
static int connect_any(const struct gw_sockaddr *to, unsigned count, const struct gw_cancel *cancel,
                       uint64_t deadline_ns, int *ret_fd, struct gw_error *err)
{
    int r = gw_fail(err, -EADDRNOTAVAIL, GW_BLAME_CHANNEL, "the name has no address");

    for (unsigned i = 0; i < count; i++) {
        uint64_t until = deadline_ns, now = gw_now_ns(&gw_clock_real);

        if (deadline_ns)
            until = now < deadline_ns ? now + (deadline_ns - now) / (count - i) : deadline_ns;
        r = connect_one(&to[i], cancel, until, ret_fd, err);
        if (r == 0 || r == -ECANCELED)
            break;
    }
    return r;
}

int gw_socket_connect(const struct gw_uri *uri, uint64_t timeout_ns, struct gw_cancel *cancel,
                      struct gw_channel **ret_channel, struct gw_error *err)
{
    uint64_t deadline_ns = gw_deadline(timeout_ns);
    struct gw_sockaddr to[GW_SOCKET_ADDRESSES];
    char name[GW_URI_TEXT], text[GW_DURATION_TEXT];
    unsigned count;
    int fd = -1, r;

    gw_uri_format(uri, name, sizeof name);
    if (cancel && gw_cancel_triggered(cancel))
        r = gw_fail(err, -ECANCELED, GW_BLAME_CHANNEL, "cancelled");
    else
        r = gw_socket_resolve(uri, false, cancel, deadline_ns, to, &count, err);
    if (r == 0)
        r = connect_any(to, count, cancel, deadline_ns, &fd, err);
    if (r < 0) {
        if (r == -ETIMEDOUT && timeout_ns)
            gw_fail(err, r, GW_BLAME_CHANNEL, "no answer for %s", gw_duration_text(text, timeout_ns));
        gw_context(err, "connecting to %.200s", name);
        return r;
    }
    gw_socket_tune(fd);
    return gw_stream_new(fd, gw_socket_kind(to[0].storage.ss_family), GW_SOCKET_FEATURES, name, timeout_ns, ret_channel,
                         err);
}
