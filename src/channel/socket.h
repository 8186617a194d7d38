/* SPDX-License-Identifier: MIT
 *
 * socket: functions for connecting and for listening.
 */
#ifndef GW_CHANNEL_SOCKET_H
#define GW_CHANNEL_SOCKET_H

#include <netdb.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "channel/cancel.h"
#include "channel/stream.h"

/* Channel features of a connected stream socket, for all families. */
#define GW_SOCKET_FEATURES (GW_CHANNEL_DUPLEX | GW_CHANNEL_PEEK | GW_CHANNEL_MULTI)

/* One address of any family. */
struct gw_sockaddr {
    struct sockaddr_storage storage;
    socklen_t bytes;
};

#define GW_SOCKET_ADDRESSES 16

/* The addresses of a socket URI (tcp: at most GW_SOCKET_ADDRESSES of those of the name; unix, vsock: one). Looks up
 * names on a thread of its own, which is abandoned on -ECANCELED and -ETIMEDOUT: the system's resolver cannot be
 * interrupted. listening: an empty host means all addresses, port 0 is allowed. */
int gw_socket_resolve(const struct gw_uri *uri, bool listening, const struct gw_cancel *cancel, uint64_t deadline_ns,
                      struct gw_sockaddr ret_addresses[GW_SOCKET_ADDRESSES], unsigned *ret_count, struct gw_error *err);

/* "127.0.0.1:4444", "[::1]:4444", "/run/x", "2:1024": for messages. */
#define GW_SOCKADDR_TEXT 128
void gw_sockaddr_text(const struct gw_sockaddr *a, char buf[GW_SOCKADDR_TEXT]);

/* Settings of every connected socket: small messages (page requests) are sent at once, and a lost host is detected
 * within minutes (tcp). Failures are ignored. */
void gw_socket_tune(int fd);

/* The kind of a socket's family; GW_STREAM_FD for others. */
enum gw_stream_kind gw_socket_kind(int family);

/* gw_connect for tcp, unix and vsock. */
int gw_socket_connect(const struct gw_uri *uri, uint64_t timeout_ns, struct gw_cancel *cancel,
                      struct gw_channel **ret_channel, struct gw_error *err);

#endif
