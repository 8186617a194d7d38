/* SPDX-License-Identifier: MIT
 *
 * What is waited for while listening and connecting: nobody comes, nobody answers, and a cancel ends it.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/un.h>

#include "listening.h"

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

#define listen_test(f) cmocka_unit_test_teardown(f, listen_clean_up)

int main(void)
{
    const struct CMUnitTest tests[] = {
        listen_test(accept_times_out),
        listen_test(accept_is_cancelled),
        listen_test(connecting_to_a_full_tcp_backlog),
        listen_test(connecting_to_a_full_unix_backlog),
    };

    return cmocka_run_group_tests_name("listen_waits", tests, NULL, NULL);
}
