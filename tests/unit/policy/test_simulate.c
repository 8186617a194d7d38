/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "model.h"

#define MIB 1048576.0

static const struct gw_throttle_params auto_converge = {
    .auto_converge = true, .trigger_percent = 50, .initial = 20, .increment = 10, .max = 99};

/* A machine and a link out of the hat. The writing is scaled by whoever calls. */
static struct model draw(uint64_t seed)
{
    struct model m = {.seed = seed, .noise_now = 1};
    double ram;

    for (int i = 0; i < 4; i++)
        model_random(&m);
    m.link = model_between(&m, 10 * MIB, 4000 * MIB);
    ram = model_between(&m, 64 * MIB, 16384 * MIB);
    ram = GW_MIN(ram, m.link * 60); /* a first pass of a minute at most */
    m.noise = model_between(&m, 0.02, 0.4);
    m.slow_to = model_between(&m, 0.3, 0.9);
    m.slow_each_s = model_unit(&m) < 0.5 ? model_between(&m, 5, 60) : 0;
    m.limit_ns = (uint64_t)model_between(&m, 5e7, 1e9);
    m.stop_ns = (uint64_t)model_between(&m, 1e4, 3e6);
    m.sync_ns = (uint64_t)model_between(&m, 1e4, 1e6) + (uint64_t)(ram / MIB / 1024 * 1e6);
    m.answer_ns = (uint64_t)model_between(&m, 5e4, 2e7);
    m.device_bytes = (uint64_t)model_between(&m, 1e3, 1e6);
    m.give_up_ns = 300 * GW_NS_PER_S;
    m.set[0].bytes = ram;
    return m;
}

/* Guests that write at up to 0.7 of the link, over hot sets and wide ones: all converge, and the promise holds. */
static void test_promise(void **state)
{
    unsigned runs = 3000, late = 0, bad = 0;

    for (unsigned i = 0; i < runs; i++) {
        struct model m = draw(i + 1);
        double rate = m.link * model_between(&m, 0.001, 0.7) * (m.slow_each_s > 0 ? m.slow_to : 1);

        m.set[0].rate = rate * model_unit(&m);
        m.set[1].bytes = m.set[0].bytes * model_between(&m, 0.01, 0.3);
        m.set[1].rate = rate - m.set[0].rate;
        m.set[0].bytes -= m.set[1].bytes;
        model_run(&m);
        if (!m.done && bad++ < 5)
            print_message("seed %u: not done after %.1f s, %u syncs\n", i + 1, (double)m.total_ns / 1e9, m.syncs);
        if (m.done && m.downtime_ns > m.limit_ns + 20 * GW_NS_PER_MS)
            late++;
    }
    print_message("%u runs, %u not done, %u later than the limit + 20 ms\n", runs, bad, late);
    assert_int_equal(bad, 0);
    assert_true(late * 20 <= runs);
}

/* The hard case for the promise: a set that is all dirty all the time and just about fits, on a noisy link. */
static void test_promise_marginal(void **state)
{
    unsigned runs = 1000, late = 0, bad = 0, relaxed = 0;

    for (unsigned i = 0; i < runs; i++) {
        struct model m = draw(1000000 + i);
        uint64_t fixed = m.stop_ns + m.sync_ns + m.answer_ns + (uint64_t)((double)m.device_bytes / m.link * 1e9);

        m.limit_ns += 2 * fixed;
        m.set[1].bytes = m.link * (double)(m.limit_ns - fixed) / 1e9 * model_between(&m, 0.3, 0.6);
        m.set[1].rate = m.link * 20;
        m.set[0].bytes = GW_MAX(m.set[0].bytes - m.set[1].bytes, MIB);
        model_run(&m);
        bad += !m.done;
        relaxed += m.done && m.reason == GW_SWITCH_RELAXED;
        late += m.done && m.downtime_ns > m.limit_ns + 20 * GW_NS_PER_MS;
    }
    print_message("%u runs, %u not done, %u relaxed, %u late\n", runs, bad, relaxed, late);
    assert_int_equal(bad, 0);
    assert_true(late * 20 <= runs);
}

