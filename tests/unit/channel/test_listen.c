/* SPDX-License-Identifier: MIT
 *
 * Listening, accepting, connecting: addresses, names, left-overs. Time-outs and cancelling: test_listen_waits.c.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "channel/stream.h"
#include "listening.h"
#include "../../emulated.h"

/* Connects by this host to the listener's port and passes a word both ways. */
static void talks(struct gw_listener *l, const char *host)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_channel *a, *b;
    char text[64], word[4];

    snprintf(text, sizeof text, "tcp:%s:%u", host, port_of(l));
    assert_ok(try_connect(text, PATIENCE_NS, NULL, &a, &err), err);
    assert_ok(gw_listener_accept(l, PATIENCE_NS, NULL, &b, &err), err);
    assert_string_equal(a->name, text);
    assert_string_equal(a->ops->kind, "tcp");
    assert_string_equal(b->ops->kind, "tcp");
    assert_true(a->features & b->features & GW_CHANNEL_MULTI);
    assert_int_equal(a->timeout_ns, PATIENCE_NS);
    assert_int_equal(b->timeout_ns, 0);
    assert_ok(gw_channel_write_full(a, "ping", 4, &err), err);
    assert_ok(gw_channel_read_full(b, word, 4, &err), err);
    assert_memory_equal(word, "ping", 4);
    assert_ok(gw_channel_write_full(b, "pong", 4, &err), err);
    assert_ok(gw_channel_read_full(a, word, 4, &err), err);
    assert_memory_equal(word, "pong", 4);
    gw_channel_free(a);
    gw_channel_free(b);
}

static void the_system_chooses_the_port(void **state)
{
    struct gw_listener *l = listen_on("tcp:127.0.0.1:0");
    struct gw_uri uri;

    gw_listener_uri(l, &uri);
    assert_string_equal(uri.host, "127.0.0.1");
    assert_in_range(port_of(l), 1, 65535);
    assert_true(gw_listener_is_socket(l));
    talks(l, "127.0.0.1");
    talks(l, "localhost");
    gw_listener_free(l);
}

static bool has_ipv6(void)
{
    struct sockaddr_in6 a = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool has = fd >= 0 && bind(fd, (struct sockaddr *)&a, sizeof a) == 0;

    if (fd >= 0)
        close(fd);
    if (!has)
        print_message("this host has no IPv6\n");
    return has;
}

static void an_empty_host_is_all_and_loopback(void **state)
{
    struct gw_listener *l = listen_on("tcp::0");

    talks(l, "127.0.0.1");
    if (has_ipv6())
        talks(l, "[::1]");
    talks(l, "");
    talks(l, "127.9.9.9");
    gw_listener_free(l);
}

static void a_name_with_several_addresses(void **state)
{
    struct gw_listener *l = listen_on("tcp:localhost:0");
    struct pollfd p = {.fd = gw_listener_fd(l), .events = POLLIN};

    talks(l, "127.0.0.1");
    talks(l, "localhost");
    assert_true(p.fd >= 0);
    assert_int_equal(poll(&p, 1, 0), 0);
    gw_listener_free(l);
}

/* Loopback is ::1 first, where nobody listens, and 127.0.0.1 next. */
static void addresses_are_tried_in_turn(void **state)
{
    struct gw_listener *l = listen_on("tcp:127.0.0.1:0");

    talks(l, "");
    gw_listener_free(l);
}

/* Closing sends the reset; it may be that a thread of the kernel delivers it later. */
static void until_reset(struct gw_channel *ch)
{
    struct pollfd p = {.fd = ((struct gw_stream *)ch)->fd};

    while (!(p.revents & POLLERR))
        assert_int_equal(poll(&p, 1, -1), 1);
}

static void a_reset_is_told(void **state)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const struct linger now = {.l_onoff = 1};
    struct gw_listener *l = listen_on("tcp:127.0.0.1:0");
    struct gw_error err = GW_ERROR_INIT;
    struct gw_channel *ch;
    char byte;

    to.sin_port = htons((uint16_t)port_of(l));
    for (int writes = 0; writes < 3; writes++) {
        int fd = socket(AF_INET, SOCK_STREAM, 0);

        assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
        assert_ok(gw_listener_accept(l, PATIENCE_NS, NULL, &ch, &err), err);
        gw_channel_set_timeout(ch, PATIENCE_NS);
        assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now), 0);
        close(fd);
        until_reset(ch);
        if (writes == 0)
            assert_int_equal(gw_channel_read_full(ch, &byte, 1, &err), -ECONNRESET);
        else if (writes == 1)
            assert_int_equal(gw_channel_write_full(ch, "x", 1, &err), -ECONNRESET);
        else
            assert_int_equal(gw_channel_close(ch, &err), -ECONNRESET);
        assert_text(err, "connection reset by the other side");
        assert_text(err, "tcp:127.0.0.1:");
        assert_int_equal(err.blame, GW_BLAME_CHANNEL);
        gw_channel_free(ch);
    }
    gw_listener_free(l);
}

