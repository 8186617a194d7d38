/* SPDX-License-Identifier: MIT
 *
 * channel: a connection that bytes move over, and the addresses that lead to one.
 *
 * A channel is an object with an `ops` table, so an embedder can add its own transport. The library opens only the
 * addresses that it is given.
 *
 * Threads: one thread may read and another write at the same time. `gw_channel_shutdown` may be called from any thread
 * at any time before `gw_channel_free`, and ends the waits of other threads within milliseconds.
 * Blame: failures of the transport are GW_BLAME_CHANNEL; -ECANCELED after a shutdown; -ETIMEDOUT when no byte moved for
 * the time set; -EPIPE and -ECONNRESET when the peer is gone. An orderly end is a read of 0 bytes. -EFAULT with
 * GW_BLAME_CALLER when the memory given cannot be read or written. Failures of files are GW_BLAME_LOCAL.
 *
 * Signals: the library never raises SIGPIPE in the process, whatever its disposition. Descriptors: all that the library
 * opens are close-on-exec, so programs that the embedder starts do not hold its connections open.
 */
#ifndef GODWIT_CHANNEL_H
#define GODWIT_CHANNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "godwit/error.h"
#include "godwit/version.h"

#ifdef __cplusplus
extern "C" {
#endif

struct gw_channel;

enum gw_channel_feature {
    GW_CHANNEL_DUPLEX = 1 << 0,   /* carries both directions: return path, postcopy */
    GW_CHANNEL_SEEKABLE = 1 << 1, /* preadv and pwritev work: mapped-ram */
    GW_CHANNEL_PEEK = 1 << 2,     /* peek works */
    GW_CHANNEL_MULTI = 1 << 3,    /* more connections can be made to its address: multifd, preempt */
    GW_CHANNEL_COMMAND = 1 << 4,  /* a command's standard input and output; the command may never send anything back */
};

struct gw_channel_ops {
    const char *kind; /* "tcp", "unix", "vsock", "fd", "exec", "file", "memory", ... */

    /* Move at least one byte, waiting at most timeout_ns (0 = for ever) for the first. Short counts are normal. readv
     * returns 0 at the orderly end, writev never. n is 1..1024; the first length is positive, others may be 0. */
    ssize_t (*readv)(struct gw_channel *ch, const struct iovec *iov, int n, struct gw_error *err);
    ssize_t (*writev)(struct gw_channel *ch, const struct iovec *iov, int n, struct gw_error *err);

    /* Optional (see the features). Positioned I/O does not move the stream position. Any number of threads may do it, also
     * while others read and write the stream. A file that was opened for one direction refuses the other with -EBADF. */
    ssize_t (*preadv)(struct gw_channel *ch, const struct iovec *iov, int n, uint64_t offset, struct gw_error *err);
    ssize_t (*pwritev)(struct gw_channel *ch, const struct iovec *iov, int n, uint64_t offset, struct gw_error *err);
    int (*seek)(struct gw_channel *ch, uint64_t offset, struct gw_error *err);

    /* Optional: the next bytes without taking them; waits for at least one; 0 at the end. */
    ssize_t (*peek)(struct gw_channel *ch, void *buf, size_t n, struct gw_error *err);

    /* Optional: bytes accepted by writev that have not reached the peer yet, as far as is known: not acknowledged (tcp), or
     * not read (unix, including the kernel's overhead; memory). Called on the writer's thread. */
    uint64_t (*queued)(struct gw_channel *ch);

    /* Optional: whether the other side is known to have closed its end, or the connection to be broken, even if there is still
     * data to read. Never waits and reads nothing. Any thread. false after our own shutdown. */
    bool (*gone)(struct gw_channel *ch);

    /* Any thread; idempotent; cannot fail. All I/O, under way and to come, ends with -ECANCELED. */
    void (*shutdown)(struct gw_channel *ch);

    /* When it returns, all that was written so far is on stable storage. NULL where there is no storage. */
    int (*sync)(struct gw_channel *ch, struct gw_error *err);

    /* Orderly close: buffered data is flushed, the peer sees an orderly end, and late errors are reported (file: the data is
     * synced; exec: the exit status is checked). Called once, by the owner, before free; no I/O after it. May be NULL. */
    int (*close)(struct gw_channel *ch, struct gw_error *err);

    /* Releases everything, whether or not close was called. Without close, the peer may see an orderly end or a reset. */
    void (*free)(struct gw_channel *ch);

    /* The stream position, which seek sets. NULL: with GW_CHANNEL_SEEKABLE mapped-ram is refused. */
    int (*tell)(struct gw_channel *ch, uint64_t *ret_offset, struct gw_error *err);

    /* Optional: from now on low latency matters more than throughput: keep little data buffered in either direction. Called on
     * the writer's or the reader's thread. */
    void (*prompt)(struct gw_channel *ch);
};

/* The common part of every channel; a transport embeds it as its first member and calls gw_channel_init. */
struct gw_channel {
    const struct gw_channel_ops *ops;
    unsigned features;    /* enum gw_channel_feature */
    char name[128];       /* for messages: "tcp:127.0.0.1:4444" */
    uint64_t timeout_ns;  /* give up when no byte moved for this long; 0 = never. Set by gw_channel_set_timeout */
    uint64_t bytes_in;    /* counted by the functions below; read them with gw_channel_bytes */
    uint64_t bytes_out;
    size_t ops_bytes;     /* the size of the program's ops: members beyond it do not exist */
    uint64_t reserved[8]; /* zeros */
};

/* For transports: fills the head of a channel that they made. name is copied, and cut to what fits. ops: borrowed.
 * -EINVAL, -E2BIG (version.h): the head is zeros then. */
GW_API int gw_channel_init_sized(struct gw_channel *ch, const struct gw_channel_ops *ops, size_t ops_bytes,
                                 unsigned features, const char *name, struct gw_error *err);
static inline int gw_channel_init(struct gw_channel *ch, const struct gw_channel_ops *ops, unsigned features,
                                  const char *name)
{
    return gw_channel_init_sized(ch, ops, sizeof *ops, features, name, NULL);
}

/* One call of the transport, counted. Positioned and stream I/O count alike; peeking does not. */
GW_API ssize_t gw_channel_readv(struct gw_channel *ch, const struct iovec *iov, int n, struct gw_error *err);
GW_API ssize_t gw_channel_writev(struct gw_channel *ch, const struct iovec *iov, int n, struct gw_error *err);
GW_API ssize_t gw_channel_peek(struct gw_channel *ch, void *buf, size_t n, struct gw_error *err);

/* All of it or an error. The iovec array is consumed (changed). read_full: -ENODATA with "ended after N of M bytes". */
GW_API int gw_channel_writev_full(struct gw_channel *ch, struct iovec *iov, int n, struct gw_error *err);
GW_API int gw_channel_write_full(struct gw_channel *ch, const void *buf, size_t bytes, struct gw_error *err);
GW_API int gw_channel_readv_full(struct gw_channel *ch, struct iovec *iov, int n, struct gw_error *err);
GW_API int gw_channel_read_full(struct gw_channel *ch, void *buf, size_t bytes, struct gw_error *err);
GW_API int gw_channel_pread_full(struct gw_channel *ch, void *buf, size_t bytes, uint64_t offset, struct gw_error *err);
GW_API int gw_channel_pwrite_full(struct gw_channel *ch, const void *buf, size_t bytes, uint64_t offset,
                                  struct gw_error *err);
GW_API int gw_channel_preadv_full(struct gw_channel *ch, struct iovec *iov, int n, uint64_t offset, struct gw_error *err);
GW_API int gw_channel_pwritev_full(struct gw_channel *ch, struct iovec *iov, int n, uint64_t offset,
                                   struct gw_error *err);

/* Set and return the stream position. Need GW_CHANNEL_SEEKABLE. */
GW_API int gw_channel_seek(struct gw_channel *ch, uint64_t offset, struct gw_error *err);
GW_API int gw_channel_tell(struct gw_channel *ch, uint64_t *ret_offset, struct gw_error *err);
/* fdatasync for files; does nothing and returns 0 for channels without storage. */
GW_API int gw_channel_sync(struct gw_channel *ch, struct gw_error *err);

/* For calls that begin later; any thread. 0: wait for ever. An accepted channel starts with 0. */
GW_API void gw_channel_set_timeout(struct gw_channel *ch, uint64_t timeout_ns);
GW_API void gw_channel_bytes(const struct gw_channel *ch, uint64_t *ret_in, uint64_t *ret_out); /* any thread */
/* ops->prompt; does nothing where the transport has none. */
GW_API void gw_channel_prompt(struct gw_channel *ch);
/* Bytes written that have not reached the peer yet; 0 where it is not known. The writer's thread. */
GW_API uint64_t gw_channel_queued(struct gw_channel *ch);
/* Whether it is known that the other side sends nothing more. tcp, unix, vsock, fd (sockets): it has closed its end, or shut
 * down its sending direction. exec: the command has closed both input and output, since many commands close their output
 * early and still read. false where it is not known. Any thread. */
GW_API bool gw_channel_peer_gone(struct gw_channel *ch);
GW_API void gw_channel_shutdown(struct gw_channel *ch); /* any thread */
/* Called by the owner when no other thread uses the channel any more. Freeing a channel without closing it abandons it:
 * buffered data may be lost, a command is killed. exec: waits for the command to exit, at most timeout_ns after its last
 * output; -EIO when its exit status is not 0, -ECONNRESET when a signal killed it. -ECANCELED after a shutdown. */
GW_API int gw_channel_close(struct gw_channel *ch, struct gw_error *err);
/* Takes NULL, returns NULL. */
GW_API struct gw_channel *gw_channel_free(struct gw_channel *ch);

/* ---- addresses ---------------------------------------------------------------------------------------------------
 *
 * tcp:HOST:PORT  tcp:[V6]:PORT  unix:PATH  vsock:CID:PORT  fd:N  exec:COMMAND  file:PATH[,offset=SIZE]
 * tcp    PORT is decimal; 0 lets the system choose when listening. HOST is a name or an IPv4 address; an empty one
 *        listens on all addresses (v6 and v4) and connects to loopback. A host that vanished (no FIN, no RST) is noticed
 *        within about three minutes, whatever the time-out (-ETIMEDOUT). Of a name with several addresses, each is tried
 *        in turn when connecting, and all are listened on. V6 may have a scope: [fe80::1%eth0].
 * unix   at most 107 bytes. Listening replaces a socket file that no process listens on any more, and no other file.
 * vsock  CID and PORT are decimal. CID 1 is this host, 2 the host of a VM, 4294967295 (listening only) any; PORT as in tcp.
 * fd     N is a descriptor of this process: a stream socket, a pipe, a file, a device; for gw_listen also a listening
 *        socket.
 * exec   COMMAND goes to /bin/sh -c. Its standard input and output are one end of a socket pair, so both directions
 *        work as far as the command uses them (but /dev/stdin and /dev/stdout cannot be opened by name: the kernel does not
 *        allow that for sockets). It runs in its own process group, without a controlling terminal.
 * file   SIZE is decimal or 0x hex with an optional suffix K M G T (powers of two). Only the last ",offset=" is parsed as
 *        one; text before it belongs to PATH. FIFOs and devices work as streams.
 *
 * Text that does not follow this is refused with -EINVAL, GW_BLAME_CALLER; the error says what is wrong with it. */
enum gw_uri_kind { GW_URI_TCP, GW_URI_UNIX, GW_URI_VSOCK, GW_URI_FD, GW_URI_EXEC, GW_URI_FILE };

struct gw_uri {
    enum gw_uri_kind kind;
    char host[256];   /* tcp */
    char service[32]; /* tcp: port, decimal */
    char path[4096]; /* unix and file: path; exec: command */
    uint64_t offset;  /* file */
    uint32_t cid, port; /* vsock */
    int fd;             /* fd */
    uint64_t reserved[8]; /* zeros */
};

GW_API int gw_uri_parse(const char *text, struct gw_uri *ret_uri, struct gw_error *err);
/* Writes the address in the form that gw_uri_parse reads; cut when it does not fit. */
#define GW_URI_TEXT 4352 /* fits all */
GW_API void gw_uri_format(const struct gw_uri *uri, char *buf, size_t size);

/* Cancels calls: triggering it wakes every call that was given it, which then returns -ECANCELED. It stays triggered: later
 * calls return at once. May be given to any number of calls; free it only when none of them is running. */
struct gw_cancel;
GW_API int gw_cancel_new(struct gw_cancel **ret_cancel, struct gw_error *err);
GW_API void gw_cancel_trigger(struct gw_cancel *cancel); /* any thread */
GW_API bool gw_cancel_triggered(const struct gw_cancel *cancel);
GW_API int gw_cancel_fd(const struct gw_cancel *cancel); /* readable once triggered */
GW_API struct gw_cancel *gw_cancel_free(struct gw_cancel *cancel);

/* Opens the sending side of an address: connects, starts the command, or creates the file (mode 0600, truncated to the
 * offset, positioned there). timeout_ns bounds connecting, including the name lookup, and becomes the channel's time-out;
 * 0: as long as the system tries. cancel may be NULL. fd: takes ownership of the descriptor, also on failure.
 * A destination that does not listen yet is an error at once (-ECONNREFUSED, -ENOENT): to wait for it, call again. */
GW_API int gw_connect(const struct gw_uri *uri, uint64_t timeout_ns, struct gw_cancel *cancel,
                      struct gw_channel **ret_channel, struct gw_error *err);

/* Opens the receiving side. Sockets listen (with room for `backlog` waiting connections); exec, fd and file are opened here,
 * so that errors show at once, and accept returns one channel. One owner: only one function runs on a listener at a time;
 * gw_cancel_trigger ends a waiting accept. fd: takes ownership of the descriptor, also on failure. */
struct gw_listener;
GW_API int gw_listen(const struct gw_uri *uri, int backlog, struct gw_listener **ret_listener, struct gw_error *err);
/* Waits at most timeout_ns (0 = for ever): -ETIMEDOUT, -ECANCELED, or -ENOTCONN when the address gives only one channel and
 * that one was accepted already. */
GW_API int gw_listener_accept(struct gw_listener *l, uint64_t timeout_ns, struct gw_cancel *cancel,
                              struct gw_channel **ret_channel, struct gw_error *err);
/* For an event loop: a descriptor that is readable when a connection waits; -1 where accept never waits (exec, fd, file). */
GW_API int gw_listener_fd(const struct gw_listener *l);
/* True when accept can return more than one channel. */
GW_API bool gw_listener_is_socket(const struct gw_listener *l);
/* The actual address (with the port that the system chose). */
GW_API void gw_listener_uri(const struct gw_listener *l, struct gw_uri *ret_uri);
/* Also removes the socket file of unix:, if it is still the one that gw_listen made. Takes NULL, returns NULL. */
GW_API struct gw_listener *gw_listener_free(struct gw_listener *l);

/* Two connected channels in this process, each with a buffer of `bytes`; duplex. For tests and for migrations inside one
 * process. Free both, in any order: when one is freed, the other can read what is left in the buffer and then sees the end;
 * writes fail with -EPIPE. */
GW_API int gw_channel_memory_pair(size_t bytes, struct gw_channel **ret_a, struct gw_channel **ret_b,
                                  struct gw_error *err);
/* Takes ownership of the descriptor, also on failure. name is used in messages. Features are detected: sockets are duplex,
 * regular files seekable unless opened for appending. A pipe or device is made non-blocking while the channel lives;
 * gw_channel_free restores its mode, since other processes may share it. */
GW_API int gw_channel_from_fd(int take_fd, const char *name, struct gw_channel **ret_channel, struct gw_error *err);

#ifdef __cplusplus
}
#endif
#endif