/* Nearly full: fits at the typical bandwidth and seldom at the low one. It must end; how late is bounded. */
static void test_near_limit_ends(void **state)
{
    unsigned bad = 0, far = 0;

    for (unsigned i = 0; i < 300; i++) {
        struct model m = draw(2000000 + i);

        m.noise = 0.3;
        m.slow_each_s = 0;
        m.sync_ns = m.stop_ns = m.answer_ns = 100000;
        m.device_bytes = 1000;
        m.set[1].bytes = m.link * (double)m.limit_ns / 1e9 * 0.85;
        m.set[1].rate = m.link * 20;
        model_run(&m);
        bad += !m.done;
        far += m.done && m.downtime_ns > m.limit_ns / 10 * 13 + 20 * GW_NS_PER_MS;
    }
    assert_int_equal(bad, 0);
    assert_true(far * 20 <= 300);
}

/* A few pages a millisecond: the gap is what stopping and starting take, whatever the limit allows. */
static void test_idle_gap(void **state)
{
    unsigned bad = 0;

    for (unsigned i = 0; i < 500; i++) {
        struct model m = draw(3000000 + i);
        uint64_t least;

        m.slow_each_s = 0;
        m.set[1].bytes = 40 * 4096;
        m.set[1].rate = 4e6;
        model_run(&m);
        assert_true(m.done);
        least = m.stop_ns + m.sync_ns + m.answer_ns +
                (uint64_t)(((double)m.device_bytes + 40 * 4096) / m.link / (1 - m.noise) * 1e9);
        if (m.downtime_ns > least + 2 * GW_NS_PER_MS && bad++ < 5)
            print_message("seed %u: %.2f ms, possible %.2f\n", i, (double)m.downtime_ns / 1e6, (double)least / 1e6);
    }
    assert_int_equal(bad, 0);
}

/* The table of the reference on a 2.5 GB/s link: 2 GiB, a set of 256 MiB written at 50, 200, 800 MiB/s. */
static void test_writing_guest_gap(void **state)
{
    static const double rates[] = {50, 200, 800};

    for (unsigned i = 0; i < 3; i++) {
        for (unsigned seed = 0; seed < 20; seed++) {
            struct model m = {.seed = seed,
                              .noise_now = 1,
                              .link = 2500e6,
                              .noise = 0.1,
                              .limit_ns = 300000000,
                              .stop_ns = 200000,
                              .sync_ns = 1000000,
                              .answer_ns = 300000,
                              .device_bytes = 10000,
                              .give_up_ns = 60 * GW_NS_PER_S};

            m.set[0].bytes = 1792 * MIB;
            m.set[1].bytes = 256 * MIB;
            m.set[1].rate = rates[i] * MIB;
            model_run(&m);
            assert_true(m.done);
            assert_true(m.downtime_ns < 6 * GW_NS_PER_MS);
            assert_true(m.total_ns < 1500 * GW_NS_PER_MS);
        }
    }
}

/* Writes up to ten times the link; auto-converge gets it done, and the promise holds. */
static void test_throttled(void **state)
{
    unsigned runs = 400, late = 0, bad = 0;

    for (unsigned i = 0; i < runs; i++) {
        struct model m = draw(4000000 + i);

        m.set[0].bytes = GW_MAX(m.set[0].bytes, m.link * 2); /* more than fits */
        m.set[0].rate = m.link * model_between(&m, 1, 10);
        m.throttle = auto_converge;
        m.throttle.tailslow = i % 4 == 3;
        m.give_up_ns = 1200 * GW_NS_PER_S;
        model_run(&m);
        if (!m.done && bad++ < 5)
            print_message("seed %u: not done, %u %%, %u syncs\n", i, m.percent, m.syncs);
        late += m.done && m.downtime_ns > m.limit_ns + 20 * GW_NS_PER_MS;
    }
    print_message("%u runs, %u not done, %u late\n", runs, bad, late);
    assert_int_equal(bad, 0);
    assert_true(late * 20 <= runs);
}

static void test_dirty_limited(void **state)
{
    unsigned bad = 0;

    for (unsigned i = 0; i < 300; i++) {
        struct model m = draw(5000000 + i);

        m.set[0].bytes = GW_MAX(m.set[0].bytes, m.link * 2);
        m.set[0].rate = m.link * model_between(&m, 2, 10);
        m.throttle = (struct gw_throttle_params){
            .dirty_limit = true, .trigger_percent = 50, .vcpu_bytes_per_s = (uint64_t)(m.link / 3)};
        m.give_up_ns = 600 * GW_NS_PER_S;
        model_run(&m);
        bad += !m.done;
    }
    assert_int_equal(bad, 0);
}

