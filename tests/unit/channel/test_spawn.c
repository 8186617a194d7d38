/* SPDX-License-Identifier: MIT
 *
 * Programs get their descriptors whatever numbers these have here. Each case runs in a process that lacks some.
 */
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "channel/spawn.h"
#include "helpers.h"

#define SCRIPT "read x; echo got $x; echo said >&2"

static int file(const char *text)
{
    int fd = memfd_create("file", MFD_CLOEXEC);

    if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text) || lseek(fd, 0, SEEK_SET) != 0)
        abort();
    return fd;
}

static void must_hold(int fd, const char *text, int status)
{
    char got[200] = "";

    if (pread(fd, got, sizeof got - 1, 0) < 0 || strncmp(got, text, strlen(text)) != 0 || (!*text && *got))
        _exit(status);
}

/* Files get the lowest numbers that are free: `order` says which of in, out and err is made first, second, third. */
static void in_a_process(unsigned closed, const int order[3], bool with_err)
{
    static const char *const texts[3] = {"word\n", "", ""};
    char *const argv[] = {(char *)"sh", (char *)"-c", (char *)SCRIPT, NULL};
    struct gw_spawn what = {.program = "/bin/sh", .argv = argv, .err = -1};
    int fd[3], status;
    pid_t pid;

    for (int i = 0; i < 3; i++)
        if (closed >> i & 1)
            close(i);
    for (int i = 0; i < 3; i++)
        fd[order[i]] = file(texts[order[i]]);
    what.in = fd[0];
    what.out = fd[1];
    if (with_err)
        what.err = fd[2];
    if (gw_spawn(&what, &pid) != 0)
        _exit(1);
    if (waitpid(pid, &status, 0) != pid || status)
        _exit(2);
    must_hold(fd[0], "word\n", 3);
    must_hold(fd[1], "got word\n", 4);
    must_hold(fd[2], with_err ? "said\n" : "", 5);
    /* Ours are what they were. */
    for (int i = 0; i < 3; i++)
        if (!(fcntl(fd[i], F_GETFD) & FD_CLOEXEC))
            _exit(6);
    _exit(0);
}

static void any_numbers(void **state)
{
    static const int orders[6][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);

    for (unsigned n = 0; n < 8 * 6 * 2; n++) {
        unsigned closed = n & 7;
        int status = -1;
        pid_t pid = fork();

        assert_true(pid >= 0);
        if (!pid) {
            dup2(null, 2); /* what the script says where nobody hears it */
            in_a_process(closed, orders[n / 8 % 6], n >= 48);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        if (status)
            fail_msg("closed 0x%x, order %u, %s messages: status 0x%x", closed, n / 8 % 6, n >= 48 ? "with" : "without",
                     (unsigned)status);
    }
    close(null);
}

/* The program finds no more open than its three. A single one looks at itself: in a shell files come and go. */
static void nothing_else_is_there(void **state)
{
    char *const argv[] = {(char *)"ls", (char *)"-l", (char *)"/proc/self/fd", NULL};
    int in = file(""), out = file(""), more = file(""), times = 0;
    struct gw_spawn what = {.program = "/bin/ls", .argv = argv, .in = in, .out = out, .err = out};
    char got[1024] = "";
    pid_t pid;

    assert_int_equal(gw_spawn(&what, &pid), 0);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    assert_true(pread(out, got, sizeof got - 1, 0) > 0);
    for (const char *at = got; (at = strstr(at, "memfd:file")); at++)
        times++;
    if (times != 3)
        fail_msg("%s", got);
    close(in);
    close(out);
    close(more);
}

static void no_such_program(void **state)
{
    char *const argv[] = {(char *)"godwit-no-such-program", NULL};
    struct gw_spawn what = {.program = argv[0], .argv = argv, .in = 0, .out = 1, .err = 2};
    pid_t pid;

    assert_int_equal(gw_spawn(&what, &pid), -ENOENT);
    what.in = 999;
    assert_int_equal(gw_spawn(&what, &pid), -EBADF);
}

static void signals(void **state)
{
    char *const argv[] = {(char *)"sh", (char *)"-c", (char *)"grep -h SigIgn /proc/self/status;", NULL};
    sigset_t blocked, before;

    sigfillset(&blocked);
    sigprocmask(SIG_BLOCK, &blocked, &before);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    for (int group = 0; group < 2; group++) {
        int in = file(""), out = file("");
        struct gw_spawn what = {.program = "/bin/sh", .argv = argv, .in = in, .out = out, .err = -1, .group = group};
        char got[100] = "";
        unsigned long long ignored;
        pid_t pid;

        assert_int_equal(gw_spawn(&what, &pid), 0);
        if (group)
            assert_int_equal(getpgid(pid), pid);
        else
            assert_int_equal(getpgid(pid), getpgrp());
        assert_int_equal(waitpid(pid, NULL, 0), pid);
        assert_true(pread(out, got, sizeof got - 1, 0) > 0);
        assert_int_equal(sscanf(got, "SigIgn: %llx", &ignored), 1);
        assert_false(ignored >> (SIGPIPE - 1) & 1);
        assert_int_equal(ignored >> (SIGHUP - 1) & 1, !group);
        close(in);
        close(out);
    }
    signal(SIGPIPE, SIG_DFL);
    signal(SIGHUP, SIG_DFL);
    sigprocmask(SIG_SETMASK, &before, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_numbers),
        cmocka_unit_test(nothing_else_is_there),
        cmocka_unit_test(no_such_program),
        cmocka_unit_test(signals),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
