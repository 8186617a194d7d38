/* SPDX-License-Identifier: MIT
 *
 * Each allocation of the control, of jansson and of the session it starts fails in turn; then all from each on. A
 * client gets an answer or an end, the server lives and serves the next one.
 */
#include "rig.h"

#include <fcntl.h>
#include <poll.h>

#include "../../failing.h"

char *__real_strdup(const char *s);
char *__wrap_strdup(const char *s);

static atomic_bool armed, lasting;
static _Atomic long countdown, failed;

static bool fails(void)
{
    long k;

    if (!atomic_load(&armed))
        return false;
    k = atomic_fetch_sub(&countdown, 1);
    if (k > 0 || (k < 0 && !atomic_load(&lasting)))
        return false;
    atomic_fetch_add(&failed, 1);
    return true;
}

char *__wrap_strdup(const char *s)
{
    return fails() ? NULL : __real_strdup(s);
}

static const char script[] =
    "{\"execute\":\"qmp_capabilities\",\"arguments\":{\"enable\":[\"oob\"]}}"
    "{\"execute\":\"getfd\",\"arguments\":{\"fdname\":\"x\"}}{\"execute\":\"closefd\",\"arguments\":{\"fdname\":\"x\"}}"
    "{\"execute\":\"query-version\",\"id\":[1,{\"a\":\"b\"}]}{\"execute\":\"query-name\"}"
    "{\"execute\":\"query-status\"}{\"execute\":\"stop\"}{\"execute\":\"cont\"}{\"execute\":\"nonsense\"}{]"
    "{\"execute\":\"query-commands\"}{\"execute\":\"x-echo\",\"arguments\":{\"a\":1}}"
    "{\"execute\":\"migrate-set-capabilities\",\"arguments\":{\"capabilities\":[{\"capability\":\"events\",\"state\":"
    "true}]}}"
    "{\"execute\":\"migrate-set-parameters\",\"arguments\":{\"downtime-limit\":77,\"tls-creds\":\"\"}}"
    "{\"execute\":\"query-migrate-capabilities\"}{\"execute\":\"query-migrate-parameters\"}"
    "{\"execute\":\"migrate\",\"arguments\":{\"channels\":[{\"channel-type\":\"main\",\"addr\":{\"transport\":\"exec\","
    "\"args\":[\"cat\",\"x\"]}}]}}"
    "{\"execute\":\"query-migrate\"}{\"execute\":\"x-godwit-query-history\"}{\"execute\":\"query-yank\"}{\"exec-oob\":\"yank\",\"arguments\":{\"instances\":["
    "{\"type\":\"migration\"}]}}{\"execute\":\"migrate_cancel\"}";

static int echo(void *opaque, const char *arguments_json, char **ret_json, struct gw_error *err)
{
    *ret_json = strdup(arguments_json);
    return *ret_json ? 0 : gw_fail(err, -ENOMEM, GW_BLAME_EMBEDDER, "out of memory");
}

/* The script, with a descriptor for its getfd. */
static void say_with_fd(int to)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int))];
    } extra = {0};
    struct iovec iov = {(void *)script, sizeof script - 1};
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = extra.bytes, .msg_controllen = sizeof extra};
    struct cmsghdr *h = CMSG_FIRSTHDR(&m);

    h->cmsg_level = SOL_SOCKET;
    h->cmsg_type = SCM_RIGHTS;
    h->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(h), &(int){STDERR_FILENO}, sizeof(int));
    (void)!sendmsg(to, &m, MSG_NOSIGNAL);
}

static unsigned open_fds(void)
{
    unsigned n = 0;

    for (int fd = 0; fd < 256; fd++)
        n += fcntl(fd, F_GETFD) >= 0;
    return n;
}

/* Says the script and takes what comes, without memory of its own. Returns how many bytes came. */
static size_t converse(struct rig *rig)
{
    int fd = connect_to(rig->path);
    struct pollfd p = {.fd = fd, .events = POLLIN};
    char buf[4096];
    size_t bytes = 0;
    ssize_t n;

    say_with_fd(fd);
    shutdown(fd, SHUT_WR);
    do {
        if (poll(&p, 1, WAIT_MS) != 1)
            fail_msg("neither an answer nor an end in %d ms", WAIT_MS);
        n = recv(fd, buf, sizeof buf, 0);
        bytes += n > 0 ? (size_t)n : 0;
    } while (n > 0);
    close(fd);
    return bytes;
}

static void end_session(void)
{
    if (fake_now()->session)
        fake_status(fake_now()->session, GW_STATUS_FAILED);
}

static void each(struct rig *rig, bool all_from_there)
{
    size_t whole;
    unsigned before;
    long n = 0;

    assert_int_equal(gw_control_add_command(rig->c, "x-echo", echo, NULL, NULL), 0);
    whole = converse(rig);
    assert_true(whole > 3000);
    end_session();
    before = open_fds();
    do {
        struct client *cl;

        end_session();
        atomic_store(&failed, 0);
        atomic_store(&lasting, all_from_there);
        atomic_store(&countdown, n);
        atomic_store(&armed, true);
        converse(rig);
        atomic_store(&armed, false);
        cl = ready(rig);
        ask(cl, "{\"execute\":\"query-name\"}", "{\"return\":{\"name\":\"anna\"}}");
        bye(cl);
        n += all_from_there ? 7 : 1;
    } while (atomic_load(&failed));
    assert_true(n > 500 / (all_from_there ? 7 : 1));
    end_session();
    assert_true(open_fds() <= before + 1); /* the last client, of whose end the server need not know yet */
}

static void test_one_fails(void **state)
{
    each(*state, false);
}

static void test_all_fail_from_one_on(void **state)
{
    each(*state, true);
}

static void test_start(void **state)
{
    struct rig *rig = *state;
    struct gw_control_config config = {.uri = "tcp:127.0.0.1:0", .name = "berta"};
    int r;

    for (long n = 0;; n++) {
        struct gw_error err = GW_ERROR_INIT;
        struct gw_control *c = NULL;

        atomic_store(&lasting, false);
        atomic_store(&countdown, n);
        atomic_store(&armed, true);
        r = gw_control_start(&rig->vm, &config, &c, &err);
        atomic_store(&armed, false);
        if (r == 0) {
            gw_control_free(c);
            break;
        }
        assert_null(c);
        assert_int_equal(err.code, r);
        assert_true(err.text[0] != 0);
        assert_true(n < 100);
    }
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, rig_up, rig_down)
    const struct CMUnitTest tests[] = {T(test_one_fails), T(test_all_fail_from_one_on), T(test_start)};

    json_set_alloc_funcs(__wrap_malloc, free);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
