/* SPDX-License-Identifier: MIT
 *
 * Numeric guarantees: the rate limit (R9), the downtime limit (R10), throttling (R11).
 *
 * The test does not depend on
 * the host's speed. The rate is measured on the source's own clock, which advances only while the source waits; the
 * guest has always written enough before a sync.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../owned.h"
#include "pair.h"
#include "source_clock.h"

#define SECOND_NS 1000000000u

/* ---- a channel that notes what is written when ---------------------------------------------------------------------
 */

#define NOTES 65536

struct note {
    uint64_t at_ns, bytes;
};

struct meter {
    struct gw_channel channel;
    struct gw_channel *next;
};

static struct {
    pthread_mutex_t lock;
    struct note note[NOTES];
    unsigned n;
} notes = {.lock = PTHREAD_MUTEX_INITIALIZER};

static ssize_t meter_writev(struct gw_channel *ch, const struct iovec *iov, int n, struct gw_error *err)
{
    struct gw_channel *next = ((struct meter *)ch)->next;
    uint64_t at_ns;
    ssize_t r;

    source_clock_adopt();
    at_ns = source_clock_now();
    r = gw_channel_writev(next, iov, n, err);
    pthread_mutex_lock(&notes.lock);
    if (r > 0 && notes.n < NOTES)
        notes.note[notes.n++] = (struct note){at_ns, (uint64_t)r};
    pthread_mutex_unlock(&notes.lock);
    return r;
}

static ssize_t meter_readv(struct gw_channel *ch, const struct iovec *iov, int n, struct gw_error *err)
{
    return gw_channel_readv(((struct meter *)ch)->next, iov, n, err);
}

static void meter_shutdown(struct gw_channel *ch)
{
    gw_channel_shutdown(((struct meter *)ch)->next);
}

static void meter_free(struct gw_channel *ch)
{
    gw_channel_free(((struct meter *)ch)->next);
    free(ch);
}

static const struct gw_channel_ops meter_ops = {
    .kind = "meter", .readv = meter_readv, .writev = meter_writev, .shutdown = meter_shutdown, .free = meter_free};

static struct gw_channel *meter_new(struct gw_channel *next)
{
    struct meter *m = calloc(1, sizeof *m);

    assert_non_null(m);
    gw_channel_init(&m->channel, &meter_ops, GW_CHANNEL_DUPLEX, "meter");
    m->next = next;
    return &m->channel;
}

/* ---- R9: within 5% over a second, also after a change while it runs -------------------------------------------------
 */

#define SLOW_MIB 2u
#define FAST_MIB 4u
/* At these rates: the part that is sent at once, and a little more. */
#define SETTLE_NS 100000000u

static struct {
    uint64_t begun_ns, slow_until_ns, fast_from_ns, fast_until_ns; /* 0: not yet */
} stretch;

static void fill(struct pair *p, struct gw_channel **a, struct gw_channel **b)
{
    for (unsigned i = 0; i < 2; i++)
        memset(p->from->ram[i], 0x5a, p->from->ram_bytes[i]);
    memset(&stretch, 0, sizeof stretch);
    notes.n = 0;
    *a = meter_new(*a);
    sim_option(p->from, "max-bandwidth", "2M");
}

/* A second and a half of the source's time at each rate, or more if this thread is delayed. */
static void change(struct pair *p, struct gw_send *send, struct gw_recv *recv)
{
    const uint64_t long_ns = 3 * (SECOND_NS / 2);
    uint64_t t = source_clock_now();

    if (gw_send_status(send) != GW_STATUS_ACTIVE)
        return;
    if (!stretch.begun_ns) {
        stretch.begun_ns = t + SETTLE_NS;
    } else if (!stretch.slow_until_ns && t > stretch.begun_ns + long_ns) {
        stretch.slow_until_ns = t;
        sim_option(p->from, "max-bandwidth", "4M");
        stretch.fast_from_ns = source_clock_now() + SETTLE_NS;
    } else if (stretch.fast_from_ns && !stretch.fast_until_ns && t > stretch.fast_from_ns + long_ns) {
        stretch.fast_until_ns = t;
        sim_option(p->from, "max-bandwidth", "0");
    }
}

static void unfill(struct pair *p)
{
    for (unsigned i = 0; i < 2; i++) {
        memset(p->from->ram[i], 0, p->from->ram_bytes[i]);
        memset(p->to->ram[i], 0, p->to->ram_bytes[i]);
    }
}

/* Checks each span of a second plus one write, from write to write. */
static void check_rate(uint64_t from_ns, uint64_t until_ns, unsigned mib)
{
    const double asked = (double)mib * (1 << 20);
    double most = 0, least = 1e18;
    uint64_t bytes = 0;
    unsigned first = 0, seconds = 0;

    while (first < notes.n && notes.note[first].at_ns < from_ns)
        first++;
    for (unsigned i = first; i < notes.n && notes.note[i].at_ns <= until_ns; i++) {
        uint64_t ns = notes.note[i].at_ns - notes.note[first].at_ns;
        double rate;

        /* `bytes` went at first or later, and before i. */
        if (ns >= SECOND_NS) {
            rate = (double)bytes * 1e9 / (double)ns;
            most = rate > most ? rate : most;
            least = rate < least ? rate : least;
            seconds++;
            bytes -= notes.note[first++].bytes;
        }
        bytes += notes.note[i].bytes;
    }
    print_message("%u MiB/s asked: %.3f to %.3f in %u stretches of a second\n", mib, least / (1 << 20),
                  most / (1 << 20), seconds);
    assert_true(seconds > 20);
    assert_true(most < asked * 1.05);
    assert_true(least > asked * 0.95);
}

