/* SPDX-License-Identifier: MIT */
#include "channel/zerocopy.h"

#include <linux/capability.h>
#include <linux/errqueue.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "channel/iov.h"
#include "channel/stream.h"

/* For smaller bodies, locking pages and handling the notification costs more than a copy. */
#define WORTH_BYTES (16u << 10)
/* Sends that the kernel has not released, at most; more have to wait. */
#define FLIGHTS 256u

struct flight {
    uint64_t begin; /* of the stream */
    bool released;
};

struct gw_zerocopy {
    struct gw_stream *stream;
    uint64_t bytes;                 /* sent, with or without a copy */
    struct flight flight[FLIGHTS];  /* of send number i at i % FLIGHTS */
    /* send numbers, as the kernel counts: the oldest that is not released; the next one */
    uint32_t first, next;
    bool copied;                    /* the kernel has copied a body since the last settle */
    bool dropped;                   /* the connection was reset */
    _Atomic uint64_t missed;
};

/* ---- the locked-memory limit -------------------------------------------------------------------------------------- */

static bool may_lock_any(void)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {{0}};

    return !syscall(SYS_capget, &header, data) && data[CAP_IPC_LOCK / 32].effective & 1u << CAP_IPC_LOCK % 32;
}

int gw_zerocopy_check_limit(uint64_t bytes, struct gw_error *err)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_MEMLOCK, &limit) < 0)
        return gw_fail(err, -errno, GW_BLAME_LOCAL, "RLIMIT_MEMLOCK: %s", strerror(errno));
    if (limit.rlim_cur == RLIM_INFINITY || limit.rlim_cur >= bytes || may_lock_any())
        return 0;
    return gw_fail(err, -ENOMEM, GW_BLAME_LOCAL,
                   "zero-copy-send keeps up to %" PRIu64 " KiB of memory locked, and this process may lock %" PRIu64
                   " KiB: raise the limit (RLIMIT_MEMLOCK, ulimit -l) to %" PRIu64 " KiB or more, use fewer multifd-channels, "
                   "or turn the capability off",
                   bytes >> 10, (uint64_t)limit.rlim_cur >> 10, bytes >> 10);
}

/* ---- sends that the kernel has released -------------------------------------------------------------------------- */

static void note(struct gw_zerocopy *z, const struct sock_extended_err *e)
{
    /* Numbers of the first and the last released send, both included. */
    for (uint32_t i = e->ee_info, n = e->ee_data - e->ee_info + 1; n && n <= FLIGHTS; i++, n--)
        if (i - z->first < z->next - z->first)
            z->flight[i % FLIGHTS].released = true;
    z->copied |= e->ee_code & SO_EE_CODE_ZEROCOPY_COPIED;
    while (z->first != z->next && z->flight[z->first % FLIGHTS].released)
        z->first++;
}

/* Reads everything from the error queue; returns whether there was anything. */
static bool look(struct gw_zerocopy *z)
{
    bool any = false;

    while (z->first != z->next) {
        _Alignas(struct cmsghdr) char control[256];
        struct msghdr msg = {.msg_control = control, .msg_controllen = sizeof control};
        ssize_t got = recvmsg(z->stream->fd, &msg, MSG_ERRQUEUE | MSG_DONTWAIT);

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            break;
        any = true;
        for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c; c = CMSG_NXTHDR(&msg, c)) {
            struct sock_extended_err e;

            if (!(c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_RECVERR) &&
                !(c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_RECVERR))
                continue;
            memcpy(&e, CMSG_DATA(c), sizeof e);
            if (e.ee_origin == SO_EE_ORIGIN_ZEROCOPY && !e.ee_errno)
                note(z, &e);
        }
    }
    return any;
}

/* Discards queued data; the other side sees a reset. */
static int drop(struct gw_zerocopy *z, int r)
{
    const struct sockaddr nobody = {.sa_family = AF_UNSPEC};

    if (!z->dropped)
        connect(z->stream->fd, &nobody, sizeof nobody);
    z->dropped = true;
    z->first = z->next;
    return r;
}

/* Waits until the error queue has something, or, with POLLOUT, there is room to send. *deadline: 0 before the first of
 * several waits. */
static int wait_more(struct gw_zerocopy *z, short events, uint64_t *deadline, struct gw_error *err)
{
    uint64_t timeout_ns = __atomic_load_n(&z->stream->channel.timeout_ns, __ATOMIC_RELAXED);
    int code = 0, r;
    socklen_t size = sizeof code;

    if (!*deadline)
        *deadline = gw_deadline(timeout_ns);
    /* The error queue is reported as POLLERR, which poll always returns. */
    r = gw_wait_ready(z->stream->fd, events, &z->stream->wake, NULL, *deadline);
    if (r == -ECANCELED)
        return gw_fail_canceled(err);
    if (r == -ETIMEDOUT)
        return gw_fail_timeout(timeout_ns, err);
    if (r < 0)
        return gw_fail(err, r, GW_BLAME_CHANNEL, "%s", strerror(-r));
    if (look(z)) {
        *deadline = 0;
        return 0;
    }
    if (events || z->first == z->next)
        return 0;
    if (!getsockopt(z->stream->fd, SOL_SOCKET, SO_ERROR, &code, &size) && code)
        return gw_fail(err, -code, GW_BLAME_CHANNEL, "%s", strerror(code));
    return gw_fail(err, -EPIPE, GW_BLAME_CHANNEL, "the other side has closed the connection");
}

