/* SPDX-License-Identifier: MIT
 *
 * What a vCPU owes to its dirty limit and to its throttle: reckoned on a clock of our own, and by a machine that is
 * held.
 */
#include "box.h"
#include "rests.h"

#define MS 1000000ull
#define S  1000000000ull
#define T0 (100 * S)

static void keeps_the_limit(void **state)
{
    struct gw_debt d = {0};
    uint64_t now = T0, bytes = 0, due;

    /* Pieces of any size: over some seconds it is the limit, and the saved 10 ms at first. */
    for (uint64_t n = 4096; now < T0 + 10 * S; n = n * 7 % 300007 + 1) {
        due = gw_debt_add(&d, 1 << 20, n, now);
        bytes += n;
        now = due > now ? due : now + 1000;
    }
    assert_true(bytes > 10ull * (1 << 20) && bytes < 10.4 * (1 << 20));
    /* What was not used is lost, but for 10 ms. */
    now += 100 * S;
    assert_int_equal(gw_debt_add(&d, 1 << 20, 0, now), now - 10 * MS);
    assert_true(gw_debt_add(&d, 1 << 20, 8192, now) < now);
    assert_true(gw_debt_add(&d, 1 << 20, 8192, now) > now);
}

/* A megabyte under a kilobyte a second is a quarter of an hour; under a gigabyte a second it is a millisecond. */
static void is_owed_in_bytes(void **state)
{
    struct gw_debt d = {0};
    uint64_t due = gw_debt_add(&d, 1024, 1 << 20, T0);

    assert_true(due > T0 + 1000 * S && due <= T0 + 1024 * S);
    due = gw_debt_add(&d, 1 << 30, 0, T0 + 24 * S);
    assert_true(due > T0 + 24 * S && due < T0 + 24 * S + MS);
    assert_true(gw_debt_add(&d, 1 << 30, 4096, T0 + 25 * S) <= T0 + 25 * S);
    /* And the other way: what half a second was is five under a tenth of the limit. */
    due = gw_debt_add(&d, 10 << 20, 5 << 20, T0 + 30 * S);
    assert_int_equal(due, T0 + 30 * S + 490 * MS);
    due = gw_debt_add(&d, 1 << 20, 0, T0 + 30 * S + 90 * MS);
    assert_int_equal(due, T0 + 30 * S + 90 * MS + 4000 * MS);
    /* The same limit said again changes nothing. */
    assert_int_equal(gw_debt_add(&d, 1 << 20, 0, T0 + 31 * S), due);
}

static void no_limit_forgives(void **state)
{
    struct gw_debt d = {0};

    assert_true(gw_debt_add(&d, 1, 1 << 20, T0) > T0 + 1000 * S);
    assert_int_equal(gw_debt_add(&d, 0, 1 << 20, T0 + S), 0);
    assert_true(gw_debt_add(&d, 1 << 20, 4096, T0 + S) <= T0 + S);
}

static void extremes(void **state)
{
    struct gw_debt d = {0};

    for (int i = 0; i < 10; i++)
        assert_true(gw_debt_add(&d, 1, UINT64_MAX, T0 + (uint64_t)i) > T0 + (1ull << 61));
    assert_true(gw_debt_add(&d, UINT64_MAX, 0, T0 + 20) < T0 + S);
    assert_true(gw_debt_add(&d, UINT64_MAX, UINT64_MAX, T0 + 20 * S) <= T0 + 21 * S);
    assert_true(gw_debt_add(&d, 1, UINT64_MAX, 0) > 1ull << 61);
}

/* Time of the test that runs; 0: the system's. A rest makes it pass. */
static _Atomic uint64_t our_ns;

uint64_t __real_gw_clock_monotonic_ns(void);
uint64_t __wrap_gw_clock_monotonic_ns(void);

uint64_t __wrap_gw_clock_monotonic_ns(void)
{
    return our_ns ? our_ns : __real_gw_clock_monotonic_ns();
}

/* What a vCPU that runs for ran_ns and then reports rests. */
static uint64_t rest_after(struct gw_vcpu *v, uint64_t ran_ns)
{
    uint64_t reported_ns = our_ns + ran_ns;

    our_ns = reported_ns;
    gw_vcpu_pace_throttle(v);
    return our_ns - reported_ns;
}

static void throttled(void **state)
{
    static const unsigned percents[] = {1, 50, 90, 99};
    struct gw_machine *m = calloc(1, sizeof(*m));
    struct gw_vcpu *v = calloc(1, sizeof(*v));

    assert_true(m && v);
    v->machine = m;
    pthread_mutex_init(&v->sleep_lock, NULL);
    pthread_cond_init(&v->wake, NULL);
    our_ns = T0;
    rests_begin();
    rests.clock = &our_ns;
    for (unsigned i = 0; i < 4; i++) {
        uint64_t ran_ns = 0, rested_ns = 0;

        gw_machine_throttle(m, percents[i]);
        for (unsigned k = 0; k < 3000; k++, ran_ns += 700000)
            rested_ns += rest_after(v, 700000);
        /* Of the first and of the last piece of work nothing is known yet. */
        assert_in_range(rested_ns * (100 - percents[i]), ran_ns * percents[i] * 99 / 100, ran_ns * percents[i]);
        /* A stop that lasted an hour is no work. */
        assert_true(rest_after(v, 3600 * S) <= 10 * MS * 99);
    }
    gw_machine_throttle(m, 0);
    assert_int_equal(rest_after(v, S), 0);
    our_ns = 0;
    rests.clock = NULL;
    pthread_cond_destroy(&v->wake);
    pthread_mutex_destroy(&v->sleep_lock);
    free(v);
    free(m);
}

static uint64_t done(struct gw_machine *m)
{
    return box_mail(m, 0).pages_written;
}

/* Until the vCPU is held: a new limit wakes one that is, which counts how long it was, and is held again. Then it
 * sleeps. */
static void hold(struct gw_machine *m)
{
    uint64_t held_ns = gw_machine_limited_ns(m);

    for (uint64_t limit = 1; gw_machine_limited_ns(m) == held_ns; limit ^= 3) {
        gw_machine_dirty_limit(m, limit);
        box_runs_clean(m, 20);
    }
    while (!atomic_load(&rests.now))
        box_runs_clean(m, 1);
}

/* A vCPU that is held goes on at once when its limit is lifted, high or altogether; and one that is held can be
 * stopped. */
static void held_and_let_go(void **state)
{
    static const uint64_t high[] = {1ull << 40, 0};
    enum gw_machine_accel accels[2];
    unsigned n = box_accels(accels);

    rests_begin();
    for (unsigned i = 0; i < 2 * n; i++) {
        struct gw_machine_config c = box_config("uniform", accels[i / 2]);
        struct gw_machine *m = box_new(&c);
        uint64_t before;

        box_start(m);
        while (!done(m))
            box_runs_clean(m, 5);
        hold(m);
        before = done(m);
        box_runs_clean(m, 300);
        assert_int_equal(done(m), before);
        gw_machine_dirty_limit(m, high[i % 2]);
        while (done(m) < before + 1000) /* a page a second or an hour later it would never end */
            box_runs_clean(m, 5);
        assert_true(gw_machine_limited_ns(m) >= S / 4); /* what it was held for is counted */
        hold(m);
        box_stop(m);
        box_start(m);
        box_stop(m);
        box_free(m);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        box_test(keeps_the_limit), box_test(is_owed_in_bytes), box_test(no_limit_forgives),
        box_test(extremes),        box_test(throttled),        box_test(held_and_let_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
