/* SPDX-License-Identifier: MIT
 *
 * Every allocation of this folder fails once: the call says -ENOMEM, and no memory, descriptor or process is left.
 * The program is linked with --wrap for the three allocating functions.
 */
#include <dirent.h>
#include <sys/wait.h>

#include "channel/fault.h"
#include "channel/narrow.h"
#include "channel/reader.h"
#include "channel/writer.h"
#include "helpers.h"

#define FAILING_COUNTDOWN
#include "../../failing.h"

/* Runs f, which cleans up after itself, with the 1st, 2nd, ... allocation failing until none does. */
static void every_allocation(const char *what, int (*f)(struct gw_error *err))
{
    unsigned fds = entries("/proc/self/fd"), failed = 0;

    for (unsigned n = 1; n < 100; n++) {
        struct gw_error err = GW_ERROR_INIT;
        bool hit;
        int r;

        countdown = n;
        r = f(&err);
        hit = countdown == 0;
        countdown = 0;
        assert_int_equal(entries("/proc/self/fd"), fds);
        assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
        if (!hit) {
            assert_ok(r, err);
            assert_true(failed > 0);
            return;
        }
        failed++;
        if (r != -ENOMEM)
            fail_msg("%s: allocation %u failed, but the result is %d (%s)", what, n, r, err.text);
        assert_int_equal(err.code, -ENOMEM);
        assert_int_equal(err.blame, GW_BLAME_LOCAL);
        assert_text(err, "out of memory");
    }
    fail_msg("%s: no end of allocations", what);
}

static int cancel(struct gw_error *err)
{
    struct gw_cancel *c;
    int r = gw_cancel_new(&c, err);

    if (r == 0)
        gw_cancel_free(c);
    return r;
}

static int memory_pair(struct gw_error *err)
{
    struct gw_channel *a, *b;
    int r = gw_channel_memory_pair(1000, &a, &b, err);

    if (r == 0) {
        gw_channel_free(a);
        gw_channel_free(b);
    }
    return r;
}

static int connection(const char *text, struct gw_error *err)
{
    struct gw_channel *a = NULL, *b = NULL;
    struct gw_listener *l = NULL;
    struct gw_uri uri;
    int r = gw_uri_parse(text, &uri, err);

    if (r == 0)
        r = gw_listen(&uri, 2, &l, err);
    if (r == 0)
        gw_listener_uri(l, &uri);
    if (r == 0)
        r = gw_connect(&uri, PATIENCE_NS, NULL, &a, err);
    if (r == 0)
        r = gw_listener_accept(l, PATIENCE_NS, NULL, &b, err);
    gw_channel_free(a);
    gw_channel_free(b);
    gw_listener_free(l);
    return r;
}

static int tcp(struct gw_error *err)
{
    return connection("tcp:127.0.0.1:0", err);
}

static int tcp_by_name(struct gw_error *err)
{
    return connection("tcp:localhost:0", err);
}

static int unix_socket(struct gw_error *err)
{
    char path[64], text[96];
    int r;

    temporary_path(path, "s");
    snprintf(text, sizeof text, "unix:%s", path);
    r = connection(text, err);
    remove_temporary(path);
    return r;
}

static int file(struct gw_error *err)
{
    struct gw_channel *a = NULL, *b = NULL;
    struct gw_listener *l = NULL;
    struct gw_uri uri = {.kind = GW_URI_FILE};
    int r;

    temporary_path(uri.path, "f");
    r = gw_connect(&uri, 0, NULL, &a, err);
    if (r == 0)
        r = gw_listen(&uri, 1, &l, err);
    if (r == 0)
        r = gw_listener_accept(l, 0, NULL, &b, err);
    gw_channel_free(a);
    gw_channel_free(b);
    gw_listener_free(l);
    remove_temporary(uri.path);
    return r;
}

