/* SPDX-License-Identifier: MIT
 *
 * The last moments on real transports: which side runs the machine if a command outlives the stream, is killed, or
 * fails, and if the last bytes and the last message cross.
 */
#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "../owned.h"
#include "sim.h"

#define MS 1000000ull

static void must(int r, const struct gw_error *err)
{
    if (r < 0)
        print_error("%d %s: %s\n", r, gw_blame_name(err->blame), err->text);
    assert_true(r >= 0);
}

static void pause_ms(unsigned ms)
{
    nanosleep(&(struct timespec){ms / 1000, (long)(ms % 1000) * 1000000}, NULL);
}

/* Sends a running machine to a command, as to a peer without return path. */
static enum gw_owner send_to(const char *command, uint64_t timeout_ms, int *ret_running, int *ret_code)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_send_config config = {.uri = command, .peer = "10.0", .progress_timeout_ns = timeout_ms * MS};
    struct sim *s = sim_new(11, 4, NULL);
    struct gw_send *send;
    enum gw_owner owner;

    atomic_store(&s->words_per_ms, 5);
    assert_int_equal(sim_start(s), 0);
    must(gw_send_start(s->vm, &config, &send, &err), &err);
    owned_send(send);
    *ret_code = gw_send_wait(send, &err);
    owner = gw_send_owner(send);
    owned_end(send);
    *ret_running = sim_runs(s);
    sim_stop(s);
    owned_end(s);
    return owner;
}

/* A peer that has the whole stream may run the machine: only its own answer makes it certain that it does not. */
static void test_command_ends(void **state)
{
    static const struct {
        const char *command;
        uint64_t timeout_ms;
        enum gw_owner owner;
        int running, code;
    } cases[] = {
        {"exec:cat >/dev/null", 3600000, GW_OWNER_DESTINATION, 0, 0},
        {"exec:cat >/dev/null; exit 3", 3600000, GW_OWNER_SOURCE, 1, -EIO},
        {"exec:cat >/dev/null; kill -9 $$", 3600000, GW_OWNER_UNDECIDED, 0, -ECONNRESET},
        {"exec:cat >/dev/null; sleep 1000", 1500, GW_OWNER_UNDECIDED, 0, -ETIMEDOUT},
        {"exec:exit 3", 3600000, GW_OWNER_SOURCE, 1, 1},
    };

    for (unsigned i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint64_t timeout_ms = cases[i].timeout_ms;
        int running = -1, code = 0;
        enum gw_owner owner = send_to(cases[i].command, timeout_ms, &running, &code);

        /* On a slow host the time-out may come before the whole stream has been sent: then it is given more time. */
        while (code == -ETIMEDOUT && owner == GW_OWNER_SOURCE && (timeout_ms *= 4) < 3600000) {
            print_message("%s: the stream did not get there in time, once more with %llu ms\n", cases[i].command,
                          (unsigned long long)timeout_ms);
            owner = send_to(cases[i].command, timeout_ms, &running, &code);
        }
        print_message("%s: owner %d, %d\n", cases[i].command, (int)owner, code);
        assert_int_equal(owner, cases[i].owner);
        assert_int_equal(running, cases[i].running);
        if (cases[i].code == 1) /* a broken pipe or the status, whichever is seen first */
            assert_true(code < 0);
        else
            assert_int_equal(code, cases[i].code);
    }
}

/* ---- a plain source, written by hand ----------------------------------------------------------------------------------- */

struct stream {
    uint8_t *data;
    size_t bytes, eof; /* eof: behind the byte that ends the state; a description follows */
};

/* What a source of peer 10.0 writes, with a return path opened at its beginning. */
static struct stream record(void)
{
    struct gw_error err = GW_ERROR_INIT;
    char path[] = "/tmp/godwit-endings-XXXXXX", uri[64];
    struct stream t = {0};
    struct sim *s = sim_new(3, 2, NULL);
    struct gw_send *send;
    FILE *f;
    size_t head = 8 + 1 + 4 + strlen("sim-1"), n;

    close(mkstemp(path));
    snprintf(uri, sizeof uri, "file:%s", path);
    atomic_store(&s->words_per_ms, 20);
    assert_int_equal(sim_start(s), 0);
    must(gw_send_start(s->vm, &(struct gw_send_config){.uri = uri, .peer = "10.0", .progress_timeout_ns = UINT64_MAX},
                       &send, &err),
         &err);
    owned_send(send);
    must(gw_send_wait(send, &err), &err);
    owned_end(send);
    owned_end(s);
    t.data = owned_memory(16u << 20);
    f = fopen(path, "rb");
    assert_true(t.data && f);
    n = fread(t.data, 1, 16u << 20, f);
    fclose(f);
    unlink(path);
    assert_true(n > head + 100);
    memmove(t.data + head + 5, t.data + head, n - head);
    memcpy(t.data + head, (const uint8_t[]){8, 0, 1, 0, 0}, 5);
    t.bytes = n + 5;
    for (size_t i = t.bytes - 6; i > head && !t.eof; i--) {
        const uint8_t *p = t.data + i;

        if (p[0] == 0 && p[1] == 6 &&
            ((uint32_t)p[2] << 24 | (uint32_t)p[3] << 16 | (uint32_t)p[4] << 8 | p[5]) == t.bytes - i - 6)
            t.eof = i + 1;
    }
    assert_true(t.eof > head);
    return t;
}

