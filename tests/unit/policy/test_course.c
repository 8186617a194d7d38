/* SPDX-License-Identifier: MIT
 *
 * One simulated migration with exact numbers: what it costs, and when it ends. (With numbers that vary: test_forecast.c.)
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "policy/course.h"

#define MIB 1048576.0

/* 1000 MiB of plain pages over 100 MiB/s, and a guest that writes nothing. */
static struct gw_course_in usual(void)
{
    return (struct gw_course_in){.page_bytes = 4096, .curve = {.cold_bytes = 1000 * MIB}, .delay = 1, .parallel = 1,
                                 .link = 100 * MIB, .limit = INFINITY, .downtime_limit_ns = 300e6};
}

/* Writes `rate` bytes a second to a set of `mib`. */
static struct gw_course_in writing(double mib, double rate)
{
    struct gw_course_in in = usual();

    in.curve = (struct gw_curve){.hot_bytes = mib * MIB, .tau_s = mib * MIB / rate, .cold_bytes = (1000 - mib) * MIB};
    return in;
}

static struct gw_course run(struct gw_course_in in)
{
    struct gw_course c;

    gw_course_run(&in, &c);
    return c;
}

static void near(double is, double want, double share)
{
    if (fabs(is - want) > share * fabs(want))
        fail_msg("%g is not within %g of %g", is, share, want);
}

static void test_idle(void **state)
{
    struct gw_course c = run(usual());

    assert_true(c.converges);
    near(c.total_ns, 10e9, 0.001);
    near(c.bytes, 1000 * MIB, 0.001);
    near(c.speed, 100 * MIB, 0.001);
    assert_int_equal(c.rounds, 1);
    assert_int_equal(c.throttle, 0);
    near((double)c.round[0].bytes, 1000 * MIB, 0.001);
}

/* Zeros, frames, a codec, a busy host and a rate limit each cost what they cost. */
static void test_costs(void **state)
{
    struct gw_course_in in = usual();

    in.zero_share = 0.5;
    near(run(in).total_ns, 5e9, 0.01);
    in = usual();
    in.frame_bytes = 4096;
    near(run(in).total_ns, 20e9, 0.001);
    in = usual();
    in.coded = (struct gw_forecast_codec){.known = true, .ratio = 0.25, .ns = 0};
    near(run(in).total_ns, 2.5e9, 0.001);
    in.coded.ns = 100e3; /* 25.6 s in one thread, half of it in two */
    near(run(in).total_ns, 25.6e9, 0.001);
    in.parallel = 2;
    near(run(in).total_ns, 12.8e9, 0.001);
    in = usual();
    in.delay = 3;
    near(run(in).total_ns, 30e9, 0.001);
    in = usual();
    in.limit = 50 * MIB;
    near(run(in).total_ns, 20e9, 0.01);
    near(run(in).speed, 50 * MIB, 0.001);
}

/* What is dirtied is sent again, and the rest that fits goes while it stands. */
static void test_writes(void **state)
{
    struct gw_course c = run(writing(50, 10 * MIB));

    assert_true(c.converges);
    assert_true(c.rounds > 1 && c.rounds < 20);
    assert_true(c.bytes > 1000 * MIB && c.bytes < 1200 * MIB);
    assert_true(c.downtime_ns > 0 && c.downtime_ns <= 300e6);
}

/* A set that is written faster than it is sent never fits, unless the limit is as long as what is left takes. */
static void test_never(void **state)
{
    struct gw_course_in in = writing(200, 1000 * MIB);
    struct gw_course c = run(in);

    assert_false(c.converges);
    near(c.rest_bytes, 200 * MIB, 0.2);
    near(c.needed_limit_ns, 2e9, 0.2);
    in.downtime_limit_ns = c.needed_limit_ns * 1.3;
    assert_true(run(in).converges);
}

/* Slowing the guest down makes it fit, a step at a time. */
static void test_throttle(void **state)
{
    struct gw_course_in in = writing(200, 300 * MIB);
    struct gw_course c;

    assert_false(run(in).converges);
    in.throttle_trigger = 50;
    in.throttle_initial = 20;
    in.throttle_increment = 10;
    in.throttle_max = 99;
    c = run(in);
    assert_true(c.converges);
    assert_true(c.throttle >= 20 && c.throttle <= 99);
}

/* QEMU switches as soon as the rest fits, and makes no pass for what little is left. */
static void test_qemu(void **state)
{
    struct gw_course_in in = writing(50, 10 * MIB);
    struct gw_course ours = run(in), theirs;

    in.qemu = true;
    theirs = run(in);
    assert_true(theirs.converges);
    assert_true(theirs.downtime_ns > ours.downtime_ns);
    assert_true(theirs.total_ns <= ours.total_ns);
}

/* Nobody knows how fast the link is: then nothing waits for it. */
static void test_unknown_link(void **state)
{
    struct gw_course_in in = usual();

    in.link = INFINITY;
    in.limit = 100 * MIB;
    near(run(in).total_ns, 10e9, 0.02);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_idle),     cmocka_unit_test(test_costs), cmocka_unit_test(test_writes),
                                       cmocka_unit_test(test_never),    cmocka_unit_test(test_throttle), cmocka_unit_test(test_qemu),
                                       cmocka_unit_test(test_unknown_link)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