static void test_rate_limit(void **state)
{
    struct pair p = {.mib = 64, .clock = &source_clock, .before = fill, .during = change, .after = unfill};

    source_clock_begin(1);
    pair_run(&p);
    assert_int_equal(p.source_says, GW_OWNER_DESTINATION);
    assert_true(notes.n < NOTES);
    assert_true(stretch.fast_until_ns > 0);
    check_rate(stretch.begun_ns, stretch.slow_until_ns, SLOW_MIB);
    check_rate(stretch.fast_from_ns, stretch.fast_until_ns, FAST_MIB);
}

/* ---- a guest that writes too much -----------------------------------------------------------------------------------
 */

static struct {
    struct sim *guest;
    _Atomic uint64_t writes; /* writes before each sync; 0: any number */
} eager;

static int write_before_sync(void *opaque, enum gw_notify what, struct gw_error *err)
{
    uint64_t writes = atomic_load(&eager.writes);

    if (what == GW_NOTIFY_BEFORE_SYNC && writes)
        sim_await_writes(eager.guest, writes);
    return 0;
}

static void make_eager(struct pair *p, uint64_t writes)
{
    eager.guest = p->from;
    atomic_store(&eager.writes, writes);
    assert_int_equal(gw_vm_add_notifier(p->from->vm, write_before_sync, NULL, NULL), 0);
}

/* ---- R10: what does not fit does not switch; what fits, does ------------------------------------------------------------ */

#define TIGHT_ROUNDS 5

static void tight(struct pair *p, struct gw_channel **a, struct gw_channel **b)
{
    sim_option(p->from, "max-bandwidth", "4M");
    sim_option(p->from, "downtime-limit", "20");
    make_eager(p, 2000);
}

static unsigned lifted_in_round;

static void give_up_later(struct pair *p, struct gw_send *send, struct gw_recv *recv)
{
    struct gw_stats st;

    gw_send_stats(send, &st);
    /* 1 MiB all dirty again before each sync: 20 ms at 4 MiB/s carry 80 KiB. It must not switch, until it may. */
    if (st.status == GW_STATUS_ACTIVE && st.rounds >= TIGHT_ROUNDS && !lifted_in_round) {
        lifted_in_round = st.rounds;
        atomic_store(&eager.writes, 0);
        sim_option(p->from, "downtime-limit", "1000000");
    }
}

/* Each of these rounds takes a quarter of a second. */
static void check_dirty_rate(const struct gw_stats *st)
{
    uint64_t most = 0;

    for (unsigned i = 0; i < st->rounds_kept; i++)
        most = st->round[i].dirty_pages_per_s > most ? st->round[i].dirty_pages_per_s : most;
    assert_true(st->rounds <= st->rounds_kept);
    assert_true(st->dirty_pages_rate > 0);
    assert_true(st->dirty_pages_rate <= most);
}

static void test_downtime_limit(void **state)
{
    struct pair p = {.mib = 1, .words_per_ms = 200, .before = tight, .during = give_up_later};

    lifted_in_round = 0;
    pair_run(&p);
    assert_int_equal(p.source_says, GW_OWNER_DESTINATION);
    print_message("%llu ms, %u rounds, lifted in round %u, downtime %llu ms\n",
                  (unsigned long long)p.stats.total_time_ns / 1000000, p.stats.rounds, lifted_in_round,
                  (unsigned long long)p.stats.downtime_ns / 1000000);
    assert_true(lifted_in_round >= TIGHT_ROUNDS);
    check_dirty_rate(&p.stats);
}

/* ---- R11: the callbacks are used, and taken back ------------------------------------------------------------------------ */

static void converge(struct pair *p, struct gw_channel **a, struct gw_channel **b)
{
    sim_option(p->from, "max-bandwidth", "8M");
    sim_option(p->from, "downtime-limit", "30");
    sim_option(p->from, "cpu-throttle-initial", "40");
    sim_option(p->from, "cpu-throttle-increment", "20");
    make_eager(p, 8000); /* most pages are dirty again */
    assert_int_equal(gw_options_set_capability(gw_vm_options(p->from->vm), p->opaque, true, NULL), 0);
}

/* The writer obeys like a vCPU: a limit of 1 MB/s is a page every 4 ms. From the first request on it does not exceed
 * that. */
static void obey(struct pair *p, struct gw_send *send, struct gw_recv *recv)
{
    static unsigned turn;
    unsigned percent = atomic_load(&p->from->throttle);
    uint64_t limit = atomic_load(&p->from->dirty_limit);

    if (percent || limit)
        atomic_store(&eager.writes, 0);
    if (limit)
        atomic_store(&p->from->words_per_ms, turn++ % 4 == 0);
    else if (percent)
        atomic_store(&p->from->words_per_ms, p->words_per_ms * (100 - percent) / 100);
}

static void test_throttling(void **state)
{
    static char auto_converge[] = "auto-converge", dirty_limit[] = "dirty-limit";
    char *const which[] = {auto_converge, dirty_limit};

    for (unsigned i = 0; i < 2; i++) {
        struct pair p = {.mib = 8, .words_per_ms = 60, .before = converge, .during = obey, .opaque = which[i]};

        pair_run(&p);
        assert_int_equal(p.source_says, GW_OWNER_DESTINATION);
        print_message("%s: %llu ms, %u%%, %llu bytes/s\n", which[i], (unsigned long long)p.stats.total_time_ns / 1000000,
                      p.throttle_most, (unsigned long long)p.dirty_limit_least);
        assert_true(i ? p.dirty_limit_least == 1000000 : p.throttle_most >= 40);
        assert_int_equal(p.throttle, 0);
        assert_int_equal(p.dirty_limit, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        owned_test(test_rate_limit),
        owned_test(test_downtime_limit),
        owned_test(test_throttling),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
