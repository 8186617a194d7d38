/* SPDX-License-Identifier: MIT */
#include "channel/cancel.h"
#include "channel/socket.h"
#include "channel/transport.h"

int gw_connect(const struct gw_uri *uri, uint64_t timeout_ns, struct gw_cancel *cancel, struct gw_channel **ret_channel,
               struct gw_error *err)
{
    struct gw_channel *channel;
    char name[GW_URI_TEXT];
    int r;

    if (uri->kind == GW_URI_TCP || uri->kind == GW_URI_UNIX || uri->kind == GW_URI_VSOCK)
        return gw_socket_connect(uri, timeout_ns, cancel, ret_channel, err);

    gw_uri_format(uri, name, sizeof name);
    if (cancel && gw_cancel_triggered(cancel)) {
        if (uri->kind == GW_URI_FD)
            close(uri->fd);
        return gw_fail(err, -ECANCELED, GW_BLAME_CHANNEL, "connecting to %.200s: cancelled", name);
    }
    switch (uri->kind) {
    case GW_URI_FD:
        r = gw_channel_from_fd(uri->fd, name, &channel, err);
        break;
    case GW_URI_EXEC:
        r = gw_exec_start(uri->path, &channel, err);
        break;
    case GW_URI_FILE:
        r = gw_file_open(uri, true, &channel, err);
        break;
    default:
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "an address of kind %d cannot be connected to", uri->kind);
    }
    if (r < 0)
        return r;
    gw_channel_set_timeout(channel, timeout_ns);
    *ret_channel = channel;
    return 0;
}
