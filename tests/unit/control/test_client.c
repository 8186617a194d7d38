/* SPDX-License-Identifier: MIT
 *
 * A client of the control socket: what is queued for it comes out whole and in order, and one that does not read, or has gone,
 * is closed without loss to others. Messages: test_protocol.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include <fcntl.h>
#include <sys/socket.h>

#include "control/internal.h"

static struct gw_client cl;
static int there;

static int up(void **state)
{
    int fds[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
        return -1;
    gw_client_open(&cl, fds[0]);
    there = fds[1];
    return 0;
}

static int down(void **state)
{
    gw_client_close(&cl);
    close(there);
    return 0;
}

static bool is_open(int fd)
{
    return fcntl(fd, F_GETFD) >= 0;
}

static void test_lines(void **state)
{
    char got[64];

    gw_client_put(&cl, "first");
    gw_client_put(&cl, "");
    gw_client_put(&cl, "third");
    assert_int_equal(gw_client_unread(&cl), 7 + 2 + 7);
    gw_client_flush(&cl);
    assert_int_equal(gw_client_unread(&cl), 0);
    assert_int_equal(read(there, got, sizeof got), 16);
    assert_memory_equal(got, "first\r\n\r\nthird\r\n", 16);
}

/* More than the socket takes at once: the rest waits, and nothing is out of place. */
static void test_slow(void **state)
{
    static char line[5000];
    uint64_t put = 0, seen = 0;
    unsigned lines = 0;
    char got[3000];

    while (gw_client_unread(&cl) < 300000) {
        memset(line, 'a' + (int)(lines++ % 26), sizeof line - 1);
        gw_client_put(&cl, line);
        put += sizeof line - 1 + 2;
        gw_client_flush(&cl);
        assert_true(cl.fd >= 0);
    }
    while (seen < put) {
        ssize_t n = read(there, got, sizeof got);

        assert_true(n > 0);
        for (ssize_t i = 0; i < n; i++, seen++) {
            uint64_t at = seen % 5001, of = seen / 5001;

            assert_int_equal(got[i], at < 4999 ? 'a' + (char)(of % 26) : at == 4999 ? '\r' : '\n');
        }
        gw_client_flush(&cl);
    }
    assert_int_equal(gw_client_unread(&cl), 0);
}

/* One that never reads is closed when too much waits for it; later words to it go nowhere. */
static void test_never_reads(void **state)
{
    char *line = malloc(GW_CONTROL_BACKLOG + 1);
    int fd = cl.fd;

    memset(line, 'x', GW_CONTROL_BACKLOG);
    line[GW_CONTROL_BACKLOG] = 0;
    gw_client_put(&cl, line); /* as much as there may be */
    assert_int_equal(cl.fd, fd);
    gw_client_put(&cl, "x");
    assert_int_equal(cl.fd, -1);
    assert_false(is_open(fd));
    assert_int_equal(gw_client_unread(&cl), 0);
    gw_client_put(&cl, "y");
    gw_client_flush(&cl);
    assert_null(cl.out);
    free(line);
}

/* An answer that could not be made, and a client that has gone. */
static void test_closed(void **state)
{
    int fd = cl.fd;

    gw_client_put(&cl, NULL);
    assert_int_equal(cl.fd, -1);
    assert_false(is_open(fd));
    down(NULL);
    assert_int_equal(up(NULL), 0);
    close(there);
    gw_client_put(&cl, "word");
    gw_client_flush(&cl); /* no signal */
    assert_int_equal(cl.fd, -1);
    there = -1;
    gw_client_close(&cl);
}

/* What was said before it is to be closed comes out, as far as it goes at once. */
static void test_closing(void **state)
{
    char got[64];

    gw_client_put(&cl, "last");
    cl.closing = true;
    gw_client_flush(&cl);
    assert_int_equal(cl.fd, -1);
    assert_int_equal(read(there, got, sizeof got), 6);
    assert_memory_equal(got, "last\r\n", 6);
    assert_int_equal(read(there, got, sizeof got), 0);
}

#define client_test(f) cmocka_unit_test_setup_teardown(f, up, down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        client_test(test_lines),  client_test(test_slow),    client_test(test_never_reads),
        client_test(test_closed), client_test(test_closing),
    };

    return cmocka_run_group_tests_name("client", tests, NULL, NULL);
}
