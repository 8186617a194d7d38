/* SPDX-License-Identifier: MIT
 *
 * The thread that hears of page faults: who is asked for, when nobody is, what is answered here, and how it fails.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "ram/store/blocktime.h"
#include "ram/store/faults.h"
#include "../../../privilege.h"

#define PAGE  4096u
#define PAGES 32u

/* A block whose pages come as the test places them; what was asked for, in order. */
static struct rig {
    struct gw_ram ram;
    struct gw_unit_table table;
    struct gw_units *u;
    struct gw_faults faults;
    struct gw_uffd_config config;
    struct gw_clock clock;
    _Atomic uint64_t now;
    uint8_t *host;
    uint64_t map[1], discarded[1];
    pthread_mutex_t lock;
    pthread_cond_t news;
    uint64_t asked[PAGES * 2]; /* under lock, as what follows */
    unsigned asks, failures;
    struct gw_error failed;
    pthread_t thread[8]; /* that touch pages; all have ended when `touchers` is 0 */
    unsigned touchers;
} t = {.lock = PTHREAD_MUTEX_INITIALIZER, .news = PTHREAD_COND_INITIALIZER};

static uint64_t clock_now(void *opaque)
{
    return t.now;
}

static void ask(void *opaque, const struct gw_ram_block *b, uint64_t offset, uint64_t bytes)
{
    pthread_mutex_lock(&t.lock);
    if (t.asks < GW_ARRAY_LEN(t.asked))
        t.asked[t.asks++] = b == t.u->block && bytes == PAGE ? offset / PAGE : UINT64_MAX;
    pthread_cond_broadcast(&t.news);
    pthread_mutex_unlock(&t.lock);
}

static void failed(void *opaque, const struct gw_error *error)
{
    pthread_mutex_lock(&t.lock);
    t.failures++;
    t.failed = *error;
    pthread_cond_broadcast(&t.news);
    pthread_mutex_unlock(&t.lock);
}

static void begin(void)
{
    struct gw_error err = GW_ERROR_INIT;

    if (gw_units_begin(&t.table, &t.ram, (uint64_t *[]){t.map}, &err) < 0)
        fail_msg("%s", err.text);
    t.u = &t.table.of[0];
    if (gw_faults_begin(&t.faults, &err) < 0)
        fail_msg("%s", err.text);
}

static int up(void **state)
{
    struct gw_ram_desc d = {.name = "r", .used_bytes = PAGES * PAGE};

    d.host = t.host = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    t.map[0] = t.discarded[0] = 0;
    t.asks = t.failures = t.touchers = 0;
    t.failed = (struct gw_error)GW_ERROR_INIT;
    t.now = 1;
    t.clock = (struct gw_clock){GW_SIZED(struct gw_clock), .now_ns = clock_now};
    t.config = (struct gw_uffd_config){.ask = ask, .failed = failed, .clock = &t.clock};
    t.table = (struct gw_unit_table){.uffd = -1};
    if (t.host == MAP_FAILED || gw_ram_init(&t.ram, PAGE, NULL, NULL) || gw_ram_add(&t.ram, &d, NULL))
        return -1;
    gw_faults_init(&t.faults, &t.table, &t.config);
    return 0;
}

/* Who still waits goes on with what is there. */
static int down(void **state)
{
    gw_faults_end(&t.faults, NULL);
    gw_units_end(&t.table);
    while (t.touchers)
        pthread_join(t.thread[--t.touchers], NULL);
    gw_blocktime_free(t.config.blocktime);
    gw_faults_fini(&t.faults);
    t.ram.blocks[0]->discarded = NULL;
    gw_ram_close(&t.ram);
    munmap(t.host, PAGES * PAGE);
    return 0;
}

static void *touch_run(void *page)
{
    return (void *)(uintptr_t) * (volatile uint8_t *)page;
}

/* Somebody reads this page, and waits until it is there. */
static void touch(unsigned page)
{
    assert_true(t.touchers < GW_ARRAY_LEN(t.thread));
    assert_int_equal(pthread_create(&t.thread[t.touchers], NULL, touch_run, t.host + page * PAGE), 0);
    t.touchers++;
}

