/* SPDX-License-Identifier: MIT */
#include "channel/stream.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>

#define PROMPT_BYTES (32 << 10)
#define READ_BYTES   (128 << 10) /* of data that has arrived and was not read */
#define SHORT_US     1000
#define BYTES_PER_US 3200        /* 25 Gbit/s */

int gw_stream_failed(const struct gw_stream *s, int code, struct gw_error *err)
{
    if (gw_cancel_triggered(&s->wake))
        return gw_fail_canceled(err);
    switch (code) {
    case EPIPE:
        return gw_fail(err, -code, GW_BLAME_CHANNEL, "the other side has closed the connection");
    case ECONNRESET:
        return gw_fail(err, -code, GW_BLAME_CHANNEL, "connection reset by the other side");
    case EFAULT:
        return gw_fail(err, -code, GW_BLAME_CALLER, "the memory given cannot be accessed");
    default:
        return gw_fail(err, -code, GW_BLAME_CHANNEL, "%s", strerror(code));
    }
}

/* *deadline is for one call of the channel: 0 before the first wait. */
static int wait_ready(struct gw_stream *s, short events, uint64_t *deadline, struct gw_error *err)
{
    uint64_t timeout_ns = __atomic_load_n(&s->channel.timeout_ns, __ATOMIC_RELAXED);
    int r;

    if (!*deadline)
        *deadline = gw_deadline(timeout_ns);
    r = gw_wait_ready(s->fd, events, &s->wake, NULL, *deadline);
    if (r == -ETIMEDOUT)
        return gw_fail_timeout(timeout_ns, err);
    return r < 0 ? gw_stream_failed(s, -r, err) : 0;
}

static bool hung_up(const struct gw_stream *s)
{
    struct pollfd p = {.fd = s->fd, .events = POLLIN};

    return poll(&p, 1, 0) > 0 && (p.revents & POLLHUP);
}

/* A pipe without readers raises SIGPIPE in the writing thread. The signal is blocked during the call and removed
 * afterwards, so that the process's own handling of it never runs. */
static ssize_t writev_without_sigpipe(int fd, const struct iovec *iov, int n)
{
    const struct timespec none = {0};
    sigset_t sigpipe, old, pending;
    bool foreign = false;
    ssize_t done;
    int code;

    sigemptyset(&sigpipe);
    sigaddset(&sigpipe, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &sigpipe, &old);
    /* A SIGPIPE that was pending before is left alone; it can only be pending if the thread had blocked it. */
    if (sigismember(&old, SIGPIPE) && !sigpending(&pending))
        foreign = sigismember(&pending, SIGPIPE);
    done = writev(fd, iov, n);
    code = errno;
    if (done < 0 && code == EPIPE && !foreign) {
        while (sigtimedwait(&sigpipe, NULL, &none) < 0 && errno == EINTR)
            ;
    }
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    errno = code;
    return done;
}

ssize_t gw_stream_readv(struct gw_channel *ch, const struct iovec *iov, int n, struct gw_error *err)
{
    struct gw_stream *s = (struct gw_stream *)ch;
    struct msghdr msg = {.msg_iov = (struct iovec *)iov, .msg_iovlen = (size_t)n};
    uint64_t deadline = 0;

    for (;;) {
        ssize_t got;
        int r;

        if (gw_cancel_triggered(&s->wake))
            return gw_fail_canceled(err);
        got = s->socket ? recvmsg(s->fd, &msg, MSG_DONTWAIT) : readv(s->fd, iov, n);
        if (got > 0)
            return got;
        if (got == 0 && (!s->fifo || hung_up(s)))
            return gw_cancel_triggered(&s->wake) ? gw_fail_canceled(err) : 0;
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0 && errno != EAGAIN && errno != EWOULDBLOCK)
            return gw_stream_failed(s, errno, err);
        r = wait_ready(s, POLLIN, &deadline, err);
        if (r < 0)
            return r;
    }
}

