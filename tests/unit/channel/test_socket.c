/* SPDX-License-Identifier: MIT
 *
 * What sockets are told, and connecting as it fails. Names: test_resolve.c; listening, and connecting that hangs:
 * test_listen.c.
 */
#include <netinet/in.h>
#include <netinet/tcp.h>

#include "channel/socket.h"
#include "helpers.h"

static int option(int fd, int level, int name)
{
    socklen_t size = sizeof(int);
    int v = -1;

    getsockopt(fd, level, name, &v, &size);
    return v;
}

static void kinds(void **state)
{
    assert_int_equal(gw_socket_kind(AF_INET), GW_STREAM_TCP);
    assert_int_equal(gw_socket_kind(AF_INET6), GW_STREAM_TCP);
    assert_int_equal(gw_socket_kind(AF_UNIX), GW_STREAM_UNIX);
    assert_int_equal(gw_socket_kind(AF_VSOCK), GW_STREAM_VSOCK);
    assert_int_equal(gw_socket_kind(AF_UNSPEC), GW_STREAM_FD);
    assert_int_equal(gw_socket_kind(-1), GW_STREAM_FD);
}

static void tuned(void **state)
{
    int tcp = socket(AF_INET, SOCK_STREAM, 0), sockets[2], pipes[2], before;

    gw_socket_tune(tcp);
    assert_true(option(tcp, IPPROTO_TCP, TCP_NODELAY) > 0);
    assert_true(option(tcp, SOL_SOCKET, SO_KEEPALIVE) > 0);
    /* Three minutes, whichever way it is noticed. */
    assert_int_equal(option(tcp, IPPROTO_TCP, TCP_KEEPIDLE) +
                         option(tcp, IPPROTO_TCP, TCP_KEEPINTVL) * option(tcp, IPPROTO_TCP, TCP_KEEPCNT),
                     180);
    assert_int_equal(option(tcp, IPPROTO_TCP, TCP_USER_TIMEOUT), 180 * 1000);
    close(tcp);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets), 0);
    before = option(sockets[0], SOL_SOCKET, SO_SNDBUF);
    gw_socket_tune(sockets[0]);
    assert_true(option(sockets[0], SOL_SOCKET, SO_SNDBUF) >= before);
    close(sockets[0]);
    close(sockets[1]);
    /* What is none does not matter. */
    assert_int_equal(pipe(pipes), 0);
    gw_socket_tune(pipes[0]);
    gw_socket_tune(-1);
    assert_int_equal(write(pipes[1], "x", 1), 1);
    close(pipes[0]);
    close(pipes[1]);
}

static int go(const char *text, struct gw_channel **ret, struct gw_error *err)
{
    struct gw_uri uri;

    assert_int_equal(gw_uri_parse(text, &uri, err), 0);
    return gw_socket_connect(&uri, PATIENCE_NS, NULL, ret, err);
}

static void nobody_there(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_channel *ch = NULL;
    struct gw_listener *l;
    struct gw_uri uri;
    char path[64], text[96], where[GW_URI_TEXT];

    temporary_path(path, "s");
    snprintf(text, sizeof text, "unix:%s", path);
    assert_int_equal(go(text, &ch, &err), -ENOENT);
    assert_int_equal(err.blame, GW_BLAME_CHANNEL);
    assert_text(err, "connecting to unix:/tmp/");
    assert_text(err, ": No such file or directory");
    /* A socket's file that nobody listens on any more. */
    assert_int_equal(gw_uri_parse(text, &uri, &err), 0);
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    strcpy(un.sun_path, path);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&un, sizeof un), 0);
    close(fd);
    assert_int_equal(go(text, &ch, &err), -ECONNREFUSED);
    remove_temporary(path);
    /* A port that was free a moment ago. */
    assert_int_equal(gw_uri_parse("tcp:127.0.0.1:0", &uri, &err), 0);
    assert_ok(gw_listen(&uri, 1, &l, &err), err);
    gw_listener_uri(l, &uri);
    gw_uri_format(&uri, where, sizeof where);
    gw_listener_free(l);
    assert_int_equal(go(where, &ch, &err), -ECONNREFUSED);
    assert_int_equal(err.blame, GW_BLAME_CHANNEL);
    assert_text(err, where);
    assert_text(err, "Connection refused");
    assert_null(ch);
}

static void too_long(void **state)
{
    struct gw_uri uri = {.kind = GW_URI_UNIX};
    struct gw_error err = GW_ERROR_INIT;
    struct gw_channel *ch = NULL;

    memset(uri.path, 'p', 200);
    assert_int_equal(gw_socket_connect(&uri, 0, NULL, &ch, &err), -ENAMETOOLONG);
    assert_int_equal(err.blame, GW_BLAME_CALLER);
    assert_text(err, "connecting to unix:pppp");
    assert_text(err, "a socket's path has at most 107 bytes");
    assert_null(ch);
}

static void connected(void **state)
{
    static const enum pair_kind kinds[] = {PAIR_TCP4, PAIR_UNIX};

    for (size_t i = 0; i < GW_ARRAY_LEN(kinds); i++) {
        struct pair *p = pair_open(kinds[i]);

        assert_non_null(p);
        assert_int_equal(p->a->features, GW_SOCKET_FEATURES);
        assert_string_equal(p->a->ops->kind, kinds[i] == PAIR_UNIX ? "unix" : "tcp");
        assert_true(p->a->timeout_ns == PATIENCE_NS);
        assert_int_equal(strncmp(p->a->name, kinds[i] == PAIR_UNIX ? "unix:/tmp/" : "tcp:127.0.0.1:", 10), 0);
        assert_true(option(((struct gw_stream *)p->a)->fd, SOL_SOCKET, SO_DOMAIN) ==
                    (kinds[i] == PAIR_UNIX ? AF_UNIX : AF_INET));
        if (kinds[i] == PAIR_TCP4)
            assert_true(option(((struct gw_stream *)p->a)->fd, IPPROTO_TCP, TCP_NODELAY) > 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        channel_test(kinds),    channel_test(tuned),     channel_test(nobody_there),
        channel_test(too_long), channel_test(connected),
    };

    return cmocka_run_group_tests_name("socket", tests, NULL, NULL);
}