/* All of them have gone on; the last one read this. */
static void all_saw(uint8_t value)
{
    void *saw = NULL;

    for (unsigned i = 0; i < t.touchers; i++)
        pthread_join(t.thread[i], &saw);
    t.touchers = 0;
    assert_int_equal((uintptr_t)saw, value);
}

/* Waits for the n-th request, from 0. */
static uint64_t asked(unsigned n)
{
    uint64_t page;

    pthread_mutex_lock(&t.lock);
    while (t.asks <= n && !t.failures)
        pthread_cond_wait(&t.news, &t.lock);
    page = t.asks > n ? t.asked[n] : UINT64_MAX;
    pthread_mutex_unlock(&t.lock);
    return page;
}

static unsigned asks(void)
{
    unsigned n;

    pthread_mutex_lock(&t.lock);
    n = t.asks;
    pthread_mutex_unlock(&t.lock);
    return n;
}

static void await_waiting(uint64_t n)
{
    while (atomic_load(&t.faults.waiting) != n)
        sched_yield();
}

static void await_faults(uint64_t n)
{
    while (atomic_load(&t.faults.faults) < n)
        sched_yield();
}

static void put(unsigned page, uint8_t value)
{
    uint8_t *from = malloc(PAGE);

    memset(from, value, PAGE);
    assert_int_equal(gw_unit_put(t.u, page, from, NULL), 0);
    free(from);
}

static void place(unsigned page, uint8_t value)
{
    put(page, value);
    gw_faults_came(&t.faults, t.u, page);
}

/* Two wait for one page: it is asked for once, and one unit is waited for, until it comes. What they waited is measured. */
static void test_asked_once(void **state)
{
    struct gw_blocktime_figures figures;

    assert_int_equal(gw_blocktime_new((const int32_t[]){1}, 0, &t.config.blocktime, NULL), 0);
    begin();
    touch(7);
    touch(7);
    await_faults(2);
    await_waiting(1);
    assert_int_equal(asked(0), 7);
    gw_faults_came(&t.faults, t.u, 9); /* nobody waited for it */
    assert_int_equal(atomic_load(&t.faults.waiting), 1);
    t.now = 1001;
    place(7, 0x77);
    all_saw(0x77);
    await_waiting(0);
    assert_int_equal(asks(), 1);
    assert_int_equal(atomic_load(&t.faults.requests), 1);
    assert_int_equal(gw_faults_end(&t.faults, NULL), 0);
    gw_blocktime_figures(t.config.blocktime, t.now, &figures, NULL, 0);
    assert_true(figures.faults >= 1);
}

/* While it is held nobody is asked for anything. Then all that is waited for is, once, in the order of the block, but what came
 * meanwhile: also what had been asked for before. */
static void test_hold(void **state)
{
    begin();
    touch(3);
    assert_int_equal(asked(0), 3);
    gw_faults_hold(&t.faults);
    touch(20);
    touch(11);
    touch(5);
    await_waiting(4);
    put(11, 0x11); /* who placed it has not come to telling so */
    assert_int_equal(asks(), 1);
    gw_faults_ask_again(&t.faults);
    gw_faults_came(&t.faults, t.u, 11);
    await_waiting(3);
    assert_int_equal(asks(), 4);
    assert_int_equal(asked(1), 3);
    assert_int_equal(asked(2), 5);
    assert_int_equal(asked(3), 20);
    touch(30); /* as usual again */
    assert_int_equal(asked(4), 30);
    place(3, 0x33);
    place(20, 0x20);
    place(5, 0x55);
    place(30, 0x30);
    all_saw(0x30);
    assert_int_equal(asks(), 5);
}

/* A page that had come and was given back, and one that the guest has unplugged: zeros, and nobody is asked. That is no wait
 * that would be measured. */
