/* SPDX-License-Identifier: MIT */
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "channel/socket.h"
#include "channel/spawn.h"
#include "channel/transport.h"
#include "godwit/clock.h"

/* Output of a command that still writes after its channel was closed is read up to this size; then it is cut off. */
#define DRAIN_BYTES (16 * GW_MIB)
/* Time between the end of a command's connection and the end of the command, if only an error message depends on it. */
#define EXIT_SOON_NS (100 * GW_NS_PER_MS)

struct gw_exec {
    struct gw_stream stream;
    pthread_mutex_t lock; /* guards pid: shutdown must not kill a process that got the same number later */
    pid_t pid;            /* also the process group; 0 once reaped, by this code or by other code */
    int pidfd;            /* readable when the command has ended */
};

static void describe_status(int status, char *text, size_t size)
{
    if (WIFEXITED(status))
        snprintf(text, size, "the command ended with status %d", WEXITSTATUS(status));
    else
        snprintf(text, size, "the command was killed by signal %d (%s)", WTERMSIG(status), strsignal(WTERMSIG(status)));
}

/* Takes the status of a command that has ended. -ECHILD: other code in the process has taken it. */
static int reap(struct gw_exec *x, int *ret_status)
{
    int r;

    pthread_mutex_lock(&x->lock);
    do
        r = x->pid > 0 ? waitpid(x->pid, ret_status, 0) : (errno = ECHILD, -1);
    while (r < 0 && errno == EINTR);
    if (r < 0)
        r = -errno;
    x->pid = 0;
    pthread_mutex_unlock(&x->lock);
    return r < 0 ? r : 0;
}

static void kill_group(struct gw_exec *x)
{
    siginfo_t info;

    pthread_mutex_lock(&x->lock);
    /* As long as this process can wait for it, the number belongs to the command, even if it has ended and its children
     * run on. */
    if (x->pid > 0 && waitid(P_PID, (id_t)x->pid, &info, WEXITED | WNOHANG | WNOWAIT) < 0 && errno == ECHILD)
        x->pid = 0;
    if (x->pid > 0)
        kill(-x->pid, SIGKILL);
    pthread_mutex_unlock(&x->lock);
}

/* A broken connection to a command usually means that the command failed: report that, if it ends soon enough. */
static ssize_t explain(struct gw_exec *x, ssize_t r, struct gw_error *err)
{
    siginfo_t info = {0};
    char text[96];
    int status;

    if ((r != -EPIPE && r != -ECONNRESET) || x->pidfd < 0)
        return r;
    if (gw_wait_ready(x->pidfd, POLLIN, &x->stream.wake, NULL, gw_deadline(EXIT_SOON_NS)) < 0 ||
        waitid(P_PID, (id_t)x->pid, &info, WEXITED | WNOHANG | WNOWAIT) < 0 || !info.si_pid)
        return r;
    status = info.si_code == CLD_EXITED ? W_EXITCODE(info.si_status, 0) : info.si_status;
    describe_status(status, text, sizeof text);
    return gw_fail(err, (int)r, GW_BLAME_CHANNEL, "%s", text);
}

static ssize_t exec_readv(struct gw_channel *ch, const struct iovec *iov, int n, struct gw_error *err)
{
    return explain((struct gw_exec *)ch, gw_stream_readv(ch, iov, n, err), err);
}

static ssize_t exec_writev(struct gw_channel *ch, const struct iovec *iov, int n, struct gw_error *err)
{
    return explain((struct gw_exec *)ch, gw_stream_writev(ch, iov, n, err), err);
}

static void exec_shutdown(struct gw_channel *ch)
{
    /* In this order: the shutdown must be recorded before the kill breaks the connection, so that it explains the
     * error. */
    gw_stream_shutdown(ch);
    kill_group((struct gw_exec *)ch);
}

