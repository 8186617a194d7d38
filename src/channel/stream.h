/* SPDX-License-Identifier: MIT
 *
 * stream: a channel over one descriptor that can be polled: a stream socket, a pipe, a character device.
 *
 * I/O is tried first; only on EAGAIN {descriptor, wake} is polled. Sockets are not made non-blocking for that
 * (MSG_DONTWAIT works per call); pipes are, and get their old mode back at the end.
 *
 * For transports built on it (exec): the struct is the first member, and the ops below are used in their own table.
 */
#ifndef GW_CHANNEL_STREAM_H
#define GW_CHANNEL_STREAM_H

#include "channel/cancel.h"

struct gw_stream {
    struct gw_channel channel;
    int fd;
    struct gw_cancel wake;
    bool socket;
    bool fifo;        /* a read of 0 bytes can also mean: no writer yet */
    int restore_mode; /* fcntl status flags to restore, -1: none */
};

enum gw_stream_kind { GW_STREAM_TCP, GW_STREAM_UNIX, GW_STREAM_VSOCK, GW_STREAM_FD, GW_STREAM_FILE };

/* Takes the descriptor in any case. */
int gw_stream_new(int take_fd, enum gw_stream_kind kind, unsigned features, const char *name, uint64_t timeout_ns,
                  struct gw_channel **ret_channel, struct gw_error *err);
/* Parts of gw_stream_new. init takes the descriptor in any case; call fini even after a failed init. */
int gw_stream_init(struct gw_stream *s, const struct gw_channel_ops *ops, int take_fd, unsigned features,
                   const char *name, struct gw_error *err);
void gw_stream_fini(struct gw_stream *s);
/* The stream of a channel that is a TCP connection created here; NULL: it is another kind. */
struct gw_stream *gw_stream_tcp(struct gw_channel *ch);
/* Sets the error of an I/O call; after a shutdown, every error of the descriptor is reported as that. */
int gw_stream_failed(const struct gw_stream *s, int code, struct gw_error *err);

ssize_t gw_stream_readv(struct gw_channel *ch, const struct iovec *iov, int n, struct gw_error *err);
ssize_t gw_stream_writev(struct gw_channel *ch, const struct iovec *iov, int n, struct gw_error *err);
ssize_t gw_stream_peek(struct gw_channel *ch, void *buf, size_t n, struct gw_error *err);
bool gw_stream_gone(struct gw_channel *ch);
uint64_t gw_stream_queued(struct gw_channel *ch);
void gw_stream_prompt(struct gw_channel *ch);
void gw_stream_shutdown(struct gw_channel *ch);
int gw_stream_close(struct gw_channel *ch, struct gw_error *err);

#endif
