/* SPDX-License-Identifier: MIT
 *
 * Convergence that is tended, on simulated machines and links: each kind of guest with each kind of link. It converges
 * wherever it can; no downtime is over the ceiling; the limit is not raised and the guest is not slowed where that is not needed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "model.h"

#define MIB     1048576.0
#define LINK    (119 * MIB)
#define LIMIT   (300 * GW_NS_PER_MS)
#define CEILING (10 * LIMIT)
#define SEEDS   40u

static const struct gw_throttle_params steps = {.trigger_percent = 50, .initial = 20, .increment = 10, .max = 99};

/* 1 GiB on 1 GbE, of which `set` is written at `rate`. */
static struct model machine(uint64_t seed, double set, double rate)
{
    struct model m = {
        .seed = seed,
        .noise_now = 1,
        .link = LINK,
        .noise = 0.1,
        .limit_ns = LIMIT,
        .ceiling_ns = CEILING,
        .can_throttle = true,
        .throttle = steps,
        .stop_ns = 200000,
        .sync_ns = 1000000,
        .answer_ns = 300000,
        .device_bytes = 10000,
        .give_up_ns = 600 * GW_NS_PER_S,
    };

    m.set[0].bytes = 1024 * MIB - set;
    m.set[1].bytes = set;
    m.set[1].rate = rate;
    return m;
}

/* What has to come of SEEDS runs. */
struct expect {
    bool raise, throttle; /* needed: every run must; else none may */
};

static void check(const char *what, const struct model *m, const struct expect *e)
{
    if (!m->done)
        fail_msg("%s: not done after %u syncs, %u %%, limit %.0f ms", what, m->syncs, m->percent, (double)m->raised_ns / 1e6);
    assert_true(m->raised_ns <= CEILING);
    if (m->downtime_ns > CEILING)
        fail_msg("%s: stood still %.0f ms", what, (double)m->downtime_ns / 1e6);
    if (!e->raise && m->raised_ns > LIMIT)
        fail_msg("%s: limit raised to %.0f ms, and stood still %.0f", what, (double)m->raised_ns / 1e6, (double)m->downtime_ns / 1e6);
    if (!e->throttle && m->most_percent)
        fail_msg("%s: slowed by %u %%, limit %.0f ms", what, m->most_percent, (double)m->raised_ns / 1e6);
    /* A guest that is always the same needs what it was raised to. */
    if (m->raised_ns > LIMIT && !m->most_percent && !m->change)
        assert_true(m->raised_ns <= m->downtime_ns / 2 * 3);
}

static void run(const char *what, double set, double rate, void (*change)(struct model *, uint64_t), const struct expect *e)
{
    double total = 0, stood = 0, limit = 0, percent = 0, syncs = 0;

    for (unsigned i = 0; i < SEEDS; i++) {
        struct model m = machine(i + 1, set, rate);

        m.change = change;
        model_run(&m);
        check(what, &m, e);
        total += (double)m.total_ns / 1e9 / SEEDS;
        stood += (double)m.downtime_ns / 1e6 / SEEDS;
        limit += (double)m.raised_ns / 1e6 / SEEDS;
        percent += (double)m.most_percent / SEEDS;
        syncs += (double)m.syncs / SEEDS;
        if (e->raise)
            assert_true(m.raised_ns > LIMIT);
        if (e->throttle)
            assert_true(m.most_percent > 0);
    }
    print_message("%-36s %6.1f s, stood still %5.0f ms, limit %5.0f ms, slowed by %3.0f %%, %3.0f syncs\n", what, total, stood, limit,
                  percent, syncs);
}

static const struct expect nothing = {0}, raised = {.raise = true}, slowed = {.raise = true, .throttle = true};

static void test_constant(void **state)
{
    run("idle", MIB, 0, NULL, &nothing);
    run("below the link: 20 MiB/s", 512 * MIB, 20 * MIB, NULL, &nothing);
    run("below the link: 80 MiB/s", 512 * MIB, 80 * MIB, NULL, &nothing);
    run("a small set, 2000 MiB/s", 16 * MIB, 2000 * MIB, NULL, &nothing);
    run("above the link: 200 MiB/s of 128 MiB", 128 * MIB, 200 * MIB, NULL, &raised);
    run("above the link: 200 MiB/s of 256 MiB", 256 * MIB, 200 * MIB, NULL, &raised);
    run("above the link: 200 MiB/s of 900 MiB", 900 * MIB, 200 * MIB, NULL, &slowed);
    run("above the link: 1000 MiB/s of 900 MiB", 900 * MIB, 1000 * MIB, NULL, &slowed);
}

