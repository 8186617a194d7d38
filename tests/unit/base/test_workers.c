/* SPDX-License-Identifier: MIT */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/workers.h"
#define FAILING_COUNTDOWN
#include "../../failing.h"

#define SLOTS_MAX 8u
#define NEVER     UINT64_MAX

static _Atomic unsigned threads_left = UINT32_MAX; /* pthread_create fails when so many were started */

int __real_pthread_create(pthread_t *t, const pthread_attr_t *a, void *(*f)(void *), void *arg);
int __wrap_pthread_create(pthread_t *t, const pthread_attr_t *a, void *(*f)(void *), void *arg);
int __wrap_pthread_create(pthread_t *t, const pthread_attr_t *a, void *(*f)(void *), void *arg)
{
    if (!threads_left)
        return EAGAIN;
    threads_left--;
    return __real_pthread_create(t, a, f, arg);
}

/* The work writes its number into its slot, not atomically: TSan sees who touches a slot that is not its own. */
struct work {
    struct gw_workers *workers;
    unsigned slots;
    uint64_t value[SLOTS_MAX];
    unsigned runs[SLOTS_MAX]; /* of each slot */
    uint64_t fail_every;      /* 0: none */
    bool silent;              /* failures fill in no error */
    uint64_t same_group;      /* numbers with the same n % same_group may not run together; 0: all may */

    _Atomic uint64_t hold;    /* this number waits at its begin until hold is another one */
    _Atomic uint64_t highest; /* number that has begun, + 1 */
    _Atomic unsigned began, ended, in_group[SLOTS_MAX];
    _Atomic bool mixed, signals; /* two of a group ran together, or in a wrong slot; a thread takes signals */
};

static int work(void *opaque, unsigned thread, uint64_t n, unsigned slot, struct gw_error *err)
{
    struct work *w = opaque;
    uint64_t highest = w->highest;
    sigset_t set;

    pthread_sigmask(SIG_BLOCK, NULL, &set);
    if (!sigismember(&set, SIGTERM))
        w->signals = true;
    while (highest < n + 1 && !atomic_compare_exchange_weak(&w->highest, &highest, n + 1))
        ;
    w->began++;
    if (w->same_group && w->in_group[n % w->same_group]++)
        w->mixed = true;
    if (slot != n % w->slots)
        w->mixed = true;
    w->value[slot] = NEVER;
    while (w->hold == n)
        sched_yield();
    w->value[slot] = n * 3;
    w->runs[slot]++;
    if (w->same_group)
        w->in_group[n % w->same_group]--;
    w->ended++;
    if (w->fail_every && n % w->fail_every == 0)
        return w->silent ? -EIO : gw_fail(err, -EIO, GW_BLAME_LOCAL, "number %" PRIu64, n);
    return 0;
}

static bool apart(void *opaque, unsigned slot, unsigned older)
{
    const struct work *w = opaque;

    return !w->same_group || slot % w->same_group != older % w->same_group;
}

static void begin(struct work *w, unsigned threads, unsigned slots)
{
    static const struct gw_workers_ops plain = {.work = work}, groups = {.work = work, .apart = apart};
    struct gw_error err = GW_ERROR_INIT;

    w->slots = slots;
    assert_int_equal(gw_workers_new(w->same_group ? &groups : &plain, w, threads, slots, &w->workers, &err), 0);
}

static void wait_for(_Atomic unsigned *what, unsigned n)
{
    while (*what < n)
        sched_yield();
}

static void test_jobs(void **state)
{
    for (unsigned threads = 1; threads <= 5; threads++)
        for (unsigned slots = 1; slots <= SLOTS_MAX; slots++) {
            struct work w = {.hold = NEVER};
            uint64_t put = 0, taken = 0;

            begin(&w, threads, slots);
            while (taken < 200) {
                for (; put < 200 && put < taken + slots; put++) {
                    w.value[put % slots] = 1; /* the owner's until it is submitted */
                    gw_workers_submit(w.workers, put + 1);
                }
                assert_int_equal(gw_workers_take(w.workers, taken, NULL), 0);
                assert_int_equal(w.value[taken % slots], taken * 3);
                gw_workers_release(w.workers, ++taken);
            }
            gw_workers_free(w.workers);
            assert_int_equal(w.began, 200);
            assert_false(w.mixed);
            assert_false(w.signals);
        }
}