static void pair_tcp(int fd[2])
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t n = sizeof a;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_int_equal(bind(listener, (struct sockaddr *)&a, sizeof a), 0);
    assert_int_equal(listen(listener, 1), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&a, &n), 0);
    fd[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd[0], (struct sockaddr *)&a, sizeof a), 0);
    fd[1] = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    assert_true(fd[1] >= 0);
    close(listener);
}

static void write_all(int fd, const uint8_t *p, size_t n)
{
    for (ssize_t done; n; p += done, n -= (size_t)done) {
        done = send(fd, p, n, MSG_NOSIGNAL);
        assert_true(done > 0);
    }
}

struct arrival {
    struct sim *to;
    struct gw_recv *recv;
    int peer; /* the source's end */
};

static void close_peer(void *what)
{
    close(((struct arrival *)what)->peer);
    free(what);
}

static struct arrival *arrival_new(void)
{
    struct arrival *a = calloc(1, sizeof *a);

    assert_non_null(a);
    a->peer = -1;
    owned(a, close_peer);
    a->to = sim_new(0, 2, NULL);
    return a;
}

static struct arrival *wait_here(bool tcp)
{
    struct arrival *a = arrival_new();
    struct gw_error err = GW_ERROR_INIT;
    char uri[32];
    int fd[2];

    if (tcp)
        pair_tcp(fd);
    else
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd), 0);
    a->peer = fd[0];
    snprintf(uri, sizeof uri, "fd:%d", fd[1]);
    must(gw_recv_start(a->to->vm, &(struct gw_recv_config){.uri = uri, .vmdesc_wait_ns = 100 * MS}, &a->recv, &err),
         &err);
    owned_recv(a->recv);
    return a;
}

static void leave(struct arrival *a)
{
    sim_stop(a->to);
    owned_end(a->recv);
    owned_end(a->to);
    owned_end(a);
}

/* The link stalls between the end of the state and its description. The machine starts meanwhile, and the source must
 * learn that, even if the rest comes late: after a reset it would run its machine too. */
static void test_last_word_arrives(void **state)
{
    static const uint8_t shut[] = {0, 1, 0, 4, 0, 0, 0, 0};
    struct stream t = record();

    for (unsigned i = 0; i < 2; i++) {
        struct arrival *a = wait_here(i);
        uint8_t word[16];
        ssize_t n;

        write_all(a->peer, t.data, t.eof);
        while (!sim_runs(a->to) && !sim_over(gw_recv_status(a->recv)))
            pause_ms(5);
        assert_true(sim_runs(a->to));
        pause_ms(300);
        write_all(a->peer, t.data + t.eof, t.bytes - t.eof);
        pause_ms(100);
        n = recv(a->peer, word, sizeof word, 0);
        assert_int_equal(n, sizeof shut);
        assert_memory_equal(word, shut, sizeof shut);
        shutdown(a->peer, SHUT_RDWR);
        assert_int_equal(gw_recv_wait(a->recv, NULL), 0);
        leave(a);
    }
    owned_end(t.data);
}

/* A source without return path has given up its machine: a loss after the state must not lose the machine. */
static void test_description_is_cut(void **state)
{
    struct stream t = record();
    size_t head = 8 + 1 + 4 + strlen("sim-1");

    for (unsigned with = 0; with < 2; with++) {
        struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
        struct gw_recv_config config = {.uri = "tcp:127.0.0.1:0", .hello_timeout_ns = 3600000 * MS};
        struct gw_error err = GW_ERROR_INIT;
        struct arrival *a = arrival_new();
        char address[64];
        int r;

        must(gw_recv_start(a->to->vm, &config, &a->recv, &err), &err);
        owned_recv(a->recv);
        gw_recv_address(a->recv, address, sizeof address);
        to.sin_port = htons((uint16_t)atoi(strrchr(address, ':') + 1));
        a->peer = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_int_equal(connect(a->peer, (struct sockaddr *)&to, sizeof to), 0);
        write_all(a->peer, t.data, head);
        write_all(a->peer, t.data + head + (with ? 0 : 5), t.eof + 7 - head - (with ? 0 : 5));
        shutdown(a->peer, SHUT_WR);
        r = gw_recv_wait(a->recv, &err);
        print_message("%d: %s\n", r, err.text);
        assert_int_equal(r >= 0, !with); /* a source with a return path takes it back when the connection is lost */
        assert_int_equal(sim_runs(a->to), !with);
        leave(a);
    }
    owned_end(t.data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        owned_test(test_command_ends),
        owned_test(test_last_word_arrives),
        owned_test(test_description_is_cut),
    };

    return cmocka_run_group_tests_name("endings", tests, NULL, NULL);
}
