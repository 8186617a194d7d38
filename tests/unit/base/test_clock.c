/* SPDX-License-Identifier: MIT
 *
 * The system's clock: what the library uses where the embedder gives none. The program is linked with --wrap=getrandom,
 * so that there is no chance to be had when the test says so.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/random.h>
#include <time.h>

#include <cmocka.h>

#include "base/base.h"
#include "godwit/clock.h"

static ssize_t chance_gives = sizeof(uint64_t);

ssize_t __real_getrandom(void *buf, size_t n, unsigned flags);
ssize_t __wrap_getrandom(void *buf, size_t n, unsigned flags);
ssize_t __wrap_getrandom(void *buf, size_t n, unsigned flags)
{
    if (chance_gives == (ssize_t)n)
        return __real_getrandom(buf, n, flags);
    errno = EAGAIN;
    return chance_gives;
}

static uint64_t monotonic_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * GW_NS_PER_S + (uint64_t)t.tv_nsec;
}

static void test_one(void **state)
{
    const struct gw_clock *clock = gw_clock_system();

    assert_ptr_equal(clock, gw_clock_system());
    assert_ptr_equal(clock, &gw_clock_real);
    assert_int_equal(clock->bytes, sizeof *clock);
}

/* Between two looks at CLOCK_MONOTONIC it says something between them. */
static void test_now(void **state)
{
    for (unsigned i = 0; i < 1000; i++) {
        uint64_t before = monotonic_ns(), now = gw_now_ns(&gw_clock_real), after = monotonic_ns();

        assert_true(before <= now && now <= after);
        assert_true(now > 0);
    }
}

/* At least as long as told, a second's worth of nanoseconds carried over. */
static void test_sleep(void **state)
{
    uint64_t before = gw_now_ns(&gw_clock_real);

    gw_clock_real.sleep_ns(NULL, 0);
    gw_clock_real.sleep_ns(NULL, 1);
    gw_clock_real.sleep_ns(NULL, 1050 * GW_NS_PER_MS);
    assert_true(gw_now_ns(&gw_clock_real) - before >= 1050 * GW_NS_PER_MS);
}

static void differs(const char *how)
{
    uint64_t first = gw_clock_real.random(NULL), bits = 0;
    bool same = true;

    for (unsigned i = 0; i < 1000; i++) {
        uint64_t v = gw_clock_real.random(NULL);

        same = same && v == first;
        bits |= v ^ first;
    }
    if (same)
        fail_msg("%s: always 0x%" PRIx64, how, first);
    /* In both halves. */
    assert_true(bits >> 32 && (uint32_t)bits);
}

static void test_random(void **state)
{
    differs("getrandom");
    /* Early after the start of a host there may be none, or less than asked for. */
    chance_gives = -1;
    differs("without getrandom");
    chance_gives = 3;
    differs("with a part");
    chance_gives = sizeof(uint64_t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one),
        cmocka_unit_test(test_now),
        cmocka_unit_test(test_sleep),
        cmocka_unit_test(test_random),
    };

    return cmocka_run_group_tests_name("clock", tests, NULL, NULL);
}