static void accepted_names(void **state)
{
    struct gw_listener *l = listen_on("tcp::0");
    struct gw_error err = GW_ERROR_INIT;
    struct gw_channel *a, *b;
    char text[64];

    snprintf(text, sizeof text, "tcp:127.0.0.1:%u", port_of(l));
    assert_ok(try_connect(text, PATIENCE_NS, NULL, &a, &err), err);
    assert_ok(gw_listener_accept(l, PATIENCE_NS, NULL, &b, &err), err);
    /* A v4 peer of the socket that serves both is named as v4. */
    assert_memory_equal(b->name, "tcp:127.0.0.1:", 14);
    gw_channel_free(a);
    gw_channel_free(b);
    gw_listener_free(l);
}

static void refused(void **state)
{
    struct gw_listener *l = listen_on("tcp:127.0.0.1:0");
    struct gw_error err = GW_ERROR_INIT;
    struct gw_channel *ch = NULL;
    char text[64];

    snprintf(text, sizeof text, "tcp:127.0.0.1:%u", port_of(l));
    gw_listener_free(l);
    assert_int_equal(try_connect(text, PATIENCE_NS, NULL, &ch, &err), -ECONNREFUSED);
    assert_text(err, "connecting to tcp:127.0.0.1:");
    assert_text(err, "Connection refused");
    assert_int_equal(err.blame, GW_BLAME_CHANNEL);
    assert_null(ch);
    /* Often enough for the kernel to choose the very port: no socket is ever connected to itself. */
    for (int i = 0; i < 2000; i++)
        assert_int_equal(try_connect(text, PATIENCE_NS, NULL, &ch, NULL), -ECONNREFUSED);
    assert_int_equal(try_connect("tcp:127.0.0.1:0", PATIENCE_NS, NULL, &ch, NULL), -ECONNREFUSED);
    assert_int_equal(try_connect("unix:/tmp/godwit-no-such-socket", PATIENCE_NS, NULL, &ch, &err), -ENOENT);
    assert_text(err, "/tmp/godwit-no-such-socket: No such file or directory");
}

static void no_such_name(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_listener *l;
    struct gw_channel *ch;
    /* .invalid is promised to exist nowhere (RFC 6761); without any resolver the answer is "again later". */
    int r = try_connect("tcp:nowhere.invalid:1", 3 * GW_NS_PER_S, NULL, &ch, &err);

    struct addrinfo *found = NULL;

    if (getaddrinfo("nowhere.invalid", "1", NULL, &found) == 0) { /* some resolvers have an address for everybody */
        print_message("this host's resolver knows names that do not exist\n");
        freeaddrinfo(found);
    } else {
        assert_true(r == -EHOSTUNREACH || r == -EAGAIN || r == -ETIMEDOUT);
    }
    assert_text(err, "connecting to tcp:nowhere.invalid:1");
    assert_true(try_listen("tcp:999.1.1.1:0", &l, &err) < 0);
    assert_true(try_listen("tcp:192.0.2.1:0", &l, &err) < 0); /* nobody's address (RFC 5737) */
    assert_text(err, "listening on tcp:192.0.2.1:0: bind 192.0.2.1:0: Cannot assign requested address");
}

static void port_in_use(void **state)
{
    struct gw_listener *l = listen_on("tcp:127.0.0.1:0"), *second = NULL;
    struct gw_error err = GW_ERROR_INIT;
    char text[64];

    snprintf(text, sizeof text, "tcp:127.0.0.1:%u", port_of(l));
    assert_int_equal(try_listen(text, &second, &err), -EADDRINUSE);
    assert_text(err, "Address already in use");
    assert_int_equal(err.blame, GW_BLAME_LOCAL);
    assert_null(second);
    gw_listener_free(l);
    gw_listener_free(listen_on(text));
}