/* Numbers behind one that takes long are done meanwhile, but no more of them than there are slots. */
static void test_out_of_order_and_bounded(void **state)
{
    struct work w = {.hold = 0};

    begin(&w, 2, 5);
    usleep(20000); /* most likely both threads wait by now: the one that is woken has to wake the other one */
    gw_workers_submit(w.workers, 1000);
    wait_for(&w.ended, 4); /* 1 to 4 */
    assert_int_equal(w.highest, 5);
    w.hold = NEVER;
    for (uint64_t n = 0; n < 1000; n++) {
        assert_int_equal(gw_workers_take(w.workers, n, NULL), 0);
        assert_int_equal(gw_workers_take(w.workers, n, NULL), 0); /* again */
        assert_int_equal(w.value[n % 5], n * 3);
        assert_true(w.highest <= n + 5);
    }
    gw_workers_free(w.workers);
    assert_int_equal(w.began, 1000);
}

static void test_errors(void **state)
{
    for (unsigned silent = 0; silent < 2; silent++) {
        struct work w = {.hold = NEVER, .fail_every = 7, .silent = silent};

        begin(&w, 3, 4);
        gw_workers_submit(w.workers, 100);
        for (uint64_t n = 0; n < 100; n++) {
            struct gw_error err = GW_ERROR_INIT;
            char text[32];

            snprintf(text, sizeof text, "number %u", (unsigned)n);
            assert_int_equal(gw_workers_take(w.workers, n, &err), n % 7 ? 0 : -EIO);
            assert_int_equal(err.code, n % 7 ? 0 : -EIO);
            if (n % 7 == 0 && !silent)
                assert_string_equal(err.text, text);
        }
        gw_workers_free(w.workers);
    }
}

/* Any order: what is taken is always what was asked for, and nobody touches it. */
static void test_any_order(void **state)
{
    for (unsigned threads = 1; threads <= 4; threads++) {
        struct work w = {.hold = NEVER};
        uint64_t random = 88172645463325252ull + threads, n = 0;

        begin(&w, threads, 6);
        gw_workers_submit(w.workers, 500);
        for (unsigned i = 0; i < 2000; i++) {
            random ^= random << 13, random ^= random >> 7, random ^= random << 17;
            n = random % 4 == 0 ? random / 4 % 500 : (n + random / 4 % 4) % 500;
            assert_int_equal(gw_workers_take(w.workers, n, NULL), 0);
            assert_int_equal(w.value[n % 6], n * 3);
            w.value[n % 6] = 0; /* the owner may use it; it comes anew in the next turn */
            gw_workers_release(w.workers, n + 1);
        }
        gw_workers_free(w.workers);
    }
}

/* The order is left while a number is being worked on whose slot is needed: it ends first, and its result is not used.
 */
static void test_leave_the_order(void **state)
{
    struct work w = {.hold = 3};

    begin(&w, 2, 4);
    gw_workers_submit(w.workers, 100);
    assert_int_equal(gw_workers_take(w.workers, 0, NULL), 0);
    wait_for(&w.began, 4);
    assert_int_equal(gw_workers_take(w.workers, 50, NULL), 0); /* slot 2, by the other thread */
    assert_int_equal(w.value[2], 150);
    w.hold = 51; /* number 3 ends: slot 3 is free for 51 */
    while (w.highest < 52)
        sched_yield();
    gw_workers_release(w.workers, 3); /* back to the same slot, where 51 is now, while the window begins at 3 */
    w.hold = NEVER;
    assert_int_equal(gw_workers_take(w.workers, 3, NULL), 0);
    assert_int_equal(w.value[3], 9);
    gw_workers_free(w.workers);
}

/* A number that was given up and asked for again is done again: what its slot holds is of an earlier turn. */
static void test_again(void **state)
{
    struct work w = {.hold = NEVER};

    begin(&w, 1, 2);
    gw_workers_submit(w.workers, 10);
    assert_int_equal(gw_workers_take(w.workers, 4, NULL), 0);
    w.value[0] = 0;
    gw_workers_release(w.workers, 9);
    assert_int_equal(gw_workers_take(w.workers, 4, NULL), 0);
    assert_int_equal(w.value[0], 12);
    gw_workers_free(w.workers);
}

/* Number 0 goes on; 1 may run beside it, 2 may not, and so nothing behind it. */
static void test_apart_waits(void **state)
{
    struct work w = {.hold = 0, .same_group = 2};

    begin(&w, 3, 6);
    gw_workers_submit(w.workers, 6);
    wait_for(&w.ended, 1);
    for (unsigned i = 0; i < 1000; i++)
        sched_yield();
    assert_int_equal(w.highest, 2);
    w.hold = NEVER;
    assert_int_equal(gw_workers_take(w.workers, 5, NULL), 0);
    gw_workers_free(w.workers);
    assert_false(w.mixed);
}

