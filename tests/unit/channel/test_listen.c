/* SPDX-License-Identifier: MIT
 *
 * Listening, accepting, connecting: addresses, time-outs, cancelling, left-overs.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "channel/stream.h"
#include "helpers.h"
#include "../../emulated.h"

static int try_listen(const char *text, struct gw_listener **ret, struct gw_error *err)
{
    struct gw_uri uri;
    int r = gw_uri_parse(text, &uri, err);

    return r < 0 ? r : gw_listen(&uri, 4, ret, err);
}

static struct gw_listener *listen_on(const char *text)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_listener *l;

    assert_ok(try_listen(text, &l, &err), err);
    return l;
}

static int try_connect(const char *text, uint64_t timeout_ns, struct gw_cancel *cancel, struct gw_channel **ret,
                       struct gw_error *err)
{
    struct gw_uri uri;
    int r = gw_uri_parse(text, &uri, err);

    return r < 0 ? r : gw_connect(&uri, timeout_ns, cancel, ret, err);
}

static unsigned port_of(struct gw_listener *l)
{
    struct gw_uri uri;

    gw_listener_uri(l, &uri);
    return (unsigned)atoi(uri.service);
}

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

static void accept_times_out(void **state)
{
    struct gw_listener *l = listen_on("tcp:localhost:0");
    struct gw_error err = GW_ERROR_INIT;
    struct gw_channel *ch;
    uint64_t at = gw_now_ns(&gw_clock_real);

    assert_int_equal(gw_listener_accept(l, 40 * MS, NULL, &ch, &err), -ETIMEDOUT);
    assert_true(gw_now_ns(&gw_clock_real) - at >= 40 * MS);
    assert_text(err, "nobody connected for 40 ms");
    gw_listener_free(l);
}

/* Static, for it must be there for as long as the thread; the teardown waits for that. */
static struct canceller {
    struct gw_cancel *cancel;
    pid_t waits;
    bool started;
    pthread_t thread;
} canceller;

/* Once the thread of the test waits. It has no time-out: a cancel that does not wake it never ends the test. */
static void *cancel_later(void *opaque)
{
    for (int asleep = 0; asleep < 20; pass_ns(MS))
        asleep = thread_state(canceller.waits) == 'S' ? asleep + 1 : 0;
    gw_cancel_trigger(canceller.cancel);
    return NULL;
}

static struct gw_cancel *canceller_start(void)
{
    struct gw_error err = GW_ERROR_INIT;

    assert_ok(gw_cancel_new(&canceller.cancel, &err), err);
    canceller.waits = gettid();
    assert_int_equal(pthread_create(&canceller.thread, NULL, cancel_later, NULL), 0);
    canceller.started = true;
    return canceller.cancel;
}

static void canceller_end(void)
{
    if (canceller.started)
        pthread_join(canceller.thread, NULL);
    canceller.started = false;
    canceller.cancel = gw_cancel_free(canceller.cancel);
}

static int listen_clean_up(void **state)
{
    canceller_end();
    return clean_up(state);
}

static void accept_is_cancelled(void **state)
{
    struct gw_listener *l = listen_on("tcp::0");
    struct gw_error err = GW_ERROR_INIT;
    struct gw_channel *ch;
    struct gw_cancel *c = canceller_start();

    assert_int_equal(gw_listener_accept(l, 0, c, &ch, &err), -ECANCELED);
    assert_text(err, "cancelled");
    /* For good. */
    assert_int_equal(gw_listener_accept(l, 0, c, &ch, &err), -ECANCELED);
    assert_int_equal(try_connect("tcp::1", 0, c, &ch, &err), -ECANCELED);
    assert_int_equal(try_connect("exec:sleep 9", 0, c, &ch, &err), -ECANCELED);
    canceller_end();
    gw_listener_free(l);
}

/* Fills the backlog of a listener until connecting no longer goes through: afterwards it hangs. */
struct full {
    int fds[200];
    int count;
};

/* Whether the kernel has sent its first packet once more: nobody answers. A connection that is taken in is done before.
 */