static int descriptors(struct gw_error *err)
{
    struct gw_channel *a = NULL, *b = NULL, *c = NULL, *d = NULL;
    struct gw_listener *l = NULL;
    struct gw_uri uri = {.kind = GW_URI_FD};
    int pipes[2], sockets[2], r, s;

    assert_int_equal(pipe(pipes), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets), 0);
    /* All four are taken, whatever becomes of the others. */
    r = gw_channel_from_fd(pipes[0], "a", &a, err);
    s = gw_channel_from_fd(pipes[1], "b", &b, r < 0 ? NULL : err);
    r = r < 0 ? r : s;
    s = gw_channel_from_fd(sockets[0], "c", &c, r < 0 ? NULL : err);
    r = r < 0 ? r : s;
    uri.fd = sockets[1];
    s = gw_listen(&uri, 1, &l, r < 0 ? NULL : err);
    r = r < 0 ? r : s;
    if (s == 0)
        s = gw_listener_accept(l, 0, NULL, &d, err);
    gw_channel_free(a);
    gw_channel_free(b);
    gw_channel_free(c);
    gw_channel_free(d);
    gw_listener_free(l);
    return r;
}

static int command(struct gw_error *err)
{
    struct gw_uri uri = {.kind = GW_URI_EXEC, .path = "cat"};
    struct gw_channel *ch;
    int r = gw_connect(&uri, PATIENCE_NS, NULL, &ch, err);

    if (r == 0)
        gw_channel_free(ch);
    return r;
}

static int filters(struct gw_error *err)
{
    struct gw_fault faults[2] = {{.kind = GW_FAULT_END, .at_byte = 5}, {.kind = GW_FAULT_RESET, .at_byte = 9}};
    struct gw_narrow_config far = {.latency_ns = MS};
    struct gw_channel *a = NULL, *b = NULL;
    int r = gw_channel_memory_pair(1000, &a, &b, err);

    if (r == 0) {
        r = gw_fault_new(a, faults, 2, &a, err);
        if (r < 0)
            a = NULL; /* taken */
    }
    if (r == 0) {
        r = gw_narrow_new(b, &far, &b, err);
        if (r < 0)
            b = NULL;
    }
    gw_channel_free(a);
    gw_channel_free(b);
    return r;
}

static int streams(struct gw_error *err)
{
    struct gw_channel *a = NULL, *b = NULL;
    uint8_t bytes[100], last[3];
    struct iovec iov = {bytes, sizeof bytes}, back = {bytes + 97, 3};
    struct gw_writer w = {0};
    struct gw_reader rd = {0};
    ssize_t got;
    int r = gw_channel_memory_pair(1000, &a, &b, err);

    if (r == 0)
        r = gw_writer_init(&w, a, err);
    if (r == 0)
        r = gw_reader_init(&rd, b, err);
    if (r == 0) {
        gw_put_bytes(&w, bytes, sizeof bytes);
        r = gw_writer_flush(&w, err);
    }
    if (r == 0) {
        got = gw_reader_scatter(&rd, &iov, 1, err);
        assert_int_equal(got, 100);
        r = gw_reader_unread(&rd, &back, 1, 3, err);
        if (r < 0)
            assert_int_equal(gw_get_bytes(&rd, last, 3, NULL), -ENOMEM);
    }
    if (r == 0)
        r = gw_get_bytes(&rd, last, 3, err);
    gw_writer_close(&w);
    gw_reader_close(&rd);
    gw_channel_free(a);
    gw_channel_free(b);
    return r;
}

static int memory_writer(struct gw_error *err)
{
    struct gw_writer w;
    uint8_t bytes[3000] = {0};
    int r = gw_writer_init_memory(&w, err);

    for (int i = 0; i < 10 && r == 0; i++)
        gw_put_bytes(&w, bytes, sizeof bytes);
    r = gw_writer_flush(&w, err);
    gw_writer_close(&w);
    return r;
}

#define ALL(X)                                                                                                         \
    X(cancel)                                                                                                          \
    X(memory_pair)                                                                                                     \
    X(tcp)                                                                                                             \
    X(tcp_by_name)                                                                                                     \
    X(unix_socket)                                                                                                     \
    X(file)                                                                                                            \
    X(descriptors)                                                                                                     \
    X(command)                                                                                                         \
    X(filters)                                                                                                         \
    X(streams)                                                                                                         \
    X(memory_writer)

#define X(f)                                                                                                           \
    static void nomem_##f(void **state)                                                                                \
    {                                                                                                                  \
        every_allocation(#f, f);                                                                                       \
    }
ALL(X)
#undef X

int main(void)
{
#define X(f) cmocka_unit_test(nomem_##f),
    const struct CMUnitTest tests[] = {ALL(X)};

    return cmocka_run_group_tests_name("nomem", tests, NULL, NULL);
}
