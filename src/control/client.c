/* SPDX-License-Identifier: MIT */
#include <sys/socket.h>

#include "control/internal.h"

#define READ_BYTES (16 * 1024)

void gw_client_open(struct gw_client *cl, int take_fd)
{
    *cl = (struct gw_client){.fd = take_fd};
}

void gw_client_close(struct gw_client *cl)
{
    gw_close_fd(&cl->fd);
    gw_client_drop_fds(cl);
    free(cl->in);
    free(cl->out);
    *cl = (struct gw_client){.fd = -1};
}

static bool make_room(char **buf, size_t *room, size_t want)
{
    size_t n = GW_MAX(*room, (size_t)4096);
    char *p;

    if (want <= *room)
        return true;
    while (n < want)
        n *= 2;
    p = realloc(*buf, n);
    if (!p)
        return false;
    *buf = p;
    *room = n;
    return true;
}

void gw_client_put(struct gw_client *cl, const char *text)
{
    size_t n = text ? strlen(text) : 0;

    if (cl->fd < 0)
        return;
    /* No reply could be made, or the client does not read: the connection is closed. */
    if (!text || gw_client_unread(cl) + n > GW_CONTROL_BACKLOG ||
        !make_room(&cl->out, &cl->out_room, cl->out_bytes + n + 2)) {
        gw_client_close(cl);
        return;
    }
    memcpy(cl->out + cl->out_bytes, text, n);
    memcpy(cl->out + cl->out_bytes + n, "\r\n", 2);
    cl->out_bytes += n + 2;
}

void gw_client_flush(struct gw_client *cl)
{
    while (cl->fd >= 0 && gw_client_unread(cl)) {
        ssize_t n = send(cl->fd, cl->out + cl->out_done, gw_client_unread(cl), MSG_NOSIGNAL | MSG_DONTWAIT);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            break;
        if (n < 0) {
            gw_client_close(cl);
            return;
        }
        cl->out_done += (size_t)n;
    }
    if (cl->fd >= 0 && cl->out_done) {
        memmove(cl->out, cl->out + cl->out_done, gw_client_unread(cl));
        cl->out_bytes -= cl->out_done;
        cl->out_done = 0;
    }
    if (cl->fd >= 0 && cl->closing)
        gw_client_close(cl);
}

/* Answers complete messages and removes them from the buffer. False: it stopped before the end. */
static bool take_messages(struct gw_control *c, struct gw_client *cl)
{
    size_t begin, end, used = 0;
    int r = 1;

    if (!cl->in) /* nothing was received yet */
        return true;
    while (cl->fd >= 0 && !cl->closing && gw_client_unread(cl) <= GW_CONTROL_UNREAD) {
        r = gw_splitter_next(&cl->splitter, cl->in + used, cl->in_bytes - used, &begin, &end);
        if (r == 0 && !cl->splitter.skip && cl->in_bytes - used > GW_CONTROL_MESSAGE) {
            gw_control_complain(cl, "a message is longer than the monitor accepts");
            gw_splitter_skip(&cl->splitter);
        } else if (r < 0) {
            gw_control_complain(cl, "a message is nested deeper than the monitor accepts");
        } else if (r > 0) {
            bool skip = cl->splitter.skip;

            gw_splitter_restart(&cl->splitter);
            if (!skip)
                gw_control_message(c, cl, cl->in + used + begin, end - begin);
            used += end;
        }
        if (cl->splitter.skip) {
            used += cl->splitter.at;
            cl->splitter.at = 0;
        }
        if (r == 0)
            break;
    }
    if (cl->fd < 0 || cl->closing)
        return true;
    if (r == 0 && !cl->splitter.open) {
        used = cl->in_bytes; /* white space */
        gw_splitter_restart(&cl->splitter);
    }
    if (used) {
        memmove(cl->in, cl->in + used, cl->in_bytes - used);
        cl->in_bytes -= used;
    }
    return r == 0;
}

void gw_client_work(struct gw_control *c, struct gw_client *cl)
{
    bool done;

    do {
        done = take_messages(c, cl);
        gw_client_flush(cl);
    } while (!done && cl->fd >= 0 && gw_client_unread(cl) <= GW_CONTROL_UNREAD);
    if (done && !cl->splitter.open)
        gw_client_drop_fds(cl);
}

void gw_client_read(struct gw_control *c, struct gw_client *cl)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(GW_CLIENT_FDS * sizeof(int))];
    } extra;
    struct iovec iov;
    struct msghdr m = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = extra.bytes, .msg_controllen = sizeof extra.bytes};
    ssize_t n;

    if (!make_room(&cl->in, &cl->in_room, cl->in_bytes + READ_BYTES)) {
        gw_client_close(cl);
        return;
    }
    iov = (struct iovec){cl->in + cl->in_bytes, READ_BYTES};
    n = recvmsg(cl->fd, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        /* Requests received before the end of input are answered, as far as the socket accepts the answers at once. */
        cl->closing = true;
        gw_client_flush(cl);
        return;
    }
    cl->in_bytes += (size_t)n;
    gw_client_keep_fds(cl, &m);
    gw_client_work(c, cl);
}