static bool unanswered(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLOUT};

    while (poll(&p, 1, 20) == 0) {
        struct tcp_info info = {0};
        socklen_t size = sizeof info;

        assert_int_equal(getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size), 0);
        if (info.tcpi_retransmits || info.tcpi_total_retrans)
            return true;
    }
    return false;
}

static void fill_backlog(struct full *f, const struct sockaddr *to, socklen_t bytes)
{
    for (f->count = 0; f->count < (int)GW_ARRAY_LEN(f->fds); f->count++) {
        int fd = socket(to->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

        assert_true(fd >= 0);
        f->fds[f->count] = fd;
        if (!connect(fd, to, bytes))
            continue;
        if (errno == EAGAIN || (errno == EINPROGRESS && unanswered(fd))) {
            f->count++;
            return;
        }
    }
    fail_msg("the backlog has no end");
}

static void drop_full(struct full *f)
{
    while (f->count)
        close(f->fds[--f->count]);
}

static void connecting_hangs(const char *text)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_channel *ch;
    uint64_t at = gw_now_ns(&gw_clock_real);

    assert_int_equal(try_connect(text, 80 * MS, NULL, &ch, &err), -ETIMEDOUT);
    assert_true(gw_now_ns(&gw_clock_real) - at >= 80 * MS);
    assert_text(err, "no answer for 80 ms");
    assert_text(err, text);
    assert_int_equal(try_connect(text, 0, canceller_start(), &ch, &err), -ECANCELED);
    canceller_end();
}

static void connecting_to_a_full_tcp_backlog(void **state)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct gw_error err = GW_ERROR_INIT;
    struct gw_listener *l;
    struct gw_uri uri;
    struct full f;
    char text[64];

    assert_ok(gw_uri_parse("tcp:127.0.0.1:0", &uri, &err), err);
    assert_ok(gw_listen(&uri, 1, &l, &err), err);
    to.sin_port = htons((uint16_t)port_of(l));
    fill_backlog(&f, (struct sockaddr *)&to, sizeof to);
    snprintf(text, sizeof text, "tcp:127.0.0.1:%u", port_of(l));
    connecting_hangs(text);
    drop_full(&f);
    gw_listener_free(l);
}

static void connecting_to_a_full_unix_backlog(void **state)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    struct gw_error err = GW_ERROR_INIT;
    struct gw_channel *a, *b;
    struct gw_listener *l;
    struct gw_uri uri;
    struct full f;
    char path[64], text[96];

    temporary_path(path, "s");
    snprintf(text, sizeof text, "unix:%s", path);
    strcpy(to.sun_path, path);
    assert_ok(gw_uri_parse(text, &uri, &err), err);
    assert_ok(gw_listen(&uri, 1, &l, &err), err);
    fill_backlog(&f, (struct sockaddr *)&to, sizeof to);
    connecting_hangs(text);
    /* Once somebody is taken in, there is room again. */
    drop_full(&f);
    for (int i = 0; i < 3; i++)
        if (gw_listener_accept(l, 1, NULL, &b, NULL) == 0)
            gw_channel_free(b);
    assert_ok(try_connect(text, PATIENCE_NS, NULL, &a, &err), err);
    gw_channel_free(a);
    gw_listener_free(l);
    remove_temporary(path);
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

#define listen_test(f) cmocka_unit_test_teardown(f, listen_clean_up)

int main(void)
{
    const struct CMUnitTest tests[] = {
        listen_test(the_system_chooses_the_port),
        listen_test(an_empty_host_is_all_and_loopback),
        listen_test(a_name_with_several_addresses),
        listen_test(addresses_are_tried_in_turn),
        listen_test(a_reset_is_told),
        listen_test(accepted_names),
        listen_test(refused),
        listen_test(no_such_name),
        listen_test(port_in_use),
        listen_test(accept_times_out),
        listen_test(accept_is_cancelled),
        listen_test(connecting_to_a_full_tcp_backlog),
        listen_test(connecting_to_a_full_unix_backlog),
        listen_test(unix_files),
        listen_test(one_channel_addresses),
        listen_test(a_listening_descriptor),
    };

    return cmocka_run_group_tests_name("listen", tests, NULL, NULL);
}
