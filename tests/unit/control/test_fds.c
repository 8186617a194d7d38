/* SPDX-License-Identifier: MIT
 *
 * Descriptors that clients pass: which message one belongs to, whose it is then, and that none is left behind.
 */
#include "rig.h"
#include "../../emulated.h"

#include <dirent.h>
#include <fcntl.h>

#define GETFD(name)   "{\"execute\":\"getfd\",\"arguments\":{\"fdname\":\"" name "\"}}"
#define CLOSEFD(name) "{\"execute\":\"closefd\",\"arguments\":{\"fdname\":\"" name "\"}}"
#define MIGRATE(uri)  "{\"execute\":\"migrate\",\"arguments\":{\"uri\":\"" uri "\"}}"
#define INCOMING(uri) "{\"execute\":\"migrate-incoming\",\"arguments\":{\"uri\":\"" uri "\"}}"

static void send_fds(struct client *cl, const char *text, const int *fds, size_t count)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(64 * sizeof(int))];
    } extra = {0};
    struct iovec iov = {(void *)text, strlen(text)};
    struct msghdr m = {.msg_iov = &iov,
                       .msg_iovlen = 1,
                       .msg_control = extra.bytes,
                       .msg_controllen = CMSG_SPACE(count * sizeof(int))};
    struct cmsghdr *h = CMSG_FIRSTHDR(&m);

    h->cmsg_level = SOL_SOCKET;
    h->cmsg_type = SCM_RIGHTS;
    h->cmsg_len = CMSG_LEN(count * sizeof(int));
    memcpy(CMSG_DATA(h), fds, count * sizeof(int));
    fake_now();
    assert_int_equal(sendmsg(cl->fd, &m, MSG_NOSIGNAL), (ssize_t)strlen(text));
}

/* A pipe whose writing end goes along; the reading end is returned, and closed() asks whether the other one is gone. */
static int send_pipe(struct client *cl, const char *text)
{
    int p[2];

    assert_int_equal(pipe2(p, O_CLOEXEC | O_NONBLOCK), 0);
    send_fds(cl, text, &p[1], 1);
    close(p[1]);
    return p[0];
}

static bool closed(int fd)
{
    char c;

    return read(fd, &c, 1) == 0;
}

static void wait_closed(int fd)
{
    while (!closed(fd))
        nanosleep(&(struct timespec){0, 1000000}, NULL);
    close(fd);
}

static unsigned open_fds(void)
{
    DIR *d = opendir("/proc/self/fd");
    unsigned n = 0;

    while (readdir(d))
        n++;
    closedir(d);
    return n;
}

static void test_names(void **state)
{
    struct client *cl = ready(*state);
    int a, b;

    ask(cl, GETFD("a"), E("no file descriptor came with the command (SCM_RIGHTS)"));
    ask(cl, CLOSEFD("a"), E("there is no file descriptor named 'a'"));
    a = send_pipe(cl, GETFD("a"));
    check_next(cl, "getfd", OK);
    assert_false(closed(a));
    /* A second one of that name takes its place. */
    b = send_pipe(cl, GETFD("a"));
    check_next(cl, "getfd", OK);
    wait_closed(a);
    assert_false(closed(b));
    ask(cl, CLOSEFD("a"), OK);
    wait_closed(b);
    ask(cl, CLOSEFD("a"), E("there is no file descriptor named 'a'"));
    a = send_pipe(cl, GETFD("1a"));
    check_next(cl, "getfd", E("argument 'fdname' must not begin with a digit"));
    wait_closed(a);
    a = send_pipe(cl, GETFD(""));
    check_next(cl, "getfd", E("argument 'fdname' must not begin with a digit, of 1 to 255 bytes"));
    wait_closed(a);
    bye(cl);
}

/* A descriptor goes with the message that it came with, however that is cut; what no getfd takes is closed. */
static void test_which_message(void **state)
{
    struct client *cl = ready(*state);
    int a, b;

    a = send_pipe(cl, "{\"execute\":\"query-yank\"}");
    check_next(cl, "query-yank", "{\"return\":[]}");
    wait_closed(a);
    ask(cl, GETFD("a"), E("no file descriptor came with the command (SCM_RIGHTS)"));
    a = send_pipe(cl, "{\"execute\":\"getfd\",\"argu");
    nanosleep(&(struct timespec){0, 50000000}, NULL);
    ask(cl, "ments\":{\"fdname\":\"a\"}}", OK);
    b = send_pipe(cl, "{\"execute\":\"query-yank\"}" GETFD("b"));
    check_next(cl, "query-yank", "{\"return\":[]}");
    check_next(cl, "getfd", OK);
    assert_false(closed(a) || closed(b));
    ask(cl, CLOSEFD("b"), OK);
    wait_closed(b);
    assert_false(closed(a));
    bye(cl);
    /* The name outlives the client. */
    cl = ready(*state);
    assert_false(closed(a));
    ask(cl, CLOSEFD("a"), OK);
    wait_closed(a);
    /* One that goes with half a message takes its descriptors along. */
    a = send_pipe(cl, "{\"execute\":");
    bye(cl);
    wait_closed(a);
}

