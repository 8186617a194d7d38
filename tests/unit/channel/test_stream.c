/* SPDX-License-Identifier: MIT
 *
 * A channel over one descriptor, by its own functions. What waits and ends: test_transports.c (sockets) and test_fd.c
 * (pipes, devices, signals).
 */
#include <fcntl.h>
#include <netinet/in.h>

#include "channel/stream.h"
#include "helpers.h"

#define FAILING_COUNTDOWN
#include "../../failing.h"

static bool is_open(int fd)
{
    return fcntl(fd, F_GETFD) >= 0;
}

static void kinds(void **state)
{
    static const char *const names[] = {
        [GW_STREAM_TCP] = "tcp", [GW_STREAM_UNIX] = "unix", [GW_STREAM_VSOCK] = "vsock",
        [GW_STREAM_FD] = "fd",   [GW_STREAM_FILE] = "file",
    };

    for (size_t i = 0; i < GW_ARRAY_LEN(names); i++) {
        struct gw_error err = GW_ERROR_INIT;
        struct gw_channel *ch = NULL;
        int fds[2];

        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
        assert_ok(gw_stream_new(fds[0], (enum gw_stream_kind)i, GW_CHANNEL_PEEK, "name", 5 * MS, &ch, &err), err);
        assert_string_equal(ch->ops->kind, names[i]);
        assert_string_equal(ch->name, "name");
        assert_int_equal(ch->features, GW_CHANNEL_PEEK);
        assert_int_equal(ch->timeout_ns, 5 * MS);
        /* Not for commands that the process starts. */
        assert_int_equal(fcntl(fds[0], F_GETFD), FD_CLOEXEC);
        /* A socket's mode is shared with others who have it: left alone. */
        assert_int_equal(fcntl(fds[0], F_GETFL) & O_NONBLOCK, 0);
        gw_channel_free(ch);
        assert_false(is_open(fds[0]));
        close(fds[1]);
    }
}