/* ---- guests that change -------------------------------------------------------------------------------------------- */

/* Four seconds out of twelve. */
static void bursts(struct model *m, uint64_t ns)
{
    m->set[1].rate = (ns / GW_NS_PER_S + 4) % 12 < 4 ? 400 * MIB : 5 * MIB;
}

/* All the time a lot, and half of the time a lot more. */
static void waves(struct model *m, uint64_t ns)
{
    m->set[2].bytes = 512 * MIB;
    m->set[0].bytes = 1024 * MIB - m->set[1].bytes - m->set[2].bytes;
    m->set[2].rate = ns / GW_NS_PER_S % 8 < 4 ? 400 * MIB : 0;
}

static void becomes_quiet(struct model *m, uint64_t ns)
{
    m->set[1].rate = ns < 11 * GW_NS_PER_S ? 400 * MIB : 10 * MIB;
}

static void becomes_busy(struct model *m, uint64_t ns)
{
    m->set[1].rate = ns < 9 * GW_NS_PER_S ? 60 * MIB : 300 * MIB;
}

/* Its set moves to other memory. */
static void moves(struct model *m, uint64_t ns)
{
    bool late = ns > 12 * GW_NS_PER_S;

    m->set[2].bytes = 64 * MIB;
    m->set[0].bytes = 1024 * MIB - m->set[1].bytes - m->set[2].bytes;
    m->set[1].rate = late ? 0 : 300 * MIB;
    m->set[2].rate = late ? 300 * MIB : 0;
}

static void test_changing(void **state)
{
    run("bursts", 256 * MIB, 0, bursts, &nothing);
    run("waves", 128 * MIB, 300 * MIB, waves, &raised);
    run("busy during the first pass", 256 * MIB, 0, becomes_quiet, &nothing);
    run("busy from the first pass on", 256 * MIB, 0, becomes_busy, &raised);
    run("a set that moves and is smaller then", 512 * MIB, 0, moves, &raised);
}

/* ---- links that change --------------------------------------------------------------------------------------------- */

static void slower(struct model *m, uint64_t ns)
{
    m->link = ns < 5 * GW_NS_PER_S ? LINK : LINK / 3;
}

static void faster(struct model *m, uint64_t ns)
{
    m->link = ns < 5 * GW_NS_PER_S ? LINK / 3 : 10 * LINK;
}

static void unsteady(struct model *m, uint64_t ns)
{
    m->link = ns / GW_NS_PER_S % 7 < 3 ? LINK / 2 : LINK;
}

static void test_links(void **state)
{
    run("slower, idle", MIB, 0, slower, &nothing);
    run("slower, 20 MiB/s", 256 * MIB, 20 * MIB, slower, &nothing);
    run("slower, 200 MiB/s of 64 MiB", 64 * MIB, 200 * MIB, slower, &raised);
    run("slower, 200 MiB/s of 512 MiB", 512 * MIB, 200 * MIB, slower, &slowed);
    run("faster, 200 MiB/s of 256 MiB", 256 * MIB, 200 * MIB, faster, &nothing);
    run("unsteady, 200 MiB/s of 128 MiB", 128 * MIB, 200 * MIB, unsteady, &raised);
}

/* A machine that cannot be slowed: it never stands still for longer than the ceiling; it just goes on. */
static void test_helpless(void **state)
{
    struct model m = machine(1, 900 * MIB, 1000 * MIB);

    m.can_throttle = false;
    model_run(&m);
    assert_false(m.done);
    assert_int_equal(m.raises, 0);
    assert_int_equal(m.raised_ns, LIMIT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_constant),
        cmocka_unit_test(test_changing),
        cmocka_unit_test(test_links),
        cmocka_unit_test(test_helpless),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