/* Reads and discards the command's output until it ends. *ret_cut: the output was cut off. */
static int await_end(struct gw_exec *x, bool *ret_cut, struct gw_error *err)
{
    uint64_t timeout_ns = x->stream.channel.timeout_ns, deadline_ns = gw_deadline(timeout_ns), drained = 0;
    bool open = true;

    for (;;) {
        struct pollfd fds[] = {{.fd = x->pidfd, .events = POLLIN},
                               {.fd = x->stream.wake.fd, .events = POLLIN},
                               {.fd = open ? x->stream.fd : -1, .events = POLLIN}};
        uint64_t now = gw_now_ns(&gw_clock_real);
        struct timespec left = {0};
        char unread[16384];
        ssize_t got;
        int n;

        if (deadline_ns && now < deadline_ns) {
            left.tv_sec = (time_t)((deadline_ns - now) / GW_NS_PER_S);
            left.tv_nsec = (long)((deadline_ns - now) % GW_NS_PER_S);
        }
        n = ppoll(fds, GW_ARRAY_LEN(fds), deadline_ns ? &left : NULL, NULL);
        if (n < 0 && errno != EINTR)
            return gw_fail(err, -errno, GW_BLAME_LOCAL, "waiting for the command: %s", strerror(errno));
        if (n < 0)
            continue;
        if (n == 0) {
            char text[GW_DURATION_TEXT];

            return gw_fail(err, -ETIMEDOUT, GW_BLAME_CHANNEL, "the command still runs %s after the end of the stream",
                           gw_duration_text(text, timeout_ns));
        }
        if (fds[1].revents)
            return gw_fail_canceled(err);
        if (fds[0].revents)
            return 0;
        got = recv(x->stream.fd, unread, sizeof unread, MSG_DONTWAIT);
        if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR)) {
            open = false;
        } else if (got > 0) {
            drained += (uint64_t)got;
            deadline_ns = gw_deadline(timeout_ns);
            if (drained > DRAIN_BYTES) {
                shutdown(x->stream.fd, SHUT_RD);
                *ret_cut = true;
                open = false;
            }
        }
    }
}

static int exec_close(struct gw_channel *ch, struct gw_error *err)
{
    struct gw_exec *x = (struct gw_exec *)ch;
    bool cut = false;
    char text[96];
    int status, r;

    if (gw_cancel_triggered(&x->stream.wake))
        return gw_fail_canceled(err);
    shutdown(x->stream.fd, SHUT_WR);
    r = x->pidfd >= 0 ? await_end(x, &cut, err) : 0;
    if (r < 0)
        return r;
    r = reap(x, &status);
    if (r < 0)
        return gw_fail(err, r, GW_BLAME_CALLER,
                       "how the command ended is unknown: this process waits for, or ignores, all its children");
    /* If it fails because its output is no longer read, this side has caused it. */
    if ((WIFEXITED(status) && !WEXITSTATUS(status)) || cut)
        return 0;
    describe_status(status, text, sizeof text);
    return gw_fail(err, WIFEXITED(status) ? -EIO : -ECONNRESET, GW_BLAME_CHANNEL, "%s", text);
}

static void exec_free(struct gw_channel *ch)
{
    struct gw_exec *x = (struct gw_exec *)ch;
    int status;

    gw_stream_fini(&x->stream);
    kill_group(x);
    if (x->pid > 0)
        reap(x, &status);
    gw_close_fd(&x->pidfd);
    pthread_mutex_destroy(&x->lock);
    free(x);
}

static const struct gw_channel_ops exec_ops = {
    .kind = "exec",
    .readv = exec_readv,
    .writev = exec_writev,
    .peek = gw_stream_peek,
    .queued = gw_stream_queued,
    .gone = gw_stream_gone,
    .shutdown = exec_shutdown,
    .close = exec_close,
    .free = exec_free,
};

int gw_exec_start(const char *command, struct gw_channel **ret_channel, struct gw_error *err)
{
    struct gw_exec *x = calloc(1, sizeof *x);
    char name[sizeof x->stream.channel.name];
    int pair[2], r;

    snprintf(name, sizeof name, "exec:%s", command);
    if (!x)
        return gw_nomem(err, "channel");
    x->pidfd = -1;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) {
        r = gw_fail(err, -errno, GW_BLAME_LOCAL, "%s: socket pair: %s", name, strerror(errno));
        free(x);
        return r;
    }
    gw_socket_tune(pair[0]);
    gw_socket_tune(pair[1]);
    pthread_mutex_init(&x->lock, NULL);
    r = gw_stream_init(&x->stream, &exec_ops, pair[0], GW_CHANNEL_DUPLEX | GW_CHANNEL_PEEK | GW_CHANNEL_COMMAND, name,
                       err);
    if (r == 0) {
        char *const argv[] = {(char *)"sh", (char *)"-c", (char *)command, NULL};
        struct gw_spawn shell = {
            .program = "/bin/sh", .argv = argv, .in = pair[1], .out = pair[1], .err = -1, .group = true};

        r = gw_spawn(&shell, &x->pid);
        if (r < 0)
            gw_fail(err, r, GW_BLAME_LOCAL, "%s: starting /bin/sh: %s", name, strerror(-r));
    }
    close(pair[1]);
    if (r == 0) {
        x->pidfd = (int)syscall(SYS_pidfd_open, x->pid, 0);
        /* ESRCH: it has ended, and this process ignores its children. Its output can still be read. */
        if (x->pidfd < 0 && errno != ESRCH)
            r = gw_fail(err, -errno, GW_BLAME_LOCAL, "%s: pidfd: %s", name, strerror(errno));
    }
    if (r < 0) {
        exec_free(&x->stream.channel);
        return r;
    }
    *ret_channel = &x->stream.channel;
    return 0;
}