uint64_t gw_zerocopy_released(struct gw_zerocopy *z)
{
    look(z);
    return z->first == z->next ? z->bytes : z->flight[z->first % FLIGHTS].begin;
}

int gw_zerocopy_wait(struct gw_zerocopy *z, uint64_t bytes, struct gw_error *err)
{
    uint64_t deadline = 0;
    int r = 0;

    while (r >= 0 && gw_zerocopy_released(z) < bytes)
        r = wait_more(z, 0, &deadline, err);
    return r < 0 ? drop(z, r) : 0;
}

int gw_zerocopy_settle(struct gw_zerocopy *z, struct gw_error *err)
{
    int r = gw_zerocopy_wait(z, z->bytes, err);

    if (z->copied)
        atomic_fetch_add_explicit(&z->missed, 1, memory_order_relaxed);
    z->copied = false;
    return r;
}

uint64_t gw_zerocopy_missed(const struct gw_zerocopy *z)
{
    return atomic_load_explicit(&z->missed, memory_order_relaxed);
}

/* ---- sending ------------------------------------------------------------------------------------------------------ */

/* One system call. */
static ssize_t send_some(struct gw_zerocopy *z, struct iovec *iov, int n, bool body, int flags, struct gw_error *err)
{
    struct msghdr msg = {.msg_iov = iov, .msg_iovlen = (size_t)n};
    uint64_t deadline = 0;
    int r = 0;

    while (r >= 0) {
        bool pinned = body && z->next - z->first < FLIGHTS;
        ssize_t done = sendmsg(z->stream->fd, &msg, flags | MSG_DONTWAIT | MSG_NOSIGNAL | (pinned ? MSG_ZEROCOPY : 0));

        if (done > 0) {
            if (pinned)
                z->flight[z->next++ % FLIGHTS] = (struct flight){.begin = z->bytes};
            z->bytes += (uint64_t)done;
            __atomic_fetch_add(&z->stream->channel.bytes_out, (uint64_t)done, __ATOMIC_RELAXED);
            return done;
        }
        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0 && errno == ENOBUFS && pinned) {
            /* The limit of locked memory, or of notifications, is reached. If this process has no sends under way,
             * others have reached it: then this body is copied. */
            body = z->first != z->next;
            z->copied |= !body;
            r = body ? wait_more(z, 0, &deadline, err) : 0;
        } else if (done < 0 && errno != EAGAIN && errno != EWOULDBLOCK) {
            r = gw_stream_failed(z->stream, errno, err);
        } else {
            r = wait_more(z, POLLOUT, &deadline, err);
        }
    }
    return r;
}

static bool is_staged(const struct iovec *v, const uint8_t *stage, size_t stage_bytes)
{
    return (const uint8_t *)v->iov_base >= stage && (const uint8_t *)v->iov_base < stage + stage_bytes;
}

int gw_zerocopy_send(struct gw_zerocopy *z, struct iovec *iov, int n, const uint8_t *stage, size_t stage_bytes,
                     struct gw_error *err)
{
    int i = gw_iov_advance(iov, n, 0, 0);

    look(z);
    while (i < n) {
        bool staged = is_staged(&iov[i], stage, stage_bytes), body;
        uint64_t bytes = 0;
        int end = i;
        ssize_t done;

        if (gw_cancel_triggered(&z->stream->wake))
            return drop(z, gw_fail_canceled(err));
        for (; end < n && end - i < GW_IOV_MAX && is_staged(&iov[end], stage, stage_bytes) == staged; end++)
            bytes += iov[end].iov_len;
        body = !staged && bytes >= WORTH_BYTES;
        done = send_some(z, iov + i, end - i, body, end < n ? MSG_MORE : 0, err);
        if (done < 0) {
            gw_context(err, "%s", z->stream->channel.name);
            return drop(z, (int)done);
        }
        i = gw_iov_advance(iov, n, i, (size_t)done);
    }
    return 0;
}


int gw_zerocopy_new(struct gw_channel *channel, struct gw_zerocopy **ret, struct gw_error *err)
{
    struct gw_stream *stream = gw_stream_tcp(channel);
    const int on = 1;
    struct gw_zerocopy *z;

    if (!stream)
        return gw_fail(err, -ENOTSUP, GW_BLAME_CALLER, "%s: zero-copy-send needs tcp: connections", channel->name);
    if (setsockopt(stream->fd, SOL_SOCKET, SO_ZEROCOPY, &on, sizeof on) < 0)
        return gw_fail(err, -ENOTSUP, GW_BLAME_LOCAL,
                       "%s: this kernel cannot send without copying (SO_ZEROCOPY: %s): turn zero-copy-send off",
                       channel->name, strerror(errno));
    z = calloc(1, sizeof *z);
    if (!z)
        return gw_nomem(err, "zero-copy send");
    z->stream = stream;
    *ret = z;
    return 0;
}

struct gw_zerocopy *gw_zerocopy_free(struct gw_zerocopy *z)
{
    if (z) {
        look(z);
        if (z->first != z->next)
            drop(z, 0);
    }
    free(z);
    return NULL;
}