/* What does not fit and is not throttled does not switch: "when it fits, and only then". */
static void test_never_when_too_much(void **state)
{
    for (unsigned i = 0; i < 100; i++) {
        struct model m = draw(6000000 + i);

        m.slow_each_s = 0;
        m.set[1].bytes = m.link * (double)m.limit_ns / 1e9 * 2;
        m.set[1].rate = m.link * 20;
        m.give_up_ns = 120 * GW_NS_PER_S;
        model_run(&m);
        assert_false(m.done);
    }
}

/* State that no pass can send (dirty bitmaps) is part of the downtime, not a reason to go on for ever. */
static void test_stuck(void **state)
{
    for (unsigned i = 0; i < 200; i++) {
        struct model m = draw(7000000 + i);

        m.stuck = m.link * (double)m.limit_ns / 1e9 * 0.2;
        m.set[1].bytes = 1e6;
        m.set[1].rate = 1e6;
        if (i % 4 == 0)
            m.set[0].bytes = 8192; /* next to no memory: no window ever fills */
        model_run(&m);
        assert_true(m.done);
    }
}

/* The extra passes are bounded, whatever the guest does. */
static void test_extra_bounded(void **state)
{
    for (unsigned i = 0; i < 300; i++) {
        struct model m = draw(8000000 + i);

        m.limit_ns = 5 * GW_NS_PER_S;
        m.set[0].rate = m.link * model_between(&m, 0.01, 0.8) * (m.slow_each_s > 0 ? m.slow_to : 1);
        model_run(&m);
        assert_true(m.done);
        assert_true(m.extra <= 16);
    }
}

/* Writes the traces that test_record replays: test_policy_simulate --record FOLDER */
static int record(const char *folder)
{
    static const struct {
        const char *name;
        double link, ram, set, rate, max_bandwidth;
        bool throttle;
    } runs[] = {
        {"idle", 2500e6, 2048 * MIB, 40 * 4096, 4e6, 0, false},
        {"writes-800", 2500e6, 1792 * MIB, 256 * MIB, 800 * MIB, 0, false},
        {"gigabit-50", 119 * MIB, 384 * MIB, 128 * MIB, 50 * MIB, 0, false},
        {"limited", 2500e6, 384 * MIB, 64 * MIB, 20 * MIB, 128 * MIB, false},
        {"auto-converge", 119 * MIB, 64 * MIB, 448 * MIB, 400 * MIB, 0, true},
    };

    for (unsigned i = 0; i < GW_ARRAY_LEN(runs); i++) {
        struct model m = {.seed = i,
                          .noise_now = 1,
                          .link = runs[i].link,
                          .noise = 0.2,
                          .limit_ns = 300000000,
                          .stop_ns = 200000,
                          .sync_ns = 1000000,
                          .answer_ns = 300000,
                          .device_bytes = 10000,
                          .max_bandwidth = runs[i].max_bandwidth,
                          .give_up_ns = 300 * GW_NS_PER_S};
        char path[4096];

        m.set[0].bytes = runs[i].ram;
        m.set[1].bytes = runs[i].set;
        m.set[1].rate = runs[i].rate;
        if (runs[i].throttle)
            m.throttle = auto_converge;
        snprintf(path, sizeof path, "%s/sim-%s.txt", folder, runs[i].name);
        m.record = fopen(path, "w");
        if (!m.record)
            return 1;
        model_run(&m);
        fprintf(m.record, "# %s: stood still %" PRIu64 " us, %u syncs\n", gw_switch_reason_name(m.reason),
                m.downtime_ns / 1000, m.syncs);
        fclose(m.record);
    }
    return 0;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_promise),
        cmocka_unit_test(test_promise_marginal),
        cmocka_unit_test(test_near_limit_ends),
        cmocka_unit_test(test_idle_gap),
        cmocka_unit_test(test_writing_guest_gap),
        cmocka_unit_test(test_throttled),
        cmocka_unit_test(test_dirty_limited),
        cmocka_unit_test(test_never_when_too_much),
        cmocka_unit_test(test_stuck),
        cmocka_unit_test(test_extra_bounded),
    };

    if (argc == 3 && !strcmp(argv[1], "--record"))
        return record(argv[2]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
