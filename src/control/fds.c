/* SPDX-License-Identifier: MIT */
#include <sys/socket.h>

#include "control/internal.h"

#define NAME_MAX_BYTES 255

/* ---- on their way ------------------------------------------------------------------------------------------------ */

void gw_client_keep_fds(struct gw_client *cl, struct msghdr *m)
{
    for (struct cmsghdr *h = CMSG_FIRSTHDR(m); h; h = CMSG_NXTHDR(m, h)) {
        const unsigned char *data = CMSG_DATA(h);

        if (h->cmsg_level != SOL_SOCKET || h->cmsg_type != SCM_RIGHTS)
            continue;
        for (size_t i = 0; i < (h->cmsg_len - CMSG_LEN(0)) / sizeof(int); i++) {
            int fd;

            memcpy(&fd, data + i * sizeof fd, sizeof fd);
            if (cl->fd_count < GW_CLIENT_FDS)
                cl->fds[cl->fd_count++] = fd;
            else
                close(fd);
        }
    }
}

void gw_client_drop_fds(struct gw_client *cl)
{
    while (cl->fd_count)
        close(cl->fds[--cl->fd_count]);
}

/* The oldest, or -1. */
static int take_oldest(struct gw_client *cl)
{
    int fd;

    if (!cl->fd_count)
        return -1;
    fd = cl->fds[0];
    memmove(cl->fds, cl->fds + 1, --cl->fd_count * sizeof cl->fds[0]);
    return fd;
}

/* ---- with names -------------------------------------------------------------------------------------------------- */

static struct gw_named_fd *find(struct gw_control *c, const char *name)
{
    for (unsigned i = 0; i < c->named_count; i++)
        if (!strcmp(c->named[i].name, name))
            return &c->named[i];
    return NULL;
}

/* Removes it from the list: the caller owns the descriptor. */
static int take_off(struct gw_control *c, struct gw_named_fd *n)
{
    int fd = n->fd;

    free(n->name);
    *n = c->named[--c->named_count];
    return fd;
}

static int keep(struct gw_control *c, const char *name, int take_fd, struct gw_error *err)
{
    struct gw_named_fd *n = find(c, name);
    char *copy;

    if (n) {
        close(n->fd);
        n->fd = take_fd;
        return 0;
    }
    copy = c->named_count < GW_CONTROL_FDS ? strdup(name) : NULL;
    if (!copy) {
        close(take_fd);
        return c->named_count < GW_CONTROL_FDS
                   ? gw_nomem(err, "a descriptor's name")
                   : gw_fail(err, -ENOSPC, GW_BLAME_CALLER, "%d file descriptors have names already", GW_CONTROL_FDS);
    }
    c->named[c->named_count++] = (struct gw_named_fd){copy, take_fd};
    return 0;
}

int gw_cmd_getfd(struct gw_control *c, json_t *args, json_t **ret_result, struct gw_error *err)
{
    const char *name = json_string_value(json_object_get(args, "fdname"));
    int fd = take_oldest(c->asking);

    if (fd < 0)
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "no file descriptor came with the command (SCM_RIGHTS)");
    if (!*name || (*name >= '0' && *name <= '9') || strlen(name) > NAME_MAX_BYTES) {
        close(fd);
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "argument 'fdname' must not begin with a digit%s",
                       *name >= '0' && *name <= '9' ? "" : ", of 1 to 255 bytes");
    }
    return keep(c, name, fd, err);
}

int gw_cmd_closefd(struct gw_control *c, json_t *args, json_t **ret_result, struct gw_error *err)
{
    const char *name = json_string_value(json_object_get(args, "fdname"));
    struct gw_named_fd *n = find(c, name);

    if (!n)
        return gw_fail(err, -ENOENT, GW_BLAME_CALLER, "there is no file descriptor named '%.255s'", name);
    close(take_off(c, n));
    return 0;
}

bool gw_fds_meant(const char *uri)
{
    return !strncmp(uri, "fd:", 3);
}

int gw_fds_open(struct gw_control *c, const char *uri, struct gw_channel **ret_channel, struct gw_error *err)
{
    struct gw_named_fd *n = find(c, uri + 3);

    if (!n)
        return gw_fail(err, -ENOENT, GW_BLAME_CALLER,
                       "there is no file descriptor named '%.255s': over QMP it has the name that getfd gave it",
                       uri + 3);
    return gw_channel_from_fd(take_off(c, n), uri, ret_channel, err);
}

void gw_fds_close(struct gw_control *c)
{
    while (c->named_count)
        close(take_off(c, &c->named[0]));
}