static void unix_files(void **state)
{
    struct gw_listener *l, *second;
    struct gw_error err = GW_ERROR_INIT;
    struct gw_channel *a, *b;
    char path[64], text[96];
    struct stat st;
    int fd;

    temporary_path(path, "s");
    snprintf(text, sizeof text, "unix:%s", path);
    l = listen_on(text);
    assert_int_equal(lstat(path, &st), 0);
    assert_true(S_ISSOCK(st.st_mode));
    /* Somebody listens: not ours to take. */
    assert_int_equal(try_listen(text, &second, &err), -EADDRINUSE);
    assert_ok(try_connect(text, PATIENCE_NS, NULL, &a, &err), err);
    assert_ok(gw_listener_accept(l, PATIENCE_NS, NULL, &b, &err), err);
    assert_string_equal(a->name, text);
    assert_string_equal(b->name, text);
    gw_channel_free(a);
    gw_channel_free(b);
    gw_listener_free(l);
    assert_int_equal(lstat(path, &st), -1);

    /* The socket of a process that died: taken over. */
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    strcpy(to.sun_path, path);
    fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&to, sizeof to), 0);
    close(fd);
    l = listen_on(text);
    assert_ok(try_connect(text, PATIENCE_NS, NULL, &a, &err), err);
    gw_channel_free(a);
    /* Somebody else's in its place stays when ours goes. */
    unlink(path);
    second = listen_on(text);
    gw_listener_free(l);
    assert_int_equal(lstat(path, &st), 0);
    gw_listener_free(second);
    assert_int_equal(lstat(path, &st), -1);

    /* No other file is removed. */
    fd = open(path, O_CREAT | O_WRONLY, 0600);
    close(fd);
    assert_int_equal(try_listen(text, &l, &err), -EADDRINUSE);
    assert_int_equal(lstat(path, &st), 0);
    remove_temporary(path);
}

static void one_channel_addresses(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_channel *ch;
    struct gw_listener *l;
    char byte;

    SKIP_EMULATED("the emulator starts other programs in a way of its own");
    l = listen_on("exec:printf x");
    assert_false(gw_listener_is_socket(l));
    assert_int_equal(gw_listener_fd(l), -1);
    assert_ok(gw_listener_accept(l, PATIENCE_NS, NULL, &ch, &err), err);
    assert_int_equal(gw_listener_accept(l, PATIENCE_NS, NULL, &ch, &err), -ENOTCONN);
    assert_text(err, "exec:printf x");
    gw_listener_free(l);
    assert_ok(gw_channel_read_full(ch, &byte, 1, &err), err);
    assert_ok(gw_channel_close(ch, &err), err);
    gw_channel_free(ch);
    /* Never accepted: nothing is left of it. */
    gw_listener_free(listen_on("exec:sleep 1000"));
    assert_int_equal(try_listen("file:/tmp/godwit-no-such-file", &l, &err), -ENOENT);
    assert_text(err, "opening file:/tmp/godwit-no-such-file");
    assert_null(gw_listener_free(NULL));
}

static void a_listening_descriptor(void **state)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct gw_error err = GW_ERROR_INIT;
    socklen_t bytes = sizeof a;
    struct gw_channel *ch, *out;
    struct gw_listener *l;
    char text[64];

    assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof a), 0);
    assert_int_equal(listen(fd, 3), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &bytes), 0);
    snprintf(text, sizeof text, "fd:%d", fd);
    l = listen_on(text);
    assert_true(gw_listener_is_socket(l));
    assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    assert_int_equal(gw_listener_accept(l, 5 * MS, NULL, &ch, &err), -ETIMEDOUT);
    for (int i = 0; i < 2; i++) {
        snprintf(text, sizeof text, "tcp:127.0.0.1:%u", ntohs(a.sin_port));
        assert_ok(try_connect(text, PATIENCE_NS, NULL, &out, &err), err);
        assert_ok(gw_listener_accept(l, PATIENCE_NS, NULL, &ch, &err), err);
        gw_channel_free(ch);
        gw_channel_free(out);
    }
    gw_listener_free(l);
    /* Its own listening socket is no channel. */
    fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(listen(fd, 1), 0);
    snprintf(text, sizeof text, "fd:%d", fd);
    assert_int_equal(try_connect(text, 0, NULL, &ch, &err), -EINVAL);
    assert_text(err, "a socket that listens");
    assert_int_equal(fcntl(fd, F_GETFD), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        channel_test(the_system_chooses_the_port),
        channel_test(an_empty_host_is_all_and_loopback),
        channel_test(a_name_with_several_addresses),
        channel_test(addresses_are_tried_in_turn),
        channel_test(a_reset_is_told),
        channel_test(accepted_names),
        channel_test(refused),
        channel_test(no_such_name),
        channel_test(port_in_use),
        channel_test(unix_files),
        channel_test(one_channel_addresses),
        channel_test(a_listening_descriptor),
    };

    return cmocka_run_group_tests_name("listen", tests, NULL, NULL);
}
