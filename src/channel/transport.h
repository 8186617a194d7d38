/* SPDX-License-Identifier: MIT
 *
 * transport: the parts of gw_connect and gw_listen other than sockets (socket.h).
 */
#ifndef GW_CHANNEL_TRANSPORT_H
#define GW_CHANNEL_TRANSPORT_H

#include "base/base.h"
#include "godwit/channel.h"

/* A seekable file over an open descriptor, which it takes in any case. kind: "file" or "fd". */
int gw_file_new(int take_fd, const char *kind, unsigned features, const char *name, struct gw_channel **ret_channel,
                struct gw_error *err);
/* write: creates the file (0600), truncates it at the offset; else opens it for reading. Then seeks to the offset. */
int gw_file_open(const struct gw_uri *uri, bool write, struct gw_channel **ret_channel, struct gw_error *err);

/* 1: *ret_channel is another descriptor of the same file that bypasses the page cache, for positioned I/O only. After a request
 * that is not aligned as that needs, it uses the page cache from then on. 0: the file does not support it. */
int gw_file_direct(struct gw_channel *of, struct gw_channel **ret_channel, struct gw_error *err);

/* A channel for a descriptor of any kind; takes the descriptor in any case. kind: "file" or "fd". */
int gw_fd_open(int take_fd, const char *kind, const char *name, struct gw_channel **ret_channel, struct gw_error *err);

/* Starts `/bin/sh -c command` with one end of a socket pair as its standard input and output. */
int gw_exec_start(const char *command, struct gw_channel **ret_channel, struct gw_error *err);

#endif
