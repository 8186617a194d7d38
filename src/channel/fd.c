/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "channel/socket.h"
#include "channel/transport.h"

static int socket_number(int fd, int option)
{
    socklen_t size = sizeof(int);
    int value = 0;

    return getsockopt(fd, SOL_SOCKET, option, &value, &size) < 0 ? -errno : value;
}

static int refuse(int fd, int code, const char *name, const char *why, struct gw_error *err)
{
    if (fd >= 0)
        close(fd);
    return gw_fail(err, code, GW_BLAME_CALLER, "%.200s: %s", name, why);
}

int gw_fd_open(int take_fd, const char *kind, const char *name, struct gw_channel **ret_channel, struct gw_error *err)
{
    const enum gw_stream_kind stream = strcmp(kind, "file") ? GW_STREAM_FD : GW_STREAM_FILE;
    int mode = fcntl(take_fd, F_GETFL);
    struct stat st;

    if (mode < 0 || fstat(take_fd, &st) < 0)
        return refuse(mode < 0 ? -1 : take_fd, -errno, name, strerror(errno), err);
    fcntl(take_fd, F_SETFD, FD_CLOEXEC);
    switch (st.st_mode & S_IFMT) {
    case S_IFREG:
    case S_IFBLK:
        return gw_file_new(take_fd, kind, GW_CHANNEL_PEEK | (mode & O_APPEND ? 0 : GW_CHANNEL_SEEKABLE), name,
                           ret_channel, err);
    case S_IFSOCK:
        if (socket_number(take_fd, SO_TYPE) != SOCK_STREAM)
            return refuse(take_fd, -ESOCKTNOSUPPORT, name, "not a stream socket", err);
        if (socket_number(take_fd, SO_ACCEPTCONN))
            return refuse(take_fd, -EINVAL, name, "a socket that listens, not a connection", err);
        gw_socket_tune(take_fd);
        return gw_stream_new(take_fd, stream, GW_CHANNEL_DUPLEX | GW_CHANNEL_PEEK, name, 0, ret_channel, err);
    case S_IFIFO:
        return gw_stream_new(take_fd, stream, 0, name, 0, ret_channel, err);
    case S_IFCHR:
        return gw_stream_new(take_fd, stream, (mode & O_ACCMODE) == O_RDWR ? GW_CHANNEL_DUPLEX : 0, name, 0,
                             ret_channel, err);
    case S_IFDIR:
        return refuse(take_fd, -EISDIR, name, "a directory", err);
    default:
        return refuse(take_fd, -EINVAL, name, "not a socket, pipe, file or device", err);
    }
}

int gw_channel_from_fd(int take_fd, const char *name, struct gw_channel **ret_channel, struct gw_error *err)
{
    return gw_fd_open(take_fd, "fd", name, ret_channel, err);
}