static void test_apart(void **state)
{
    for (unsigned group = 1; group <= 4; group *= 2) {
        struct work w = {.hold = NEVER, .same_group = group};

        begin(&w, 4, 8);
        gw_workers_submit(w.workers, 2000);
        for (uint64_t n = 0; n < 2000; n++) {
            assert_int_equal(gw_workers_take(w.workers, n, NULL), 0);
            assert_int_equal(w.value[n % 8], n * 3);
        }
        gw_workers_free(w.workers);
        assert_false(w.mixed);
    }
}

static void *cancel_main(void *opaque)
{
    struct work *w = opaque;

    wait_for(&w->began, 1);
    gw_workers_cancel(w->workers);
    return NULL;
}

/* The owner waits for what does not end; another thread cancels. */
static void test_cancel(void **state)
{
    struct work w = {.hold = 0};
    struct gw_error err = GW_ERROR_INIT;
    pthread_t thread;

    begin(&w, 1, 3);
    gw_workers_submit(w.workers, 3);
    assert_int_equal(pthread_create(&thread, NULL, cancel_main, &w), 0);
    assert_int_equal(gw_workers_take(w.workers, 0, &err), -ECANCELED);
    pthread_join(thread, NULL);
    assert_int_equal(gw_workers_take(w.workers, 1, &err), -ECANCELED);
    w.hold = NEVER;
    gw_workers_free(w.workers);
    assert_int_equal(w.began, 1);
}

/* Freed at any moment: nothing submitted, work under way, results that nobody took. */
static void test_free_early(void **state)
{
    gw_workers_free(NULL);
    for (unsigned i = 0; i < 300; i++) {
        struct work w = {.hold = NEVER};

        begin(&w, 1 + i % 4, 1 + i % 8);
        gw_workers_submit(w.workers, i % 20);
        if (i % 20 > 3)
            assert_int_equal(gw_workers_take(w.workers, i % 3, NULL), 0);
        for (unsigned k = 0; k < i % 7; k++)
            sched_yield();
        gw_workers_free(w.workers);
        assert_int_equal(w.began, w.ended);
    }
}

static void test_nothing_left(void **state)
{
    static const struct gw_workers_ops ops = {.work = work};
    struct gw_error err = GW_ERROR_INIT;
    struct work w = {.hold = NEVER, .slots = 3};

    for (unsigned n = 1; n <= 2; n++) {
        countdown = n;
        assert_int_equal(gw_workers_new(&ops, &w, 2, 3, &w.workers, &err), -ENOMEM);
        assert_null(w.workers);
        countdown = 0;
    }
    threads_left = 0;
    assert_int_equal(gw_workers_new(&ops, &w, 2, 3, &w.workers, &err), -EAGAIN);
    assert_int_equal(err.blame, GW_BLAME_LOCAL);
    assert_null(w.workers);
    threads_left = UINT32_MAX;
}

/* One thread of four could be started: it does all. */
static void test_few_threads(void **state)
{
    struct work w = {.hold = NEVER};

    threads_left = 1;
    begin(&w, 4, 3);
    threads_left = UINT32_MAX;
    gw_workers_submit(w.workers, 50);
    for (uint64_t n = 0; n < 50; n++)
        assert_int_equal(gw_workers_take(w.workers, n, NULL), 0);
    gw_workers_free(w.workers);
}

static void test_threads(void **state)
{
    assert_in_range(gw_workers_threads(0, 16), 1, 16);
    assert_int_equal(gw_workers_threads(0, 1), 1);
    assert_int_equal(gw_workers_threads(5, 16), 5);
    assert_int_equal(gw_workers_threads(500, 16), 16);
    assert_int_equal(gw_workers_threads(UINT32_MAX, UINT32_MAX), GW_WORKERS_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_jobs),
        cmocka_unit_test(test_out_of_order_and_bounded),
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_any_order),
        cmocka_unit_test(test_leave_the_order),
        cmocka_unit_test(test_again),
        cmocka_unit_test(test_apart_waits),
        cmocka_unit_test(test_apart),
        cmocka_unit_test(test_cancel),
        cmocka_unit_test(test_free_early),
        cmocka_unit_test(test_nothing_left),
        cmocka_unit_test(test_few_threads),
        cmocka_unit_test(test_threads),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