ssize_t gw_stream_writev(struct gw_channel *ch, const struct iovec *iov, int n, struct gw_error *err)
{
    struct gw_stream *s = (struct gw_stream *)ch;
    struct msghdr msg = {.msg_iov = (struct iovec *)iov, .msg_iovlen = (size_t)n};
    uint64_t deadline = 0;

    for (;;) {
        ssize_t done;
        int r;

        if (gw_cancel_triggered(&s->wake))
            return gw_fail_canceled(err);
        done = s->socket ? sendmsg(s->fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL) : writev_without_sigpipe(s->fd, iov, n);
        if (done > 0)
            return done;
        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0 && errno != EAGAIN && errno != EWOULDBLOCK)
            return gw_stream_failed(s, errno, err);
        r = wait_ready(s, POLLOUT, &deadline, err);
        if (r < 0)
            return r;
    }
}

ssize_t gw_stream_peek(struct gw_channel *ch, void *buf, size_t n, struct gw_error *err)
{
    struct gw_stream *s = (struct gw_stream *)ch;
    uint64_t deadline = 0;

    for (;;) {
        ssize_t got;
        int r;

        if (gw_cancel_triggered(&s->wake))
            return gw_fail_canceled(err);
        got = recv(s->fd, buf, n, MSG_PEEK | MSG_DONTWAIT);
        if (got > 0)
            return got;
        if (got == 0)
            return gw_cancel_triggered(&s->wake) ? gw_fail_canceled(err) : 0;
        if (errno == EINTR)
            continue;
        if (errno != EAGAIN && errno != EWOULDBLOCK)
            return gw_stream_failed(s, errno, err);
        r = wait_ready(s, POLLIN, &deadline, err);
        if (r < 0)
            return r;
    }
}

void gw_stream_shutdown(struct gw_channel *ch)
{
    struct gw_stream *s = (struct gw_stream *)ch;

    gw_cancel_trigger(&s->wake);
    if (s->socket)
        shutdown(s->fd, SHUT_RDWR);
}

int gw_stream_close(struct gw_channel *ch, struct gw_error *err)
{
    struct gw_stream *s = (struct gw_stream *)ch;
    char unread[4096];
    ssize_t got = 1;

    if (gw_cancel_triggered(&s->wake))
        return gw_fail_canceled(err);
    if (!s->socket)
        return 0;
    shutdown(s->fd, SHUT_WR);
    /* The kernel resets a connection that is closed with unread bytes, and a reset can overtake the last bytes that
     * were sent. */
    for (int i = 0; i < 256 && got > 0; i++)
        got = recv(s->fd, unread, sizeof unread, MSG_DONTWAIT);
    if (got < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR)
        return gw_stream_failed(s, errno, err);
    return 0;
}

static void stream_free(struct gw_channel *ch)
{
    gw_stream_fini((struct gw_stream *)ch);
    free(ch);
}

uint64_t gw_stream_queued(struct gw_channel *ch)
{
    struct gw_stream *s = (struct gw_stream *)ch;
    int bytes = 0;

    /* TCP: not acknowledged; unix: not read. Other kinds do not report it. */
    return s->socket && !ioctl(s->fd, SIOCOUTQ, &bytes) && bytes > 0 ? (uint64_t)bytes : 0;
}

/* TCP on a short path: limits the kernel's buffer to what fills the path, and little more. Otherwise data would queue
 * there, above all on the loopback device. A long path needs a larger buffer than a process may request, so it is left
 * to the kernel. */
static void bound_unread(int fd)
{
    struct tcp_info info = {0};
    socklen_t n = sizeof info;
    int bytes;

    if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &n) < 0 || info.tcpi_rtt > SHORT_US)
        return;
    bytes = READ_BYTES + (int)info.tcpi_rtt * BYTES_PER_US;
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
}

/* Limits what the kernel buffers: unix: data that was not read; tcp: data that was not sent yet, so that a long path
 * can still be filled. */
