/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/thread.h"

static bool fails;

int __real_pthread_create(pthread_t *t, const pthread_attr_t *a, void *(*f)(void *), void *arg);
int __wrap_pthread_create(pthread_t *t, const pthread_attr_t *a, void *(*f)(void *), void *arg);
int __wrap_pthread_create(pthread_t *t, const pthread_attr_t *a, void *(*f)(void *), void *arg)
{
    return fails ? EAGAIN : __real_pthread_create(t, a, f, arg);
}

static void *write_nowhere(void *opaque)
{
    sigset_t set;
    int ends[2];

    pthread_sigmask(SIG_BLOCK, NULL, &set);
    for (int i = 1; i < 32; i++)
        if (i != SIGKILL && i != SIGSTOP && !sigismember(&set, i))
            return NULL;
    if (pipe(ends) < 0)
        return NULL;
    close(ends[0]);
    *(int *)opaque = write(ends[1], "x", 1) < 0 ? errno : 0;
    close(ends[1]);
    return opaque;
}

/* The caller's own mask, one signal and not another one, is as before. */
static void check_mask(void)
{
    sigset_t set;

    pthread_sigmask(SIG_BLOCK, NULL, &set);
    assert_true(sigismember(&set, SIGUSR2));
    assert_false(sigismember(&set, SIGUSR1));
}

static void test_takes_no_signals(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    pthread_t thread;
    void *ret = NULL;
    int code = 0;

    assert_int_equal(gw_thread_start(&thread, write_nowhere, &code, &err), 0);
    check_mask();
    assert_int_equal(pthread_join(thread, &ret), 0);
    assert_ptr_equal(ret, &code);
    assert_int_equal(code, EPIPE);
}

static void test_no_thread(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    pthread_t thread;

    fails = true;
    assert_int_equal(gw_thread_start(&thread, write_nowhere, NULL, &err), -EAGAIN);
    fails = false;
    assert_int_equal(err.code, -EAGAIN);
    assert_int_equal(err.blame, GW_BLAME_LOCAL);
    assert_non_null(strstr(err.text, "thread"));
    check_mask();
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_takes_no_signals), cmocka_unit_test(test_no_thread)};
    sigset_t one;

    sigemptyset(&one);
    sigaddset(&one, SIGUSR2);
    pthread_sigmask(SIG_SETMASK, &one, NULL);
    return cmocka_run_group_tests_name("base/thread", tests, NULL, NULL);
}