static void test_bounds(void **state)
{
    struct rig *rig = *state;
    struct client *cl = ready(rig);
    char text[128];
    int fds[64], last, kept[GW_CONTROL_FDS];
    unsigned before = open_fds();

    SKIP_EMULATED("the emulator keeps descriptors that do not fit into a message");
    /* More than a message may have: the server is not full of them afterwards. */
    for (size_t i = 0; i < GW_ARRAY_LEN(fds); i++)
        fds[i] = STDERR_FILENO;
    for (int i = 0; i < 50; i++) {
        send_fds(cl, "{\"execute\":\"query-yank\"}", fds, GW_ARRAY_LEN(fds));
        check_next(cl, "query-yank", "{\"return\":[]}");
    }
    send_fds(cl, GETFD("x") GETFD("y"), fds, 2);
    check_next(cl, "getfd", OK);
    check_next(cl, "getfd", OK);
    ask(cl, CLOSEFD("x"), OK);
    ask(cl, CLOSEFD("y"), OK);
    assert_true(open_fds() <= before + 2);
    for (int i = 0; i < GW_CONTROL_FDS; i++) {
        snprintf(text, sizeof text, "{\"execute\":\"getfd\",\"arguments\":{\"fdname\":\"n%d\"}}", i);
        kept[i] = send_pipe(cl, text);
        check_next(cl, "getfd", OK);
    }
    last = send_pipe(cl, GETFD("last"));
    check_next(cl, "getfd", E("16 file descriptors have names already"));
    wait_closed(last);
    last = send_pipe(cl, GETFD("n3"));
    check_next(cl, "getfd", OK);
    wait_closed(kept[3]);
    kept[3] = last;
    /* The end of the server is theirs. */
    rig->c = gw_control_free(rig->c);
    for (int i = 0; i < GW_CONTROL_FDS; i++)
        wait_closed(kept[i]);
    bye(cl);
}

static void test_migrate(void **state)
{
    struct rig *rig = *state;
    struct client *cl = ready(rig);
    int a, b;

    /* Its own descriptors are not the clients' to name. */
    ask(cl, MIGRATE("fd:2"),
        E("there is no file descriptor named '2': over QMP it has the name that getfd gave it"));
    ask(cl, MIGRATE("fd:"),
        E("there is no file descriptor named '': over QMP it has the name that getfd gave it"));
    assert_int_equal(fake_now()->started, 0);
    a = send_pipe(cl, GETFD("out"));
    check_next(cl, "getfd", OK);
    /* Refused before it came to that: the descriptor is still there. */
    ask(cl, "{\"execute\":\"migrate\",\"arguments\":{\"uri\":\"fd:out\",\"resume\":true}}",
        E("there is no migration that was interrupted and could be resumed"));
    ask(cl, MIGRATE("fd:out"), OK);
    assert_string_equal(fake_now()->session->uri, "fd:out");
    assert_non_null(fake_now()->session->channel);
    assert_int_equal(gw_channel_write_full(fake_now()->session->channel, "!", 1, NULL), 0);
    assert_int_equal(read(a, &(char){0}, 1), 1);
    ask(cl, CLOSEFD("out"), E("there is no file descriptor named 'out'"));
    fake_status(fake_now()->session, GW_STATUS_FAILED);
    ask(cl, MIGRATE("tcp:127.0.0.1:1"), OK);
    wait_closed(a);
    /* The other way to write it. */
    fake_status(fake_now()->session, GW_STATUS_FAILED);
    a = send_pipe(cl, GETFD("o"));
    check_next(cl, "getfd", OK);
    ask(cl,
        "{\"execute\":\"migrate\",\"arguments\":{\"channels\":[{\"channel-type\":\"main\",\"addr\":{\"transport\":"
        "\"socket\",\"type\":\"fd\",\"str\":\"o\"}}]}}",
        OK);
    assert_string_equal(fake_now()->session->uri, "fd:o");
    fake_status(fake_now()->session, GW_STATUS_FAILED);
    /* A start that fails has used it up, and closed it. */
    fake_now()->start_fails = -ENOSYS;
    b = send_pipe(cl, GETFD("p"));
    check_next(cl, "getfd", OK);
    ask(cl, MIGRATE("fd:p"), E("no luck"));
    wait_closed(a);
    wait_closed(b);
    bye(cl);
}

static void test_incoming(void **state)
{
    struct rig *rig = *state;
    struct client *cl = ready(rig);
    int s[2];

    ask(cl, INCOMING("fd:0"),
        E("there is no file descriptor named '0': over QMP it has the name that getfd gave it"));
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, s), 0);
    send_fds(cl, GETFD("in"), s, 1);
    close(s[0]);
    check_next(cl, "getfd", OK);
    ask(cl, INCOMING("fd:in"), OK);
    assert_string_equal(fake_now()->session->uri, "fd:in");
    assert_non_null(fake_now()->session->channel);
    fake_status(fake_now()->session, GW_STATUS_CANCELLED);
    /* On the embedder's word a number is a descriptor of this process. */
    assert_int_equal(gw_control_incoming(rig->c, "fd:0", NULL), 0);
    assert_string_equal(fake_now()->session->uri, "fd:0");
    assert_null(fake_now()->session->channel);
    wait_closed(s[1]);
    bye(cl);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, rig_up, rig_down)
    const struct CMUnitTest tests[] = {
        T(test_names),
        T(test_which_message),
        T(test_bounds),
        T(test_migrate),
        cmocka_unit_test_setup_teardown(test_incoming, rig_up_waiting, rig_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