static void test_answered_here(void **state)
{
    struct gw_blocktime_figures figures;

    assert_int_equal(gw_blocktime_new((const int32_t[]){1}, 0, &t.config.blocktime, NULL), 0);
    t.ram.blocks[0]->discarded = t.discarded;
    gw_bitmap_set(t.discarded, 6);
    begin();
    place(2, 0x22);
    assert_int_equal(madvise(t.host + 2 * PAGE, PAGE, MADV_DONTNEED), 0);
    touch(2);
    all_saw(0);
    touch(6);
    all_saw(0);
    assert_int_equal(asks(), 0);
    assert_int_equal(atomic_load(&t.faults.local), 2);
    assert_int_equal(atomic_load(&t.faults.waiting), 0);
    while (!gw_unit_received(t.u, 6)) /* a moment after it was seen; what may still come of it is dropped */
        sched_yield();
    gw_blocktime_figures(t.config.blocktime, t.now, &figures, NULL, 0);
    assert_int_equal(figures.faults, 0);
    touch(8);
    assert_int_equal(asked(0), 8);
    place(8, 0x88);
    all_saw(0x88);
}

/* Nothing comes any more: zeros for who waits, and for who comes. */
static void test_finish(void **state)
{
    struct gw_error err = GW_ERROR_INIT;

    begin();
    touch(4);
    touch(31);
    assert_true(asked(0) != asked(1));
    t.table.finished = true;
    assert_int_equal(gw_faults_finish(&t.faults, &err), 0);
    all_saw(0);
    assert_int_equal(atomic_load(&t.faults.waiting), 0);
    touch(5);
    all_saw(0);
    assert_int_equal(asks(), 2);
    assert_int_equal(gw_faults_end(&t.faults, &err), 0);
}

/* ---- messages of the test's own, by a pipe ------------------------------------------------------------------------- */

static int begin_by_pipe(void)
{
    int p[2];
    struct gw_error err = GW_ERROR_INIT;

    assert_int_equal(gw_units_begin(&t.table, &t.ram, (uint64_t *[]){t.map}, &err), 0);
    t.u = &t.table.of[0];
    assert_int_equal(pipe2(p, O_CLOEXEC | O_NONBLOCK), 0);
    assert_int_equal(dup3(p[0], t.table.uffd, O_CLOEXEC), t.table.uffd); /* what was there is closed: nothing is watched any more */
    close(p[0]);
    assert_int_equal(gw_faults_begin(&t.faults, &err), 0);
    return p[1];
}

static void tell(int to, uint8_t event, const void *address)
{
    struct uffd_msg msg = {.event = event};

    msg.arg.pagefault.address = (uintptr_t)address;
    assert_int_equal(write(to, &msg, sizeof msg), sizeof msg);
}

/* Other events are not looked at, and addresses elsewhere not asked for. */
static void test_not_ours(void **state)
{
    int to = begin_by_pipe();

    tell(to, UFFD_EVENT_REMOVE, t.host + 3 * PAGE);
    tell(to, UFFD_EVENT_PAGEFAULT, t.host + PAGES * PAGE);
    tell(to, UFFD_EVENT_PAGEFAULT, NULL);
    tell(to, UFFD_EVENT_PAGEFAULT, t.host + 9 * PAGE + 123);
    assert_int_equal(asked(0), 9);
    assert_int_equal(atomic_load(&t.faults.faults), 3);
    assert_int_equal(atomic_load(&t.faults.waiting), 1);
    assert_int_equal(gw_faults_end(&t.faults, NULL), 0); /* the thread ends by itself, with somebody waiting */
    close(to);
    assert_int_equal(asks(), 1);
    assert_int_equal(t.failures, 0);
}

/* Nobody hears of faults any more: told at once, and once more by the end; the next beginning knows nothing of it. */
static void test_fails(void **state)
{
    struct gw_error err = GW_ERROR_INIT;

    close(begin_by_pipe());
    assert_int_equal(asked(0), UINT64_MAX);
    assert_int_equal(gw_faults_end(&t.faults, &err), -EIO);
    assert_string_equal(err.text, "userfaultfd: it was closed");
    assert_int_equal(t.failures, 1);
    assert_string_equal(t.failed.text, err.text);
    assert_int_equal(gw_faults_end(&t.faults, &err), 0); /* it does not run */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_asked_once, up, down),    cmocka_unit_test_setup_teardown(test_hold, up, down),
        cmocka_unit_test_setup_teardown(test_answered_here, up, down), cmocka_unit_test_setup_teardown(test_finish, up, down),
        cmocka_unit_test_setup_teardown(test_not_ours, up, down),      cmocka_unit_test_setup_teardown(test_fails, up, down),
    };

    if (!may_answer_faults())
        return EXIT_SKIPPED;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