void gw_stream_prompt(struct gw_channel *ch)
{
    struct gw_stream *s = (struct gw_stream *)ch;
    int bytes = PROMPT_BYTES;

    if (!s->socket)
        return;
    if (setsockopt(s->fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &bytes, sizeof bytes) < 0)
        setsockopt(s->fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
    else
        bound_unread(s->fd);
}

bool gw_stream_gone(struct gw_channel *ch)
{
    struct gw_stream *s = (struct gw_stream *)ch;
    /* With TCP, an end closes only one direction; if the peer has closed both, it resets the connection when this side
     * writes. */
    struct pollfd p = {.fd = s->fd, .events = ch->features & GW_CHANNEL_COMMAND ? 0 : POLLRDHUP};

    return !gw_cancel_triggered(&s->wake) && poll(&p, 1, 0) > 0 && p.revents & (POLLRDHUP | POLLHUP | POLLERR);
}

#define STREAM_OPS(name)                                                                                               \
    {                                                                                                                  \
        .kind = name, .readv = gw_stream_readv, .writev = gw_stream_writev, .peek = gw_stream_peek,                    \
        .queued = gw_stream_queued, .gone = gw_stream_gone, .shutdown = gw_stream_shutdown, .close = gw_stream_close,  \
        .prompt = gw_stream_prompt, .free = stream_free,                                                                \
    }
static const struct gw_channel_ops stream_ops[] = {
    [GW_STREAM_TCP] = STREAM_OPS("tcp"), [GW_STREAM_UNIX] = STREAM_OPS("unix"), [GW_STREAM_VSOCK] = STREAM_OPS("vsock"),
    [GW_STREAM_FD] = STREAM_OPS("fd"),   [GW_STREAM_FILE] = STREAM_OPS("file"),
};

struct gw_stream *gw_stream_tcp(struct gw_channel *ch)
{
    return ch->ops == &stream_ops[GW_STREAM_TCP] ? (struct gw_stream *)ch : NULL;
}

int gw_stream_init(struct gw_stream *s, const struct gw_channel_ops *ops, int take_fd, unsigned features,
                   const char *name, struct gw_error *err)
{
    struct stat st;
    int mode;

    gw_channel_init(&s->channel, ops, features, name);
    s->fd = take_fd;
    s->wake.fd = -1;
    s->restore_mode = -1;
    mode = fcntl(take_fd, F_GETFL);
    if (mode < 0 || fstat(take_fd, &st) < 0)
        return gw_fail(err, -errno, GW_BLAME_CALLER, "%s: %s", name, strerror(errno));
    fcntl(take_fd, F_SETFD, FD_CLOEXEC);
    s->socket = S_ISSOCK(st.st_mode);
    s->fifo = S_ISFIFO(st.st_mode);
    if (!s->socket && !(mode & O_NONBLOCK)) {
        if (fcntl(take_fd, F_SETFL, mode | O_NONBLOCK) < 0)
            return gw_fail(err, -errno, GW_BLAME_LOCAL, "%s: %s", name, strerror(errno));
        s->restore_mode = mode;
    }
    return gw_cancel_init(&s->wake, err);
}

void gw_stream_fini(struct gw_stream *s)
{
    if (s->restore_mode >= 0)
        fcntl(s->fd, F_SETFL, s->restore_mode);
    gw_close_fd(&s->fd);
    gw_cancel_fini(&s->wake);
}

int gw_stream_new(int take_fd, enum gw_stream_kind kind, unsigned features, const char *name, uint64_t timeout_ns,
                  struct gw_channel **ret_channel, struct gw_error *err)
{
    struct gw_stream *s = calloc(1, sizeof *s);
    int r;

    if (!s) {
        close(take_fd);
        return gw_nomem(err, "channel");
    }
    r = gw_stream_init(s, &stream_ops[kind], take_fd, features, name, err);
    if (r < 0) {
        stream_free(&s->channel);
        return r;
    }
    s->channel.timeout_ns = timeout_ns;
    *ret_channel = &s->channel;
    return 0;
}