/* What fits in, to one who reads nothing. */
static uint64_t fits(bool little)
{
    static uint8_t bytes[64 << 10];
    struct gw_error err = GW_ERROR_INIT;
    struct gw_channel *ch = NULL;
    uint64_t sum = 0;
    ssize_t n;
    int fds[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    assert_ok(gw_stream_new(fds[0], GW_STREAM_UNIX, 0, "name", 5 * MS, &ch, &err), err);
    if (little)
        gw_channel_prompt(ch);
    while ((n = gw_channel_writev(ch, &(struct iovec){bytes, sizeof bytes}, 1, &err)) > 0)
        sum += (uint64_t)n;
    assert_int_equal(n, -ETIMEDOUT);
    gw_channel_free(ch);
    close(fds[1]);
    return sum;
}

/* Little waits inside of a channel that is to be prompt; a pipe takes no notice. */
static void prompt(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_channel *ch = NULL;
    uint64_t usual = fits(false), little = fits(true);
    int fds[2];

    assert_in_range(little, 1, 64 << 10);
    assert_true(little < usual);
    assert_int_equal(pipe(fds), 0);
    assert_ok(gw_stream_new(fds[1], GW_STREAM_FD, 0, "pipe", 0, &ch, &err), err);
    gw_channel_prompt(ch);
    gw_channel_free(ch);
    close(fds[0]);
}

/* Over TCP, with room for much at the reader's. */
static uint64_t fits_tcp(bool little)
{
    static uint8_t bytes[64 << 10];
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int door = socket(AF_INET, SOCK_STREAM, 0), out = socket(AF_INET, SOCK_STREAM, 0), room = 2 << 20;
    struct gw_channel *writer = NULL, *reader = NULL;
    struct gw_error err = GW_ERROR_INIT;
    socklen_t n = sizeof at;
    uint64_t sum = 0;
    ssize_t wrote;

    assert_int_equal(setsockopt(door, SOL_SOCKET, SO_RCVBUF, &room, sizeof room), 0);
    assert_int_equal(bind(door, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(listen(door, 1), 0);
    assert_int_equal(getsockname(door, (struct sockaddr *)&at, &n), 0);
    assert_int_equal(connect(out, (struct sockaddr *)&at, sizeof at), 0);
    assert_ok(gw_stream_new(out, GW_STREAM_TCP, 0, "writer", 200 * MS, &writer, &err), err);
    assert_ok(gw_stream_new(accept(door, NULL, NULL), GW_STREAM_TCP, 0, "reader", 0, &reader, &err), err);
    gw_channel_prompt(writer);
    if (little)
        gw_channel_prompt(reader);
    /* What comes is read for a while, so that the window is as wide as it gets. */
    for (unsigned i = 0; i < 64; i++) {
        assert_ok(gw_channel_write_full(writer, bytes, sizeof bytes, &err), err);
        assert_ok(gw_channel_read_full(reader, bytes, sizeof bytes, &err), err);
    }
    while ((wrote = gw_channel_writev(writer, &(struct iovec){bytes, sizeof bytes}, 1, &err)) > 0)
        sum += (uint64_t)wrote;
    assert_int_equal(wrote, -ETIMEDOUT);
    gw_channel_free(writer);
    gw_channel_free(reader);
    close(door);
    return sum;
}

/* What has come and was not read is in front of what is asked for. */
static void prompt_reader(void **state)
{
    uint64_t usual = fits_tcp(false), little = fits_tcp(true);

    /* A host that is busy makes the way look long: then the channel is left alone. */
    for (unsigned i = 0; little >= usual / 2 && i < 1000; i++)
        little = fits_tcp(true);
    assert_true(little < usual / 2);
}

/* A pipe's mode is changed while the channel lives, also where the channel could not be made. */
static void modes(void **state)
{
    for (int was = 0; was <= O_NONBLOCK; was += O_NONBLOCK) {
        struct gw_error err = GW_ERROR_INIT;
        struct gw_channel *ch = NULL;
        int fds[2], shared;

        assert_int_equal(pipe2(fds, was), 0);
        shared = dup(fds[0]);
        assert_ok(gw_stream_new(fds[0], GW_STREAM_FD, 0, "pipe", 0, &ch, &err), err);
        assert_int_equal(fcntl(shared, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
        assert_int_equal(((struct gw_stream *)ch)->restore_mode >= 0, was == 0);
        gw_channel_free(ch);
        assert_int_equal(fcntl(shared, F_GETFL) & O_NONBLOCK, was);
        close(shared);
        close(fds[1]);
    }
}

static void no_descriptor(void **state)
{
    static const int none[] = {-1, -1000, INT32_MAX};

    for (size_t i = 0; i < GW_ARRAY_LEN(none); i++) {
        struct gw_error err = GW_ERROR_INIT;
        struct gw_channel *ch = NULL;

        assert_int_equal(gw_stream_new(none[i], GW_STREAM_FD, 0, "fd:x", 0, &ch, &err), -EBADF);
        assert_int_equal(err.blame, GW_BLAME_CALLER);
        assert_string_equal(err.text, "fd:x: Bad file descriptor");
        assert_null(ch);
    }
}

/* The descriptor is taken also where there is no memory for the channel. */
static void out_of_memory(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_channel *ch = NULL;
    int fds[2];

    assert_int_equal(pipe(fds), 0);
    countdown = 1;
    assert_int_equal(gw_stream_new(fds[0], GW_STREAM_FD, 0, "pipe", 0, &ch, &err), -ENOMEM);
    countdown = 0;
    assert_int_equal(err.blame, GW_BLAME_LOCAL);
    assert_string_equal(err.text, "out of memory (channel)");
    assert_null(ch);
    assert_false(is_open(fds[0]));
    close(fds[1]);
}

/* A close of a socket ends its direction, takes what the peer sent meanwhile, and nothing is reset. */
static void closes(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_channel *ch = NULL;
    char got[8];
    int fds[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    assert_ok(gw_stream_new(fds[0], GW_STREAM_UNIX, 0, "s", 0, &ch, &err), err);
    assert_int_equal(write(fds[1], "unread", 6), 6);
    assert_ok(gw_channel_write_full(ch, "last", 4, &err), err);
    assert_ok(gw_channel_close(ch, &err), err);
    gw_channel_free(ch);
    assert_int_equal(read(fds[1], got, sizeof got), 4);
    assert_int_equal(read(fds[1], got, sizeof got), 0);
    close(fds[1]);
    /* A pipe needs nothing; after a shutdown it was no good end. */
    assert_int_equal(pipe(fds), 0);
    assert_ok(gw_stream_new(fds[1], GW_STREAM_FD, 0, "p", 0, &ch, &err), err);
    assert_ok(gw_channel_close(ch, &err), err);
    gw_channel_shutdown(ch);
    assert_int_equal(gw_channel_close(ch, &err), -ECANCELED);
    gw_channel_free(ch);
    close(fds[0]);
}

/* A shutdown explains what the descriptor says because of it: an end or a broken pipe is none of the peer's doing. */
static void shutdown_explains(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_channel *ch = NULL;
    char byte;
    int fds[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    assert_ok(gw_stream_new(fds[0], GW_STREAM_UNIX, GW_CHANNEL_PEEK, "s", 0, &ch, &err), err);
    close(fds[1]);
    assert_true(gw_channel_peer_gone(ch));
    gw_channel_shutdown(ch);
    assert_int_equal(gw_channel_read_full(ch, &byte, 1, &err), -ECANCELED);
    assert_int_equal(gw_channel_write_full(ch, "x", 1, &err), -ECANCELED);
    assert_int_equal(gw_channel_peek(ch, &byte, 1, &err), -ECANCELED);
    assert_false(gw_channel_peer_gone(ch));
    gw_channel_free(ch);
}

static void words(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_channel *ch = NULL;
    char byte;
    int fds[2];

    assert_int_equal(pipe(fds), 0);
    assert_ok(gw_stream_new(fds[1], GW_STREAM_FD, 0, "p", 0, &ch, &err), err);
    assert_int_equal(gw_channel_write_full(ch, (void *)1, 5, &err), -EFAULT);
    assert_int_equal(err.blame, GW_BLAME_CALLER);
    assert_string_equal(err.text, "p: the memory given cannot be accessed");
    /* The wrong end. */
    assert_int_equal(gw_channel_read_full(ch, &byte, 1, &err), -EBADF);
    assert_int_equal(err.blame, GW_BLAME_CHANNEL);
    close(fds[0]);
    assert_int_equal(gw_channel_write_full(ch, "x", 1, &err), -EPIPE);
    assert_int_equal(err.blame, GW_BLAME_CHANNEL);
    assert_string_equal(err.text, "p: the other side has closed the connection");
    assert_int_equal(gw_channel_queued(ch), 0);
    gw_channel_free(ch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        channel_test(kinds),  channel_test(modes),             channel_test(no_descriptor), channel_test(out_of_memory),
        channel_test(closes), channel_test(shutdown_explains), channel_test(words),         channel_test(prompt),
        channel_test(prompt_reader),
    };

    return cmocka_run_group_tests_name("stream", tests, NULL, NULL);
}
